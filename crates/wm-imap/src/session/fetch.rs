//! FETCH (RFC 3501 §6.4.5): a job that answers message by message, and passes bodies on as they are read.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

use chrono::{DateTime, FixedOffset};
use futures::StreamExt;
use imap_codec::ResponseCodec;
use imap_codec::encode::Encoder;
use imap_codec::imap_types::bounded_static::IntoBoundedStatic;
use imap_codec::imap_types::core::{NString, NonEmptyVec};
use imap_codec::imap_types::datetime::DateTime as ImapDateTime;
use imap_codec::imap_types::fetch::{
    MacroOrMessageDataItemNames, MessageDataItem, MessageDataItemName, Section,
};
use imap_codec::imap_types::response::{Data, Response};
use wm_core::access::MailboxSession;
use wm_core::content::Structure;
use wm_core::model::{Flags, Item};
use wm_core::traits::{BodyStream, Expect, ItemUpdate, Mode, Operation, StoreError};
use wm_core::{FolderId, ItemId, ModSeq, Timestamp};

use super::Failure;
use super::flags::fetch_flags;
use super::items::{self, Depth, PAGE};
use super::output::Output;
use super::view::{View, number};
use crate::message::{Cut, body_structure, envelope};

type Name = MessageDataItemName<'static>;

/// The answer to a FETCH, under way.
pub(super) struct Fetch {
    names: Vec<Name>,
    depth: Depth,
    /// Messages still to be read, and those read but not answered.
    places: VecDeque<usize>,
    loaded: VecDeque<(usize, Item)>,
    message: Option<Answer>,
    /// The structure of the message last looked at, which clients tend to ask about again.
    last: Option<(ItemId, ModSeq, Depth, Arc<Structure>)>,
    /// Why some messages could not be answered.
    failure: Option<Failure>,
    by_uid: bool,
}

/// The answer about one message.
struct Answer {
    item: Item,
    structure: Arc<Structure>,
    names: VecDeque<Name>,
    body: Option<Body>,
}

/// A literal being passed on.
struct Body {
    stream: BodyStream,
    left: u64,
}

/// How far a job has got.
pub(super) enum Progress {
    /// There is more to do.
    More,
    /// It is done.
    Done(Result<(), Failure>),
    /// A literal could not be completed: nothing sensible can follow on this connection.
    Broken(StoreError),
}

impl Fetch {
    pub(super) fn new(
        items: MacroOrMessageDataItemNames<'_>,
        places: Vec<usize>,
        by_uid: bool,
    ) -> Self {
        let mut names = match items {
            MacroOrMessageDataItemNames::Macro(shorthand) => shorthand.expand().into_static(),
            MacroOrMessageDataItemNames::MessageDataItemNames(names) => names.into_static(),
        };
        if by_uid && !names.contains(&Name::Uid) {
            names.insert(0, Name::Uid);
        }
        let depth = names.iter().map(depth).max().unwrap_or(Depth::Nothing);
        Self {
            names,
            depth,
            places: places.into(),
            loaded: VecDeque::new(),
            message: None,
            last: None,
            failure: None,
            by_uid,
        }
    }

    /// What others have changed, told with the UID.
    pub(super) fn flags(places: Vec<usize>) -> Self {
        let names = vec![Name::Uid, Name::Flags];
        Self::new(
            MacroOrMessageDataItemNames::MessageDataItemNames(names),
            places,
            true,
        )
    }

    /// Does a bounded part of the work.
    pub(super) async fn step(
        &mut self,
        mailbox: &MailboxSession,
        view: &mut View,
        now: Timestamp,
        out: &mut Output,
    ) -> Progress {
        if let Some(answer) = &mut self.message {
            return match answer.step(mailbox, out).await {
                Ok(true) => Progress::More,
                Ok(false) => {
                    self.message = None;
                    Progress::More
                }
                Err(AnswerError::Nil(failure)) => {
                    self.failure = Some(failure);
                    Progress::More
                }
                Err(AnswerError::Broken(error)) => Progress::Broken(error),
            };
        }
        if let Some((place, item)) = self.loaded.pop_front() {
            if let Err(error) = self.begin(mailbox, view, place, item, out).await {
                self.failure = Some(error.into());
            }
            return Progress::More;
        }
        if self.places.is_empty() {
            return Progress::Done(self.failure.take().map_or(Ok(()), Err));
        }
        match self.load(mailbox, view, now).await {
            Ok(()) => Progress::More,
            Err(error) => Progress::Done(Err(error.into())),
        }
    }

