use super::{Transaction, Watchers, overlay::Group};
use crate::{
    engine::{Engine, EngineError},
    journal::Journal,
    segment::{Bodies, SegmentError},
};
use futures::channel::oneshot;
use std::{
    error::Error,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};

/// Requests of one group, at most.
const MAX_REQUESTS: usize = 1024;
/// Bytes a group has written when it takes no further request.
const MAX_BYTES: usize = 4 << 20;

/// Changes the store: evaluates requests one after the other and commits them in groups.
///
/// Dropping it finishes what was asked for.
pub(crate) struct Committer {
    queue: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// Why a request was not committed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CommitError {
    /// A sync failed, now or earlier.
    #[error(
        "a commit could not be made durable; nothing is committed until the store is opened again"
    )]
    NotDurable(#[source] Arc<dyn Error + Send + Sync>),
    /// The engine took nothing of the group, and goes on.
    #[error("the engine refused a commit")]
    Refused(#[source] Arc<EngineError>),
    /// The request's own code panicked; nothing of it was committed.
    #[error("a request failed by a defect of the store")]
    Defect,
    /// The store is being closed.
    #[error("the store is closed")]
    Closed,
}

/// Evaluates a request, or refuses it unseen; answers what it comes to.
type Request = Box<dyn FnOnce(Result<&mut Transaction<'_>, CommitError>) -> Evaluated + Send>;

struct Evaluated {
    /// Whether what it wrote belongs to the group.
    keep: bool,
    /// Gives the caller its answer once the group is durable, or is not.
    answer: Box<dyn FnOnce(Result<(), CommitError>)>,
}

struct Shared {
    engine: Arc<dyn Engine>,
    bodies: Bodies,
    watchers: Watchers,
    journal: Option<Arc<Journal>>,
    failed: RwLock<Option<CommitError>>,
    groups: AtomicU64,
    requests: AtomicU64,
}

impl Committer {
    pub(crate) fn start(
        engine: Arc<dyn Engine>,
        bodies: Bodies,
        watchers: Watchers,
        journal: Option<Arc<Journal>>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            engine,
            bodies,
            watchers,
            journal,
            failed: RwLock::new(None),
            groups: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        });
        let (queue, requests) = mpsc::channel();
        let this = shared.clone();
        let run = move || this.run(&requests);
        let thread = thread::Builder::new()
            .name("wm-committer".to_owned())
            .spawn(run)?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            shared,
        })
    }

    /// Queues a request. The answer comes when what the request did is durable and visible; a
    /// request that answers an error has done nothing, and that answer, too, waits for everything
    /// it has seen.
    pub(crate) fn commit<T, E, R>(
        &self,
        request: R,
    ) -> impl Future<Output = Result<T, E>> + Send + use<T, E, R>
    where
        R: FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<CommitError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let request = move |transaction: Result<&mut Transaction<'_>, CommitError>| {
            let evaluate = |transaction| catch_unwind(AssertUnwindSafe(|| request(transaction)));
            let result = transaction.map_err(E::from).and_then(|transaction| {
                evaluate(transaction).unwrap_or_else(|_| Err(CommitError::Defect.into()))
            });
            Evaluated {
                keep: result.is_ok(),
                answer: Box::new(move |committed| {
                    // Nobody may be waiting any more.
                    let _ = sender.send(committed.map_err(E::from).and(result));
                }),
            }
        };
        if let Some(queue) = &self.queue {
            // Without its thread the committer drops the request, and the answer is cancelled.
            let _ = queue.send(Box::new(request));
        }
        async {
            receiver
                .await
                .unwrap_or_else(|_| Err(CommitError::Closed.into()))
        }
    }

    /// How many groups were committed, and how many requests were in them.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let Shared {
            groups, requests, ..
        } = &*self.shared;
        (
            groups.load(Ordering::Relaxed),
            requests.load(Ordering::Relaxed),
        )
    }

    /// Why nothing is committed any more.
    pub(crate) fn failure(&self) -> Option<CommitError> {
        self.shared.failure()
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Committer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committer")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn run(&self, requests: &mpsc::Receiver<Request>) {
        while let Ok(first) = requests.recv() {
            let waiting = std::iter::once(first).chain(requests.try_iter());
            if let Some(failure) = self.failure() {
                waiting.for_each(|request| (request(Err(failure.clone())).answer)(Ok(())));
                continue;
            }
            let (group, answers) = match self.engine.snapshot() {
                Ok(committed) => evaluate(Transaction::new(&*committed), waiting),
                Err(error) => {
                    let refused = CommitError::Refused(Arc::new(error));
                    waiting.for_each(|request| (request(Err(refused.clone())).answer)(Ok(())));
                    continue;
                }
            };
            let committed = self.commit(group, answers.len() as u64);
            if let Err(failure @ CommitError::NotDurable(_)) = &committed {
                let mut failed = self.failed.write().unwrap_or_else(PoisonError::into_inner);
                *failed = Some(failure.clone());
            }
            answers
                .into_iter()
                .for_each(|answer| answer(committed.clone()));
        }
        self.watchers.close();
    }

    fn commit(&self, mut group: Group, requests: u64) -> Result<(), CommitError> {
        if group.is_empty() {
            return Ok(());
        }
        self.bodies.sync(&group.bodies)?;
        let mut batch = group.take_batch();
        let journal = self.journal.as_ref();
        let noted = journal.map(|journal| (journal, journal.number(&mut batch)));
        self.engine.commit(batch)?;
        if let Some((journal, noted)) = noted {
            journal.note(noted);
        }
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(requests, Ordering::Relaxed);
        group.afterwards.into_iter().for_each(|work| work());
        for (mailbox, commit) in &group.changed {
            self.watchers.publish(mailbox, *commit);
        }
        Ok(())
    }

    fn failure(&self) -> Option<CommitError> {
        self.failed
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

type Answers = Vec<Box<dyn FnOnce(Result<(), CommitError>)>>;

/// Evaluates requests until none is waiting or the group is large.
fn evaluate(
    mut transaction: Transaction<'_>,
    waiting: impl Iterator<Item = Request>,
) -> (Group, Answers) {
    let mut answers = Vec::new();
    for request in waiting {
        let evaluated = request(Ok(&mut transaction));
        match evaluated.keep {
            true => transaction.keep(),
            false => transaction.undo(),
        }
        answers.push(evaluated.answer);
        if answers.len() >= MAX_REQUESTS || transaction.size() >= MAX_BYTES {
            break;
        }
    }
    (transaction.into_group(), answers)
}

impl From<EngineError> for CommitError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::SyncFailed { source } => Self::NotDurable(source),
            error => Self::Refused(Arc::new(error)),
        }
    }
}

