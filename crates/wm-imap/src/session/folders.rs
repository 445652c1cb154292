//! Mailbox names (RFC 3501 §5.1) and the commands about mailboxes as wholes.
//!
//! The hierarchy separator is `/`; one inside a folder's name is shown as U+FF0F. Only folders for
//! mail are shown: calendars, contacts and the like are not made of messages.

use std::collections::HashMap;

use imap_codec::imap_types::core::{AString, Atom, QuotedChar};
use imap_codec::imap_types::flag::FlagNameAttribute;
use imap_codec::imap_types::mailbox::{ListMailbox, Mailbox};
use imap_codec::imap_types::response::Data;
use imap_codec::imap_types::status::{StatusDataItem, StatusDataItemName};
use wm_core::access::MailboxSession;
use wm_core::model::{Folder, FolderClass, FolderRole};
use wm_core::traits::{FolderUpdate, Mode, NewFolder, Operation, Outcome, StoreError};
use wm_core::{FolderId, Timestamp};

use super::Failure;
use super::output::Output;
use crate::codec::{decode_name, encode_name};

const INBOX: &str = "INBOX";
const SEPARATOR: char = '/';
const SEPARATOR_IN_NAME: &str = "\u{ff0f}";
/// Octets of a LIST pattern.
const MAX_PATTERN: usize = 1024;

/// The folders a client sees, under the names it knows.
pub(super) struct Folders {
    named: Vec<(String, Folder)>,
}

impl Folders {
    pub(super) async fn load(mailbox: &MailboxSession) -> Result<Self, StoreError> {
        let mut names: HashMap<FolderId, String> = HashMap::new();
        let mut named = Vec::new();
        // Parents come first. Below a folder that is not shown nothing is; below one that may not be seen
        // names begin anew.
        let mut unseen = Vec::new();
        for folder in mailbox.folders().await? {
            let shown =
                folder.class == FolderClass::Mail && folder.role != Some(FolderRole::Recoverable);
            if !shown || folder.parent.is_some_and(|parent| unseen.contains(&parent)) {
                unseen.push(folder.id);
                continue;
            }
            let own = folder.name.replace(SEPARATOR, SEPARATOR_IN_NAME);
            let name = match folder.parent.and_then(|parent| names.get(&parent)) {
                _ if folder.role == Some(FolderRole::Inbox) => INBOX.to_owned(),
                Some(parent) => format!("{parent}{SEPARATOR}{own}"),
                None => own,
            };
            names.insert(folder.id, name.clone());
            named.push((name, folder));
        }
        Ok(Self { named })
    }

    pub(super) fn find(&self, mailbox: &Mailbox<'_>) -> Result<&Folder, Failure> {
        let name = name_of(mailbox).ok_or(Failure::BadName)?;
        self.by_name(&name).ok_or(Failure::NoSuchMailbox)
    }

