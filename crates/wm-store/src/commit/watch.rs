use futures::{Stream, task::AtomicWaker};
use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};
use wm_core::{MailboxRef, ModSeq, traits};

/// Who watches which mailbox.
#[derive(Clone, Default)]
pub(crate) struct Watchers(Arc<Mutex<Watched>>);

#[derive(Default)]
struct Watched {
    mailboxes: HashMap<MailboxRef, Vec<Arc<Cell>>>,
    closed: bool,
}

#[derive(Default)]
struct Cell {
    latest: AtomicU64,
    closed: AtomicBool,
    waker: AtomicWaker,
}

impl Watchers {
    /// The numbers of the commits to a mailbox that become visible from now on; intermediate ones
    /// may be left out, the last one never is. Ends when the store closes.
    pub(crate) fn watch(&self, mailbox: MailboxRef) -> traits::Watch {
        let cell = Arc::new(Cell::default());
        let mut watched = self.lock();
        if watched.closed {
            return Box::pin(futures::stream::empty());
        }
        watched
            .mailboxes
            .entry(mailbox)
            .or_default()
            .push(cell.clone());
        Box::pin(Watch {
            watchers: self.clone(),
            mailbox,
            cell,
            seen: 0,
        })
    }

    /// A commit has become visible.
    pub(super) fn publish(&self, mailbox: &MailboxRef, commit: ModSeq) {
        for cell in self.lock().mailboxes.get(mailbox).into_iter().flatten() {
            cell.latest.fetch_max(commit.0, Ordering::AcqRel);
            cell.waker.wake();
        }
    }

    /// Ends every watch.
    pub(super) fn close(&self) {
        let mut watched = self.lock();
        watched.closed = true;
        for cell in watched.mailboxes.drain().flat_map(|(_, cells)| cells) {
            cell.closed.store(true, Ordering::Release);
            cell.waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Watch {
    watchers: Watchers,
    mailbox: MailboxRef,
    cell: Arc<Cell>,
    seen: u64,
}

impl Stream for Watch {
    type Item = ModSeq;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ModSeq>> {
        self.cell.waker.register(context.waker());
        let latest = self.cell.latest.load(Ordering::Acquire);
        if latest > self.seen {
            self.seen = latest;
            return Poll::Ready(Some(ModSeq(latest)));
        }
        match self.cell.closed.load(Ordering::Acquire) {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.watchers.lock();
        if let Some(cells) = watched.mailboxes.get_mut(&self.mailbox) {
            cells.retain(|cell| !Arc::ptr_eq(cell, &self.cell));
            if cells.is_empty() {
                watched.mailboxes.remove(&self.mailbox);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, StreamExt, executor::block_on};
    use wm_core::{MailboxId, OrganizationId};

    fn mailbox(n: u128) -> MailboxRef {
        MailboxRef {
            organization: OrganizationId::from_u128(1),
            mailbox: MailboxId::from_u128(n),
        }
    }

    #[test]
    fn a_slow_watcher_sees_the_last_number() {
        let watchers = Watchers::default();
        let mut watch = watchers.watch(mailbox(1));
        assert_eq!(watch.next().now_or_never(), None);
        for commit in [3, 4, 5] {
            watchers.publish(&mailbox(1), ModSeq(commit));
        }
        assert_eq!(block_on(watch.next()), Some(ModSeq(5)));
        assert_eq!(watch.next().now_or_never(), None);
    }

    #[test]
    fn a_watcher_sees_its_own_mailbox_only_and_the_end() {
        let watchers = Watchers::default();
        let mut watch = watchers.watch(mailbox(1));
        watchers.publish(&mailbox(2), ModSeq(9));
        assert_eq!(watch.next().now_or_never(), None);
        watchers.close();
        assert_eq!(block_on(watch.next()), None);
        assert_eq!(block_on(watchers.watch(mailbox(1)).next()), None);
    }

    #[test]
    fn a_dropped_watch_leaves_nothing() {
        let watchers = Watchers::default();
        drop(watchers.watch(mailbox(1)));
        assert!(watchers.lock().mailboxes.is_empty());
    }
}
