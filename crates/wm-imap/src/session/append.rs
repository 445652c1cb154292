//! APPEND (RFC 3501 §6.3.11): the message goes to the store as it comes.

use bytes::Bytes;
use wm_core::access::MailboxSession;
use wm_core::content::{Scanner, conversation};
use wm_core::model::{Folder, ItemClass};
use wm_core::traits::{BodyWriter, IdSource, ItemContent, Mode, NewItem, Operation, Outcome};
use wm_core::{ConversationId, Timestamp};

use super::Failure;
use super::flags::Marks;

/// A message being taken in.
pub(super) struct Append {
    folder: Folder,
    marks: Marks,
    received: Timestamp,
    writer: Box<dyn BodyWriter>,
    scanner: Scanner,
}

impl Append {
    pub(super) async fn begin(
        mailbox: &MailboxSession,
        folder: Folder,
        marks: Marks,
        received: Timestamp,
    ) -> Result<Self, Failure> {
        let writer = mailbox.body_writer().await?;
        Ok(Self {
            folder,
            marks,
            received,
            writer,
            scanner: Scanner::new(),
        })
    }

    pub(super) async fn write(&mut self, octets: Bytes) -> Result<(), Failure> {
        self.scanner.feed(&octets);
        Ok(self.writer.write(octets).await?)
    }

    /// Stores the message; answers the response code APPENDUID (RFC 4315 §3).
    pub(super) async fn finish(
        self,
        mailbox: &MailboxSession,
        ids: &dyn IdSource,
        now: Timestamp,
    ) -> Result<String, Failure> {
        let structure = self.scanner.finish();
        let content = ItemContent {
            prefix: Vec::new(),
            body: self.writer.finish().await?,
            summary: structure.summary(),
        };
        let item = NewItem {
            folder: self.folder.id.into(),
            delivered: false,
            class: ItemClass::default(),
            content,
            received: self.received,
            flags: self.marks.flags,
            keywords: self.marks.keywords,
            categories: [].into(),
            conversation: conversation(structure.root().head())
                .unwrap_or_else(|| ConversationId(ids.fresh())),
            creator: None,
            properties: [].into(),
        };
        let applied = mailbox
            .apply(Mode::AllOrNothing, vec![Operation::AddItem(item)], now)
            .await?;
        match applied.outcomes.first() {
            Some(Outcome::Item {
                uid, uid_validity, ..
            }) => Ok(format!("APPENDUID {uid_validity} {uid}")),
            _ => Err(Failure::Cannot),
        }
    }
}