    async fn load(
        &mut self,
        mailbox: &MailboxSession,
        view: &mut View,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let page = self.places.len().min(PAGE);
        let places: Vec<usize> = self.places.drain(..page).collect();
        let (folder, messages) = (view.folder(), view.at(&places));
        let mut loaded = items::load(mailbox, folder, &messages).await?;
        if loaded.len() < messages.len() && !self.by_uid {
            self.failure = Some(Failure::ExpungeIssued);
        }
        if !view.is_read_only() && self.names.iter().any(sets_seen) {
            let unseen = loaded
                .iter()
                .filter(|(_, item)| !item.flags.contains(Flags::READ));
            let operations: Vec<_> = unseen.map(|(_, item)| mark_seen(folder, item.id)).collect();
            if !operations.is_empty() {
                match mailbox.apply(Mode::EachOnItsOwn, operations, now).await {
                    Ok(_) => loaded = items::load(mailbox, folder, &messages).await?,
                    Err(StoreError::Denied) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        self.loaded = loaded.into();
        Ok(())
    }

    /// Begins the answer about a message.
    async fn begin(
        &mut self,
        mailbox: &MailboxSession,
        view: &mut View,
        place: usize,
        item: Item,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let Some(seq) = number(place) else {
            return Ok(());
        };
        let structure = self.structure(mailbox, &item).await?;
        let mut names: VecDeque<Name> = self.names.iter().cloned().collect();
        let unknown = item.modseq() > view.known_state(place);
        if self.names.iter().any(sets_seen) && unknown && !names.contains(&Name::Flags) {
            names.push_front(Name::Flags);
        }
        if names.contains(&Name::Flags) {
            view.knows(place, item.modseq());
        }
        out.push(format!("* {seq} FETCH (").as_bytes());
        self.message = Some(Answer {
            item,
            structure,
            names,
            body: None,
        });
        Ok(())
    }

    async fn structure(
        &mut self,
        mailbox: &MailboxSession,
        item: &Item,
    ) -> Result<Arc<Structure>, StoreError> {
        if let Some((id, content, depth, structure)) = &self.last
            && (*id, *content) == (item.id, item.stamps.content)
            && *depth >= self.depth
        {
            return Ok(structure.clone());
        }
        let structure = Arc::new(items::structure(mailbox, item, self.depth).await?);
        self.last = Some((item.id, item.stamps.content, self.depth, structure.clone()));
        Ok(structure)
    }
}

enum AnswerError {
    /// An item was answered NIL because of this.
    Nil(Failure),
    /// A literal ended early.
    Broken(StoreError),
}

impl Answer {
    /// Writes a piece of the answer; whether there is more.
    async fn step(
        &mut self,
        mailbox: &MailboxSession,
        out: &mut Output,
    ) -> Result<bool, AnswerError> {
        if let Some(body) = &mut self.body {
            body.step(out).await?;
            if body.left == 0 {
                self.body = None;
                self.end_item(out);
            }
            return Ok(true);
        }
        let Some(name) = self.names.pop_front() else {
            out.push(b")\r\n");
            return Ok(false);
        };
        match self.data(&name) {
            Answered::Plain(data) => {
                out.push(&data);
                self.end_item(out);
            }
            Answered::Cut(label, Cut::Missing) => {
                out.push(&label);
                out.push(b"NIL");
                self.end_item(out);
            }
            Answered::Cut(label, Cut::Octets(octets)) => {
                out.push(&label);
                out.push(format!("{{{}}}\r\n", octets.len()).as_bytes());
                out.push_bytes(octets.into());
                self.end_item(out);
            }
            Answered::Cut(label, Cut::Range(range)) => {
                out.push(&label);
                let left = range.end - range.start;
                match mailbox.read(self.item.id, range).await {
                    Ok(stream) => {
                        out.push(format!("{{{left}}}\r\n").as_bytes());
                        self.body = Some(Body { stream, left });
                    }
                    Err(error) => {
                        out.push(b"NIL");
                        self.end_item(out);
                        return Err(AnswerError::Nil(error.into()));
                    }
                }
            }
        }
        Ok(true)
    }

    fn end_item(&self, out: &mut Output) {
        if !self.names.is_empty() {
            out.push(b" ");
        }
    }

    fn data(&self, name: &Name) -> Answered {
        let (item, root) = (&self.item, self.structure.root());
        let plain = match name {
            Name::Uid => MessageDataItem::Uid(item.uid.0),
            Name::Flags => MessageDataItem::Flags(fetch_flags(item)),
            Name::InternalDate => MessageDataItem::InternalDate(internal_date(item.received)),
            Name::Rfc822Size => {
                MessageDataItem::Rfc822Size(u32::try_from(item.size).unwrap_or(u32::MAX))
            }
            Name::Envelope => MessageDataItem::Envelope(envelope(root.head())),
            Name::Body => MessageDataItem::Body(body_structure(root, false)),
            Name::BodyStructure => MessageDataItem::BodyStructure(body_structure(root, true)),
            Name::Rfc822 => return self.cut(MessageDataItem::Rfc822(NString(None)), None, None),
            Name::Rfc822Header => {
                return self.cut(
                    MessageDataItem::Rfc822Header(NString(None)),
                    Some(&Section::Header(None)),
                    None,
                );
            }
            Name::Rfc822Text => {
                return self.cut(
                    MessageDataItem::Rfc822Text(NString(None)),
                    Some(&Section::Text(None)),
                    None,
                );
            }
            Name::BodyExt {
                section, partial, ..
            } => {
                let origin = partial.map(|(first, _)| first);
                let label = MessageDataItem::BodyExt {
                    section: section.clone(),
                    origin,
                    data: NString(None),
                };
                return self.cut(label, section.as_ref(), *partial);
            }
        };
        Answered::Plain(encoded(plain))
    }

    fn cut(
        &self,
        empty: MessageDataItem<'static>,
        section: Option<&Section<'_>>,
        partial: Option<(u32, NonZeroU32)>,
    ) -> Answered {
        let mut label = encoded(empty);
        label.truncate(label.len().saturating_sub(b"NIL".len()));
        let cut = Cut::of(section, &self.structure, self.item.size);
        Answered::Cut(
            label,
            partial.map_or(cut.clone(), |(first, count)| {
                cut.partial(first, count.get())
            }),
        )
    }
}

enum Answered {
    /// The item, encoded.
    Plain(Vec<u8>),
    /// The item's name, and the octets that follow as a literal.
    Cut(Vec<u8>, Cut),
}

impl Body {
    /// Passes on the next piece.
    async fn step(&mut self, out: &mut Output) -> Result<(), AnswerError> {
        if self.left == 0 {
            return Ok(());
        }
        let mut octets = match self.stream.next().await {
            Some(Ok(octets)) => octets,
            Some(Err(error)) => return Err(AnswerError::Broken(error)),
            None => {
                let what = "a message shorter than its size".to_owned();
                return Err(AnswerError::Broken(StoreError::Damaged {
                    what,
                    source: None,
                }));
            }
        };
        octets.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= octets.len() as u64;
        out.push_bytes(octets);
        Ok(())
    }
}

/// An item as imap-codec writes it.
fn encoded(item: MessageDataItem<'_>) -> Vec<u8> {
    const BEFORE: &[u8] = b"* 1 FETCH (";
    const AFTER: &[u8] = b")\r\n";
    let fetch = Data::Fetch {
        seq: NonZeroU32::MIN,
        items: NonEmptyVec::from(item),
    };
    let whole = ResponseCodec::default()
        .encode(&Response::Data(fetch))
        .dump();
    let inner = whole
        .strip_prefix(BEFORE)
        .and_then(|rest| rest.strip_suffix(AFTER));
    inner.unwrap_or_default().to_vec()
}

fn mark_seen(folder: FolderId, item: ItemId) -> Operation {
    Operation::UpdateItem {
        item,
        expect: Expect {
            folder: Some(folder),
            ..Expect::default()
        },
        update: ItemUpdate {
            set: Flags::READ,
            ..ItemUpdate::default()
        },
    }
}

fn sets_seen(name: &Name) -> bool {
    matches!(
        name,
        Name::Rfc822 | Name::Rfc822Text | Name::BodyExt { peek: false, .. }
    )
}

/// How much of a message an item is made from.
fn depth(name: &Name) -> Depth {
    match name {
        Name::Envelope | Name::Rfc822Header | Name::Rfc822Text => Depth::Head,
        Name::Body | Name::BodyStructure => Depth::Parts,
        Name::BodyExt {
            section: Some(section),
            ..
        } => match section {
            Section::Header(None)
            | Section::Text(None)
            | Section::HeaderFields(None, _)
            | Section::HeaderFieldsNot(None, _) => Depth::Head,
            _ => Depth::Parts,
        },
        _ => Depth::Nothing,
    }
}

/// INTERNALDATE, in UTC.
fn internal_date(received: Timestamp) -> ImapDateTime {
    let date = DateTime::from_timestamp(received.as_seconds(), 0).unwrap_or_default();
    // Four digits are all a year can have.
    let date: DateTime<FixedOffset> = date.fixed_offset();
    ImapDateTime::try_from(date)
        .unwrap_or_else(|_| ImapDateTime::unvalidated(DateTime::UNIX_EPOCH.fixed_offset()))
}