    fn by_name(&self, name: &str) -> Option<&Folder> {
        self.named
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, folder)| folder)
    }

    fn has_children(&self, folder: FolderId) -> bool {
        self.named
            .iter()
            .any(|(_, child)| child.parent == Some(folder))
    }

    /// LIST, or LSUB for `subscribed` only.
    pub(super) fn list(
        &self,
        reference: &Mailbox<'_>,
        pattern: &ListMailbox<'_>,
        subscribed: bool,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let pattern = match pattern {
            ListMailbox::Token(token) => decode_name(token.as_ref()),
            ListMailbox::String(string) => decode_name(string.as_ref()),
        };
        let pattern = pattern.ok_or(Failure::BadName)?;
        if pattern.is_empty() {
            let noselect = vec![FlagNameAttribute::Noselect];
            out.data(list_data(noselect, "", subscribed));
            return Ok(());
        }
        let reference = match reference {
            Mailbox::Inbox => INBOX.to_owned(),
            other => name_of(other).ok_or(Failure::BadName)?,
        };
        let pattern = canonical(&format!("{reference}{pattern}"));
        if pattern.len() > MAX_PATTERN {
            return Err(Failure::BadName);
        }
        for (name, folder) in &self.named {
            if !matches(&pattern, name) {
                continue;
            }
            if folder.subscribed || !subscribed {
                out.data(list_data(self.attributes(folder), name, subscribed));
            } else if self.stands_in(name, &pattern) {
                let noselect = vec![FlagNameAttribute::Noselect];
                out.data(list_data(noselect, name, subscribed));
            }
        }
        Ok(())
    }

    /// Whether LSUB shows a folder that is not subscribed to for one below it that is, which the pattern does not
    /// reach (RFC 3501 §6.3.9).
    fn stands_in(&self, name: &str, pattern: &str) -> bool {
        let mut subscribed = self.named.iter().filter(|(_, folder)| folder.subscribed);
        subscribed.any(|(below, _)| {
            let rest = below.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(SEPARATOR)) && !matches(pattern, below)
        })
    }

    fn attributes(&self, folder: &Folder) -> Vec<FlagNameAttribute<'static>> {
        let children = if self.has_children(folder.id) {
            "HasChildren"
        } else {
            "HasNoChildren"
        };
        let special = folder.role.and_then(|role| match role {
            FolderRole::Drafts => Some("Drafts"),
            FolderRole::Sent => Some("Sent"),
            FolderRole::Deleted => Some("Trash"),
            FolderRole::Junk => Some("Junk"),
            FolderRole::Archive => Some("Archive"),
            _ => None,
        });
        let atoms = [Some(children), special].into_iter().flatten();
        atoms
            .filter_map(|name| Atom::try_from(name).ok())
            .map(FlagNameAttribute::from)
            .collect()
    }

    /// CREATE: the folder, and those above it that are missing (RFC 3501 §6.3.3).
    pub(super) async fn create(
        &self,
        mailbox: &MailboxSession,
        name: &Mailbox<'_>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let name = name_of(name).ok_or(Failure::BadName)?;
        let name = name.strip_suffix(SEPARATOR).unwrap_or(&name);
        if self.by_name(name).is_some() {
            return Err(Failure::MailboxExists);
        }
        let (parent, own) = self.make_parents(mailbox, name, now).await?;
        make(mailbox, parent, own, now).await.map(drop)
    }

    /// DELETE. A folder with others below it is refused: they would go with it.
    pub(super) async fn delete(
        &self,
        mailbox: &MailboxSession,
        name: &Mailbox<'_>,
        now: Timestamp,
    ) -> Result<FolderId, Failure> {
        let folder = self.find(name)?;
        if self.has_children(folder.id) {
            return Err(Failure::HasChildren);
        }
        mailbox
            .apply(
                Mode::AllOrNothing,
                vec![Operation::DeleteFolder { folder: folder.id }],
                now,
            )
            .await?;
        Ok(folder.id)
    }

    /// RENAME, which takes the folders below along. INBOX refuses.
    pub(super) async fn rename(
        &self,
        mailbox: &MailboxSession,
        from: &Mailbox<'_>,
        to: &Mailbox<'_>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let folder = self.find(from)?;
        let to = name_of(to).ok_or(Failure::BadName)?;
        if folder.role == Some(FolderRole::Inbox) {
            return Err(Failure::Cannot);
        }
        if self.by_name(&to).is_some() {
            return Err(Failure::MailboxExists);
        }
        let (parent, own) = self.make_parents(mailbox, &to, now).await?;
        let update = FolderUpdate {
            name: Some(own.to_owned()),
            parent: (parent != folder.parent).then_some(parent),
            ..FolderUpdate::default()
        };
        update_folder(mailbox, folder.id, update, now).await
    }

    /// SUBSCRIBE and UNSUBSCRIBE.
    pub(super) async fn subscribe(
        &self,
        mailbox: &MailboxSession,
        name: &Mailbox<'_>,
        subscribed: bool,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let update = FolderUpdate {
            subscribed: Some(subscribed),
            ..FolderUpdate::default()
        };
        update_folder(mailbox, self.find(name)?.id, update, now).await
    }

    /// The folder that a new one of this name goes into, made if need be, and its name there.
    async fn make_parents<'n>(
        &self,
        mailbox: &MailboxSession,
        name: &'n str,
        now: Timestamp,
    ) -> Result<(Option<FolderId>, &'n str), Failure> {
        let Some((path, own)) = name.rsplit_once(SEPARATOR) else {
            return Ok((None, name));
        };
        if path.split(SEPARATOR).any(str::is_empty) {
            return Err(Failure::BadName);
        }
        let mut parent = None;
        let ends = path
            .match_indices(SEPARATOR)
            .map(|(at, _)| at)
            .chain([path.len()]);
        for above in ends.filter_map(|end| path.get(..end)) {
            parent = match self.by_name(above) {
                Some(folder) => Some(folder.id),
                None => {
                    let own = above.rsplit(SEPARATOR).next().unwrap_or(above);
                    Some(make(mailbox, parent, own, now).await?)
                }
            };
        }
        Ok((parent, own))
    }
}

