//! Reading what the store keeps of a view's messages.

use std::ops::Range;

use futures::StreamExt;
use wm_core::FolderId;
use wm_core::access::MailboxSession;
use wm_core::content::{Scanner, Structure};
use wm_core::model::Item;
use wm_core::traits::{ItemList, ListBy, StoreError};

use super::view::Message;

/// Messages read at a time.
pub(super) const PAGE: usize = 200;

/// The items of these messages, by rising place. Messages that are no longer in the folder are left out.
pub(super) async fn load(
    mailbox: &MailboxSession,
    folder: FolderId,
    wanted: &[(usize, Message)],
) -> Result<Vec<(usize, Item)>, StoreError> {
    let mut found = Vec::with_capacity(wanted.len());
    let (Some((first, from)), Some((last, to))) = (wanted.first(), wanted.last()) else {
        return Ok(found);
    };
    if wanted.len() > 3 && last - first < wanted.len() * 2 {
        let by = ListBy::Uid {
            from: from.uid,
            to: Some(to.uid),
        };
        let mut list = ItemList {
            folder,
            by,
            descending: false,
            after: None,
            limit: PAGE,
        };
        let mut wanted = wanted.iter().peekable();
        loop {
            let page = mailbox.items(list.clone()).await?;
            for item in page.entries {
                while wanted
                    .next_if(|(_, message)| message.uid < item.uid)
                    .is_some()
                {}
                if let Some((place, _)) = wanted.next_if(|(_, message)| message.uid == item.uid) {
                    found.push((*place, item));
                }
            }
            list.after = page.next;
            if list.after.is_none() {
                return Ok(found);
            }
        }
    }
    for (place, message) in wanted {
        match mailbox.item(message.item).await {
            Ok(item) if item.folder == folder && item.uid == message.uid => {
                found.push((*place, item))
            }
            Ok(_) | Err(StoreError::NoSuchItem(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// How much of a message has to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    Nothing,
    /// Its header block.
    Head,
    /// All its parts.
    Parts,
}

/// The structure of a message, as far as `depth` asks for.
pub(super) async fn structure(
    mailbox: &MailboxSession,
    item: &Item,
    depth: Depth,
) -> Result<Structure, StoreError> {
    let mut scanner = Scanner::new();
    if depth > Depth::Nothing {
        let mut stream = mailbox.read(item.id, 0..item.size).await?;
        while let Some(octets) = stream.next().await {
            scanner.feed(&octets?);
            if depth == Depth::Head && scanner.has_head() {
                break;
            }
        }
    }
    Ok(scanner.finish())
}

/// Octets of a message, all at once.
pub(super) async fn octets(
    mailbox: &MailboxSession,
    item: &Item,
    range: Range<u64>,
) -> Result<Vec<u8>, StoreError> {
    let mut found = Vec::new();
    let mut stream = mailbox.read(item.id, range).await?;
    while let Some(octets) = stream.next().await {
        found.extend_from_slice(&octets?);
    }
    Ok(found)
}
