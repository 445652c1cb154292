//! Threads for work that blocks, so that no poll ever does.

use futures::channel::oneshot;
use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

type Job = Box<dyn FnOnce() + Send>;

/// A small, fixed pool. Jobs start in the order they come; dropping the pool waits for those that
/// were taken on.
pub(crate) struct Workers {
    queue: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` threads called `name`.
    pub(crate) fn start(name: &str, count: usize) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel::<Job>();
        let jobs = Arc::new(Mutex::new(jobs));
        let mut workers = Self {
            queue: Some(queue),
            threads: Vec::new(),
        };
        for _ in 0..count.max(1) {
            let jobs = jobs.clone();
            let next = move || jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let work = move || {
                while let Ok(job) = next() {
                    job();
                }
            };
            workers
                .threads
                .push(thread::Builder::new().name(name.to_owned()).spawn(work)?);
        }
        Ok(workers)
    }

    /// Queues a job now; its result can be awaited. The answer is
    /// [`Canceled`](oneshot::Canceled) if the job panicked or the pool is gone.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (answer, receiver) = oneshot::channel();
        let job = move || {
            // A panic costs its own job the answer, not the pool a thread.
            if let Ok(result) = catch_unwind(AssertUnwindSafe(job)) {
                // Nobody may be waiting any more.
                let _ = answer.send(result);
            }
        };
        if let Some(queue) = &self.queue {
            // Without a thread left the job is dropped and its answer cancelled.
            let _ = queue.send(Box::new(job));
        }
        receiver
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.queue = None;
        let this = thread::current().id();
        for worker in self.threads.drain(..) {
            // The last owner may be a job on one of these threads.
            if worker.thread().id() != this {
                let _ = worker.join();
            }
        }
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("threads", &self.threads.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;

    #[test]
    fn a_panicking_job_loses_its_answer_and_nothing_else() {
        let workers = Workers::start("test", 1).unwrap();
        let broken = workers.run(|| -> u8 { panic!("on purpose") });
        let whole = workers.run(|| 7);
        assert!(block_on(broken).is_err());
        assert_eq!(block_on(whole), Ok(7));
    }

    #[test]
    fn dropping_the_pool_finishes_what_was_queued() {
        let workers = Workers::start("test", 2).unwrap();
        let answers: Vec<_> = (0..100).map(|n| workers.run(move || n)).collect();
        drop(workers);
        assert!((0..100).eq(answers.into_iter().map(|answer| block_on(answer).unwrap())));
    }
}