impl From<SegmentError> for CommitError {
    fn from(error: SegmentError) -> Self {
        Self::NotDurable(Arc::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{Batch, Memory, Snapshot},
        seal::KeySet,
        segment::{Fault, FaultyFiles, MAX_BODY, MIN_SEGMENT_SIZE},
    };
    use futures::{FutureExt, executor::block_on, future::join_all};
    use std::sync::{Mutex, atomic::AtomicBool};
    use wm_core::OrganizationId;

    /// An engine whose commits can be held up and made to fail.
    #[derive(Default)]
    struct Slow {
        engine: Memory,
        gate: Mutex<()>,
        entered: AtomicBool,
        failing: AtomicBool,
        batches: Mutex<Vec<usize>>,
    }

    impl Engine for Slow {
        fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError> {
            self.engine.snapshot()
        }

        fn commit(&self, batch: Batch) -> Result<(), EngineError> {
            self.entered.store(true, Ordering::Relaxed);
            let _open = self.gate.lock().unwrap();
            if self.failing.load(Ordering::Relaxed) {
                return Err(EngineError::SyncFailed {
                    source: Arc::new(io::Error::other("dead")),
                });
            }
            self.batches.lock().unwrap().push(batch.writes.len());
            self.engine.commit(batch)
        }

        fn name(&self) -> &'static str {
            "slow"
        }

        fn disk_size(&self) -> Result<u64, EngineError> {
            Ok(0)
        }
    }

    impl Slow {
        fn wait_for_a_commit(&self) {
            while !self.entered.load(Ordering::Relaxed) {
                thread::yield_now();
            }
        }
    }

    fn start() -> (Arc<Slow>, FaultyFiles, Bodies, Committer) {
        let engine = Arc::new(Slow::default());
        let files = FaultyFiles::new();
        let bodies = Bodies::open(Arc::new(files.clone()), MIN_SEGMENT_SIZE).unwrap();
        let committer =
            Committer::start(engine.clone(), bodies.clone(), Watchers::default(), None).unwrap();
        (engine, files, bodies, committer)
    }

    /// Takes the next number from a counter, as UIDs are taken.
    fn next(transaction: &mut Transaction<'_>) -> Result<u8, CommitError> {
        let last = transaction.get(b"counter")?.map_or(0, |value| value[0]);
        transaction.put("counter", vec![last + 1]);
        Ok(last + 1)
    }

