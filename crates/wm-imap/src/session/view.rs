//! A client's view of its selected mailbox: which message has which sequence number (RFC 3501 §2.3.1.2).
//!
//! The store moves on while a client looks at a mailbox. The view takes in what has happened
//! ([`View::refresh`]) and tells it when the protocol allows ([`View::tell`]); in between, the numbers
//! mean what the client believes they mean:
//!
//! - A message that is gone keeps its number until an EXPUNGE response may be sent, which is never
//!   during FETCH, STORE and SEARCH (RFC 3501 §7.4.1).
//! - A new message has no number until an EXISTS response has been sent. Messages are numbered by
//!   rising UID; since every change up to one point in the history is taken in before anything is told,
//!   none comes in below a number that has been told.
//! - Each flag change made by others is told once, those the client made are not told back.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::Range;

use futures::{FutureExt, StreamExt};
use imap_codec::imap_types::sequence::{SeqOrUid, Sequence, SequenceSet};
use wm_core::access::MailboxSession;
use wm_core::model::{ChangeMask, Flags, Folder, Item};
use wm_core::traits::{ItemList, ListBy, StoreError, Watch};
use wm_core::{FolderId, ItemId, ModSeq, Uid};

/// Changes asked for at a time.
const PAGE: usize = 1000;
/// How far from an end of a folder the first unseen message is looked for, in messages: some milliseconds.
const UNSEEN_WITHIN: usize = 500;

pub(super) struct View {
    folder: FolderId,
    read_only: bool,
    /// By rising UID; the first `told` of them have sequence numbers.
    messages: Vec<Message>,
    told: usize,
    /// Up to which commit the store's history has been taken in.
    state: ModSeq,
    /// Wakes for commits, until the store closes.
    watch: Option<Watch>,
    /// Whether there may be something after `state`.
    stale: bool,
    /// Whether there may be something to tell.
    news: bool,
}

/// A message in a view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    pub(super) uid: Uid,
    pub(super) item: ItemId,
    /// The last change to its flags that the client knows of, if any.
    known: ModSeq,
    gone: bool,
    changed: bool,
}

impl Message {
    fn new(uid: Uid, item: ItemId) -> Self {
        Self {
            uid,
            item,
            known: ModSeq::default(),
            gone: false,
            changed: false,
        }
    }
}

/// What a client has to be told, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Numbers of messages that are gone; each is that at the time it is told.
    pub(super) expunged: Vec<NonZeroU32>,
    /// How many messages there are now, if more.
    pub(super) exists: Option<u32>,
    /// Places of messages whose flags others have changed.
    pub(super) changed: Vec<usize>,
}

/// A set that names a sequence number that no message has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoSuchMessage;

/// Places in a view. As ranges, so that a set takes no more memory than it took to send, however often it names
/// a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// Rising and apart from each other.
    ranges: Vec<Range<usize>>,
}

impl Places {
    fn new(mut ranges: Vec<Range<usize>>) -> Self {
        ranges.retain(|range| !range.is_empty());
        ranges.sort_unstable_by_key(|range| range.start);
        ranges.dedup_by(|next, last| {
            let joined = next.start <= last.end;
            if joined {
                last.end = last.end.max(next.end);
            }
            joined
        });
        Self { ranges }
    }

    pub(super) fn contains(&self, place: usize) -> bool {
        let after = self.ranges.partition_point(|range| range.start <= place);
        let range = after.checked_sub(1).and_then(|i| self.ranges.get(i));
        range.is_some_and(|range| range.contains(&place))
    }

    /// Each of them once, rising.
    pub(super) fn list(&self) -> Vec<usize> {
        self.ranges.iter().cloned().flatten().collect()
    }
}

impl View {
    /// Opens a folder. All its messages have sequence numbers at once.
    pub(super) async fn open(
        mailbox: &MailboxSession,
        folder: FolderId,
        read_only: bool,
    ) -> Result<Self, StoreError> {
        let watch = mailbox.watch();
        let (state, uids) = mailbox.uids(folder).await?;
        let messages: Vec<_> = uids
            .into_iter()
            .map(|(uid, item)| Message::new(uid, item))
            .collect();
        let told = messages.len();
        let watch = Some(watch);
        Ok(Self {
            folder,
            read_only,
            messages,
            told,
            state,
            watch,
            stale: false,
            news: false,
        })
    }

