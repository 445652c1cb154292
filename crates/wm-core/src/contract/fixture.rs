//! Values the suites share.

use crate::model::{Flags, FolderRole, ItemClass, Origin, Protocol, Summary};
use crate::traits::{
    AuditEvent, AuditOutcome, Body, BodyWriter, Changeset, FolderTarget, ItemContent, Mode,
    NewItem, Operation,
};
use crate::{AccountId, ConversationId, MailboxId, MailboxRef, OrganizationId, Timestamp};

/// The `n`th organization.
#[must_use]
pub fn organization(n: u8) -> OrganizationId {
    OrganizationId::from_u128(0xa000 + u128::from(n))
}

/// The `n`th mailbox of the first organization.
#[must_use]
pub fn mailbox(n: u8) -> MailboxRef {
    MailboxRef {
        organization: organization(1),
        mailbox: MailboxId::from_u128(0xb000 + u128::from(n)),
    }
}

/// An audit event, as every change of a directory needs one.
///
/// # Panics
/// Never: the account number is a constant that fits.
#[must_use]
#[allow(clippy::expect_used, reason = "a constant of twelve digits")]
pub fn audit(name: &str) -> AuditEvent {
    AuditEvent {
        id: 1,
        at: Timestamp::from_seconds(1_800_000_000),
        identity: "contract".into(),
        name: name.into(),
        account: AccountId::from_u64(42).expect("fits twelve digits"),
        organization: None,
        source_address: "127.0.0.1".into(),
        user_agent: "contract".into(),
        request_id: "r".into(),
        parameters: "{}".into(),
        outcome: AuditOutcome::Done(String::new()),
    }
}

/// A message with this body, received at this time, for this folder.
#[must_use]
pub fn item(body: Body, received: Timestamp, folder: impl Into<FolderTarget>) -> NewItem {
    NewItem {
        folder: folder.into(),
        delivered: true,
        class: ItemClass::default(),
        content: ItemContent {
            prefix: b"Return-Path: <sender@example.org>\r\n".to_vec(),
            body,
            summary: Summary {
                subject: format!("at {}", received.as_seconds()),
                ..Summary::default()
            },
        },
        received,
        flags: Flags::NONE,
        keywords: [].into(),
        categories: [].into(),
        conversation: ConversationId::default(),
        creator: None,
        properties: [].into(),
    }
}

/// Operations as one all-or-nothing changeset.
#[must_use]
pub fn operation_at(seconds: i64, operations: Vec<Operation>) -> Changeset {
    Changeset {
        origin: Origin::new(Protocol::Imap, "contract"),
        at: Timestamp::from_seconds(seconds),
        mode: Mode::AllOrNothing,
        operations,
    }
}

/// Writes a body in two pieces.
pub(super) async fn write_body(mut writer: Box<dyn BodyWriter>, octets: &[u8]) -> Body {
    let (head, tail) = octets.split_at(octets.len() / 2);
    for piece in [head, tail] {
        writer
            .write(bytes::Bytes::copy_from_slice(piece))
            .await
            .unwrap_or_else(|e| panic!("write: {e}"));
    }
    writer
        .finish()
        .await
        .unwrap_or_else(|e| panic!("finish: {e}"))
}

/// The inbox, as a target.
pub(super) const INBOX: FolderTarget = FolderTarget::Role(FolderRole::Inbox);