    #[test]
    fn numbers_taken_by_waiting_requests_differ_and_cost_one_commit() {
        let (engine, _, _, committer) = start();
        let closed = engine.gate.lock().unwrap();
        let first = committer.commit(next);
        engine.wait_for_a_commit();
        let others: Vec<_> = (0..20).map(|_| committer.commit(next)).collect();
        drop(closed);
        assert_eq!(block_on(first).unwrap(), 1);
        let numbers: Vec<_> = block_on(join_all(others))
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert!((2..22).eq(numbers));
        assert_eq!(*engine.batches.lock().unwrap(), [1, 1]);
    }

    #[test]
    fn a_refused_request_leaves_nothing_and_harms_nobody() {
        let (engine, _, _, committer) = start();
        let closed = engine.gate.lock().unwrap();
        let before = committer.commit(next);
        let refused = committer.commit(|transaction| -> Result<u8, CommitError> {
            transaction.put("trace", "of a refused request");
            next(transaction)?;
            Err(CommitError::Closed)
        });
        let broken = committer.commit(|transaction| -> Result<u8, CommitError> {
            next(transaction)?;
            panic!("on purpose")
        });
        let after = committer.commit(next);
        drop(closed);
        assert_eq!(block_on(before).unwrap(), 1);
        assert!(matches!(block_on(refused), Err(CommitError::Closed)));
        assert!(matches!(block_on(broken), Err(CommitError::Defect)));
        assert_eq!(block_on(after).unwrap(), 2);
        assert_eq!(engine.snapshot().unwrap().get(b"trace").unwrap(), None);
    }

    #[test]
    fn nobody_is_answered_before_the_commit_is_durable() {
        let (engine, _, _, committer) = start();
        let closed = engine.gate.lock().unwrap();
        let mut accepted = Box::pin(committer.commit(next));
        let refused = committer.commit(|_| -> Result<(), CommitError> { Err(CommitError::Closed) });
        let mut refused = Box::pin(refused);
        engine.wait_for_a_commit();
        assert!(accepted.as_mut().now_or_never().is_none());
        assert!(refused.as_mut().now_or_never().is_none());
        assert_eq!(engine.snapshot().unwrap().get(b"counter").unwrap(), None);
        drop(closed);
        assert!(block_on(accepted).is_ok());
        assert!(block_on(refused).is_err());
    }

    #[test]
    fn after_a_failed_engine_sync_nothing_is_acknowledged_any_more() {
        let (engine, _, _, committer) = start();
        assert_eq!(block_on(committer.commit(next)).unwrap(), 1);
        engine.failing.store(true, Ordering::Relaxed);
        let failed = block_on(committer.commit(next));
        engine.failing.store(false, Ordering::Relaxed);
        let later = block_on(committer.commit(next));
        assert!(matches!(failed, Err(CommitError::NotDurable(_))));
        assert!(matches!(later, Err(CommitError::NotDurable(_))));
        assert!(committer.failure().is_some());
    }

    #[test]
    fn a_body_that_cannot_be_synced_keeps_the_engine_from_referring_to_it() {
        let (engine, files, bodies, committer) = start();
        let keys = Arc::new(KeySet::generate(OrganizationId::from_u128(1)).unwrap());
        let body = block_on(async {
            let mut writer = bodies.writer(keys, MAX_BODY).unwrap();
            writer.write(b"body").await.unwrap();
            writer.finish().await.unwrap()
        });
        files.set_fault(Some(Fault::Sync));
        let refer = committer.commit(move |transaction| -> Result<(), CommitError> {
            transaction.put("item", "refers to the body");
            transaction.refer_to(body);
            Ok(())
        });
        assert!(matches!(block_on(refer), Err(CommitError::NotDurable(_))));
        assert_eq!(engine.snapshot().unwrap().get(b"item").unwrap(), None);
        files.set_fault(None);
        assert!(matches!(
            block_on(committer.commit(next)),
            Err(CommitError::NotDurable(_))
        ));
    }

    #[test]
    fn dropping_the_committer_finishes_what_was_asked() {
        let (engine, _, _, committer) = start();
        let answers: Vec<_> = (0..50).map(|_| committer.commit(next)).collect();
        drop(committer);
        assert!(
            block_on(join_all(answers))
                .into_iter()
                .all(|answer| answer.is_ok())
        );
        assert_eq!(
            engine.snapshot().unwrap().get(b"counter").unwrap().unwrap()[0],
            50
        );
    }
}