    pub(super) fn folder(&self) -> FolderId {
        self.folder
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// How many messages the client knows of.
    pub(super) fn len(&self) -> usize {
        self.told
    }

    pub(super) fn last_uid(&self) -> Option<Uid> {
        self.numbered().last().map(|message| message.uid)
    }

    /// The number of the first message without `\Seen` (RFC 3501 §6.3.1), where it costs little to find:
    /// it is not found when it is far from both ends of the folder, nor when the folder, of which `folder`
    /// has the counts, changes meanwhile. A client may not conclude anything from its absence.
    pub(super) async fn first_unseen(
        &self,
        mailbox: &MailboxSession,
        folder: &Folder,
    ) -> Result<Option<NonZeroU32>, StoreError> {
        let all = self.numbered().len() as u64;
        if folder.highest_modseq != self.state || folder.unread == 0 || folder.total != all {
            return Ok(None);
        }
        if folder.unread == all {
            return Ok(Some(NonZeroU32::MIN));
        }
        let list = |descending| ItemList {
            folder: self.folder,
            by: ListBy::Uid {
                from: Uid(NonZeroU32::MIN),
                to: self.last_uid(),
            },
            descending,
            after: None,
            limit: UNSEEN_WITHIN,
        };
        let is_unseen = |item: &&Item| !item.flags.contains(Flags::READ);
        let first = mailbox.items(list(false)).await?;
        let mut found = first.entries.iter().find(is_unseen).map(|item| item.uid);
        if found.is_none() {
            // The last to be met from the end, of as many as there are.
            let last = mailbox.items(list(true)).await?;
            let before_first = usize::try_from(folder.unread - 1).unwrap_or(usize::MAX);
            let mut unseen = last.entries.iter().filter(is_unseen);
            found = unseen.nth(before_first).map(|item| item.uid);
        }
        if mailbox.folder(self.folder).await?.highest_modseq != self.state {
            return Ok(None);
        }
        let place = found.and_then(|uid| {
            let place = self
                .numbered()
                .binary_search_by_key(&uid, |message| message.uid);
            u32::try_from(place.ok()?).ok()
        });
        Ok(place.and_then(|place| NonZeroU32::MIN.checked_add(place)))
    }

    /// The messages that have sequence numbers; the number is one more than the place.
    pub(super) fn numbered(&self) -> &[Message] {
        self.messages.get(..self.told).unwrap_or(&self.messages)
    }

    /// The messages at these places.
    pub(super) fn at(&self, places: &[usize]) -> Vec<(usize, Message)> {
        places
            .iter()
            .filter_map(|&place| Some((place, *self.numbered().get(place)?)))
            .collect()
    }

    /// The places of a set's messages. UIDs that no message has are passed over.
    pub(super) fn resolve(&self, set: &SequenceSet, by_uid: bool) -> Result<Places, NoSuchMessage> {
        let last = match by_uid {
            true => self.last_uid().map_or(0, Uid::as_u32),
            false => u32::try_from(self.told).unwrap_or(u32::MAX),
        };
        let value = |bound: &SeqOrUid| match bound {
            SeqOrUid::Value(value) => value.get(),
            SeqOrUid::Asterisk => last,
        };
        let mut ranges = Vec::new();
        for sequence in set.0.as_ref() {
            let (a, b) = match sequence {
                Sequence::Single(single) => (value(single), value(single)),
                Sequence::Range(a, b) => (value(a), value(b)),
            };
            let (low, high) = (a.min(b), a.max(b));
            if by_uid {
                let before = |uid: u32| move |message: &Message| message.uid.as_u32() < uid;
                let start = self.numbered().partition_point(before(low));
                let end = match high.checked_add(1) {
                    Some(above) => self.numbered().partition_point(before(above)),
                    None => self.told,
                };
                ranges.push(start..end);
            } else if low == 0 || high > last {
                return Err(NoSuchMessage);
            } else {
                ranges.push(low as usize - 1..high as usize);
            }
        }
        Ok(Places::new(ranges))
    }

    /// The client knows this message's flags as they are in `item`.
    pub(super) fn knows(&mut self, place: usize, modseq: ModSeq) {
        if let Some(message) = self.messages.get_mut(place) {
            message.known = message.known.max(modseq);
            message.changed = false;
        }
    }

    /// The client has to be told this message's flags.
    pub(super) fn must_tell(&mut self, place: usize) {
        if let Some(message) = self.messages.get_mut(place) {
            message.changed = true;
            self.news = true;
        }
    }

    /// The state up to which the client knows this message's flags, or is about to be told of them.
    pub(super) fn known_state(&self, place: usize) -> ModSeq {
        self.messages
            .get(place)
            .map_or(self.state, |message| self.state.max(message.known))
    }

    /// The session has changed something itself: look, whether or not the store has said so yet.
    pub(super) fn expect_news(&mut self) {
        self.stale = true;
    }

    /// Whether something may have happened that has not been taken in.
    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    /// Waits until something may have happened in the mailbox.
    pub(super) async fn wait(&mut self) {
        if self.stale {
            return;
        }
        match &mut self.watch {
            Some(watch) => {
                if watch.next().await.is_none() {
                    self.watch = None;
                }
                // That the store has closed is found out by looking.
                self.stale = true;
            }
            None => std::future::pending().await,
        }
    }

    /// Takes in what has happened since the last time.
    pub(super) async fn refresh(&mut self, mailbox: &MailboxSession) -> Result<(), StoreError> {
        while let Some(Some(Some(_))) = self.watch.as_mut().map(|watch| watch.next().now_or_never())
        {
            self.stale = true;
        }
        if !self.stale {
            return Ok(());
        }
        // All of it is taken in before anything becomes visible: an item changed between two pages comes
        // with the later one, and may be older than items of the earlier one.
        let (mut since, mut arrived) = (self.state, BTreeMap::new());
        loop {
            let changes = match mailbox.changes(self.folder, since, PAGE).await {
                Err(StoreError::StateTooOld { .. }) => return self.reload(mailbox).await,
                other => other?,
            };
            for item in &changes.items {
                self.take_in(item, &mut arrived);
            }
            for gone in &changes.gone {
                arrived.remove(&gone.uid);
                if let Some(message) = self.message_mut(gone.uid) {
                    message.gone = true;
                }
            }
            since = changes.upto;
            if !changes.more {
                break;
            }
        }
        self.settle(since, arrived);
        Ok(())
    }

    /// Takes in the folder as it is, its history being forgotten.
    async fn reload(&mut self, mailbox: &MailboxSession) -> Result<(), StoreError> {
        let (state, uids) = mailbox.uids(self.folder).await?;
        for message in &mut self.messages {
            message.gone |= uids
                .binary_search_by_key(&message.uid, |(uid, _)| *uid)
                .is_err();
        }
        let last = self.messages.last().map(|message| message.uid);
        let by = ListBy::Uid {
            from: Uid(NonZeroU32::MIN),
            to: last,
        };
        let mut list = ItemList {
            folder: self.folder,
            by,
            descending: false,
            after: None,
            limit: PAGE,
        };
        while last.is_some() {
            let page = mailbox.items(list.clone()).await?;
            page.entries
                .iter()
                .for_each(|item| self.take_in(item, &mut BTreeMap::new()));
            list.after = page.next;
            if list.after.is_none() {
                break;
            }
        }
        self.settle(
            state,
            uids.into_iter()
                .filter(|(uid, _)| Some(*uid) > last)
                .collect(),
        );
        Ok(())
    }

    fn take_in(&mut self, item: &Item, arrived: &mut BTreeMap<Uid, ItemId>) {
        let state = self.state;
        let Some(message) = self.message_mut(item.uid) else {
            arrived.insert(item.uid, item.id);
            return;
        };
        let news = item.stamps.since(state.max(message.known));
        let flags = [ChangeMask::READ, ChangeMask::FLAGS, ChangeMask::LABELS];
        message.changed |= flags.into_iter().any(|part| news.contains(part));
    }

    fn settle(&mut self, state: ModSeq, arrived: BTreeMap<Uid, ItemId>) {
        self.messages.extend(
            arrived
                .into_iter()
                .map(|(uid, item)| Message::new(uid, item)),
        );
        self.state = state;
        self.stale = false;
        self.news = true;
    }

    /// What the client has to be told, which it then knows; of expunged messages only if that is allowed now.
    pub(super) fn tell(&mut self, expunges: bool) -> News {
        let mut news = News::default();
        if !self.news {
            return news;
        }
        // A message that came and went unseen never was.
        let told = self.told;
        let mut place = 0;
        self.messages.retain(|message| {
            place += 1;
            place <= told || !message.gone
        });
        if expunges {
            let gone = self
                .numbered()
                .iter()
                .enumerate()
                .rev()
                .filter(|(_, message)| message.gone);
            news.expunged = gone.filter_map(|(place, _)| number(place)).collect();
            self.messages.retain(|message| !message.gone);
            self.told -= news.expunged.len();
        }
        if self.messages.len() > self.told {
            self.told = self.messages.len();
            news.exists = Some(u32::try_from(self.told).unwrap_or(u32::MAX));
        }
        for (place, message) in self.messages.iter_mut().enumerate() {
            if std::mem::take(&mut message.changed) && !message.gone {
                news.changed.push(place);
            }
        }
        self.news = self.messages.iter().any(|message| message.gone);
        news
    }

    fn message_mut(&mut self, uid: Uid) -> Option<&mut Message> {
        let place = self
            .messages
            .binary_search_by_key(&uid, |message| message.uid)
            .ok()?;
        self.messages.get_mut(place)
    }
}

/// The sequence number of a place.
pub(super) fn number(place: usize) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(place).ok()?.checked_add(1)?)
}