/// STATUS of a folder.
pub(super) fn status(
    folder: &Folder,
    mailbox: Mailbox<'_>,
    names: &[StatusDataItemName],
    out: &mut Output,
) {
    let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let items = names.iter().filter_map(|name| match name {
        StatusDataItemName::Messages => Some(StatusDataItem::Messages(count(folder.total))),
        StatusDataItemName::Recent => Some(StatusDataItem::Recent(0)),
        StatusDataItemName::UidNext => Some(StatusDataItem::UidNext(folder.uid_next.0)),
        StatusDataItemName::UidValidity => Some(StatusDataItem::UidValidity(folder.uid_validity.0)),
        StatusDataItemName::Unseen => Some(StatusDataItem::Unseen(count(folder.unread))),
        _ => None,
    });
    let items = items.collect::<Vec<_>>().into();
    out.data(Data::Status { mailbox, items });
}

/// NAMESPACE (RFC 2342): one's own mailbox.
pub(super) fn namespace(out: &mut Output) {
    out.push(b"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
}

async fn make(
    mailbox: &MailboxSession,
    parent: Option<FolderId>,
    name: &str,
    now: Timestamp,
) -> Result<FolderId, Failure> {
    let new = NewFolder {
        parent,
        name: name.to_owned(),
        class: FolderClass::Mail,
    };
    let applied = mailbox
        .apply(Mode::AllOrNothing, vec![Operation::CreateFolder(new)], now)
        .await?;
    match applied.outcomes.first() {
        Some(Outcome::Folder(folder)) => Ok(*folder),
        _ => Err(Failure::Cannot),
    }
}

async fn update_folder(
    mailbox: &MailboxSession,
    folder: FolderId,
    update: FolderUpdate,
    now: Timestamp,
) -> Result<(), Failure> {
    mailbox
        .apply(
            Mode::AllOrNothing,
            vec![Operation::UpdateFolder { folder, update }],
            now,
        )
        .await?;
    Ok(())
}

fn list_data(
    items: Vec<FlagNameAttribute<'static>>,
    name: &str,
    subscribed: bool,
) -> Data<'static> {
    let delimiter = QuotedChar::try_from(SEPARATOR).ok();
    let mailbox = on_wire(name);
    match subscribed {
        true => Data::Lsub {
            items,
            delimiter,
            mailbox,
        },
        false => Data::List {
            items,
            delimiter,
            mailbox,
        },
    }
}

fn on_wire(name: &str) -> Mailbox<'static> {
    // Encoded names are printable ASCII, which every string can be made of.
    AString::try_from(encode_name(name)).map_or(Mailbox::Inbox, Mailbox::from)
}

fn name_of(mailbox: &Mailbox<'_>) -> Option<String> {
    match mailbox {
        Mailbox::Inbox => Some(INBOX.to_owned()),
        Mailbox::Other(other) => decode_name(other.as_ref()).map(|name| canonical(&name)),
    }
}

/// INBOX is INBOX however it is written, below it too.
fn canonical(name: &str) -> String {
    match name.split_at_checked(INBOX.len()) {
        Some((inbox, rest))
            if inbox.eq_ignore_ascii_case(INBOX)
                && (rest.is_empty() || rest.starts_with(SEPARATOR)) =>
        {
            format!("{INBOX}{rest}")
        }
        _ => name.to_owned(),
    }
}

/// Whether a name matches a pattern in which `*` stands for anything and `%` for anything without a separator.
fn matches(pattern: &str, name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    // Whether the pattern read so far matches the first n characters of the name.
    let mut reach = vec![false; name.len() + 1];
    if let Some(first) = reach.first_mut() {
        *first = true;
    }
    for p in pattern.chars() {
        let mut next = vec![false; reach.len()];
        let mut carried = false;
        for (n, (reached, next)) in reach.iter().zip(&mut next).enumerate() {
            let before = n.checked_sub(1).and_then(|i| name.get(i));
            match p {
                '*' | '%' => {
                    carried = *reached || (carried && (p == '*' || before != Some(&SEPARATOR)));
                    *next = carried;
                }
                _ => {
                    *next = carried && before == Some(&p);
                    carried = *reached;
                }
            }
        }
        reach = next;
    }
    reach.last() == Some(&true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percent_sign_stops_at_the_separator() {
        for (pattern, name, expected) in [
            ("*", "a/b", true),
            ("%", "a/b", false),
            ("%", "a", true),
            ("%/%", "a/b", true),
            ("a*c", "a/b/c", true),
            ("a%c", "a/c", false),
            ("a%c", "abc", true),
            ("*b", "ab", true),
            ("ab", "abc", false),
            ("abc", "ab", false),
            ("%*", "a/b", true),
            ("a/%", "a/", true),
            ("ä*", "äb", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn inbox_is_inbox_however_it_is_written() {
        assert_eq!(canonical("inBox"), "INBOX");
        assert_eq!(canonical("inbox/Sub"), "INBOX/Sub");
        assert_eq!(canonical("inboxes"), "inboxes");
    }
}
