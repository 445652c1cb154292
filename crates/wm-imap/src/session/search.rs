//! SEARCH (RFC 3501 §6.4.4).
//!
//! Keys are decided with as little reading as possible: first from what the store has indexed, then from the header
//! block, then from the text. Text is decoded (encoded words, transfer encodings, charsets) and matched ignoring case;
//! of a message's text the first 4 MiB are looked at.

use imap_codec::imap_types::core::{AString, Charset};
use imap_codec::imap_types::datetime::NaiveDate;
use imap_codec::imap_types::search::SearchKey;
use wm_core::Timestamp;
use wm_core::access::MailboxSession;
use wm_core::content::{Head, Kind, Structure, decode_text};
use wm_core::model::{Flags, Item};
use wm_core::traits::StoreError;

use super::Failure;
use super::flags::has_keyword;
use super::items::{self, Depth, PAGE};
use super::view::{Message, Places, View};

/// Octets of a message's text parts that are looked at.
const MAX_TEXT: u64 = 4 * 1024 * 1024;

/// A search, its sets resolved and its strings folded.
pub(super) struct Search {
    key: Key,
}

enum Key {
    All,
    None,
    Places(Places),
    Has(Flags),
    Keyword(String),
    Larger(u64),
    Smaller(u64),
    /// Received, or sent, from this day's beginning on and before that one's, in UTC.
    Received(Timestamp, Timestamp),
    Sent(Timestamp, Timestamp),
    /// A field whose text holds this.
    Header(String, String),
    /// The text holds this; or that or the header.
    Body(String),
    Text(String),
    Not(Box<Key>),
    And(Vec<Key>),
    Or(Box<Key>, Box<Key>),
}

/// What is known of a message. What is not known leaves keys undecided.
#[derive(Default)]
struct Facts<'a> {
    place: usize,
    item: Option<&'a Item>,
    head: Option<Head<'a>>,
    text: Option<&'a str>,
}

impl Search {
    pub(super) fn new(
        key: &SearchKey<'_>,
        charset: Option<&Charset<'_>>,
        view: &View,
    ) -> Result<Self, Failure> {
        let charset = charset.map(|charset| charset.as_ref().to_ascii_uppercase());
        match charset.as_deref() {
            None | Some("UTF-8" | "US-ASCII") => Ok(Self {
                key: Key::of(key, view)?,
            }),
            Some(_) => Err(Failure::BadCharset),
        }
    }

    /// The places that match, rising.
    pub(super) async fn run(
        &self,
        mailbox: &MailboxSession,
        view: &mut View,
    ) -> Result<Vec<usize>, StoreError> {
        let (folder, all) = (view.folder(), (0..view.len()).collect::<Vec<_>>());
        let mut found = Vec::new();
        for chunk in all.chunks(PAGE) {
            // What sets alone decide needs no reading.
            let mut open: Vec<usize> = Vec::new();
            for &place in chunk {
                match self.key.holds(&Facts {
                    place,
                    ..Facts::default()
                }) {
                    Some(true) => found.push(place),
                    Some(false) => {}
                    None => open.push(place),
                }
            }
            let messages: Vec<(usize, Message)> = view.at(&open);
            for (place, item) in items::load(mailbox, folder, &messages).await? {
                if self.matches(mailbox, place, &item).await? {
                    found.push(place);
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    async fn matches(
        &self,
        mailbox: &MailboxSession,
        place: usize,
        item: &Item,
    ) -> Result<bool, StoreError> {
        let facts = Facts {
            place,
            item: Some(item),
            ..Facts::default()
        };
        if let Some(decided) = self.key.holds(&facts) {
            return Ok(decided);
        }
        let structure = items::structure(mailbox, item, Depth::Head).await?;
        let facts = Facts {
            head: Some(structure.root().head()),
            ..facts
        };
        if let Some(decided) = self.key.holds(&facts) {
            return Ok(decided);
        }
        let structure = items::structure(mailbox, item, Depth::Parts).await?;
        let text = text(mailbox, item, &structure).await?;
        let facts = Facts {
            head: Some(structure.root().head()),
            text: Some(&text),
            ..facts
        };
        Ok(self.key.holds(&facts).unwrap_or(false))
    }
}

/// All text of a message, folded.
async fn text(
    mailbox: &MailboxSession,
    item: &Item,
    structure: &Structure,
) -> Result<String, StoreError> {
    let (mut text, mut left) = (String::new(), MAX_TEXT);
    for part in structure
        .parts()
        .filter(|part| part.kind() == Kind::Leaf && part.is("text", "*"))
    {
        let body = part.body();
        let body = body.start..body.end.min(body.start.saturating_add(left));
        left -= body.end - body.start;
        let octets = items::octets(mailbox, item, body).await?;
        text.push_str(&folded(&decode_text(part.head(), &octets)));
        text.push('\n');
    }
    Ok(text)
}

impl Key {
    fn of(key: &SearchKey<'_>, view: &View) -> Result<Self, Failure> {
        let header = |name: &str, text: &AString<'_>| Self::Header(name.to_owned(), string(text));
        Ok(match key {
            SearchKey::All | SearchKey::Old => Self::All,
            SearchKey::New | SearchKey::Recent => Self::None,
            SearchKey::SequenceSet(set) => Self::Places(view.resolve(set, false)?),
            SearchKey::Uid(set) => Self::Places(view.resolve(set, true)?),
            SearchKey::Answered => Self::Has(Flags::ANSWERED),
            SearchKey::Deleted => Self::Has(Flags::DELETED),
            SearchKey::Draft => Self::Has(Flags::DRAFT),
            SearchKey::Flagged => Self::Has(Flags::FLAGGED),
            SearchKey::Seen => Self::Has(Flags::READ),
            SearchKey::Unanswered => Self::Has(Flags::ANSWERED).not(),
            SearchKey::Undeleted => Self::Has(Flags::DELETED).not(),
            SearchKey::Undraft => Self::Has(Flags::DRAFT).not(),
            SearchKey::Unflagged => Self::Has(Flags::FLAGGED).not(),
            SearchKey::Unseen => Self::Has(Flags::READ).not(),
            SearchKey::Keyword(name) => Self::Keyword(name.as_ref().to_owned()),
            SearchKey::Unkeyword(name) => Self::Keyword(name.as_ref().to_owned()).not(),
            SearchKey::Larger(size) => Self::Larger(u64::from(*size)),
            SearchKey::Smaller(size) => Self::Smaller(u64::from(*size)),
            SearchKey::Before(date) => Self::Received(BEGINNING, day(date).0),
            SearchKey::On(date) => Self::Received(day(date).0, day(date).1),
            SearchKey::Since(date) => Self::Received(day(date).0, Timestamp::MAX),
            SearchKey::SentBefore(date) => Self::Sent(BEGINNING, day(date).0),
            SearchKey::SentOn(date) => Self::Sent(day(date).0, day(date).1),
            SearchKey::SentSince(date) => Self::Sent(day(date).0, Timestamp::MAX),
            SearchKey::Bcc(text) => header("bcc", text),
            SearchKey::Cc(text) => header("cc", text),
            SearchKey::From(text) => header("from", text),
            SearchKey::Subject(text) => header("subject", text),
            SearchKey::To(text) => header("to", text),
            SearchKey::Header(name, text) => header(&string(name), text),
            SearchKey::Body(text) => Self::Body(string(text)),
            SearchKey::Text(text) => Self::Text(string(text)),
            SearchKey::Not(key) => Self::of(key, view)?.not(),
            SearchKey::Or(a, b) => {
                Self::Or(Box::new(Self::of(a, view)?), Box::new(Self::of(b, view)?))
            }
            SearchKey::And(keys) => Self::And(
                keys.as_ref()
                    .iter()
                    .map(|key| Self::of(key, view))
                    .collect::<Result<_, _>>()?,
            ),
        })
    }

    fn not(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// Whether the key holds, if that is known.
    fn holds(&self, facts: &Facts<'_>) -> Option<bool> {
        Some(match self {
            Self::All => true,
            Self::None => false,
            Self::Places(places) => places.contains(facts.place),
            Self::Has(flags) => facts.item?.flags.contains(*flags),
            Self::Keyword(name) => has_keyword(facts.item?, name),
            Self::Larger(size) => facts.item?.size > *size,
            Self::Smaller(size) => facts.item?.size < *size,
            Self::Received(from, until) => (*from..*until).contains(&facts.item?.received),
            Self::Sent(from, until) => facts
                .item?
                .summary
                .sent
                .is_some_and(|sent| (*from..*until).contains(&sent)),
            Self::Header(name, text) => {
                let mut fields = facts.head?.fields().filter(|field| field.is(name));
                fields.any(|field| folded(&field.decoded()).contains(text))
            }
            Self::Body(text) => facts.text?.contains(text),
            Self::Text(text) => {
                let in_head = facts
                    .head?
                    .fields()
                    .any(|field| folded(&field.decoded()).contains(text));
                in_head || facts.text?.contains(text)
            }
            Self::Not(key) => !key.holds(facts)?,
            Self::And(keys) => {
                let known: Vec<_> = keys.iter().map(|key| key.holds(facts)).collect();
                !known.contains(&Some(false))
                    && known
                        .into_iter()
                        .collect::<Option<Vec<_>>>()
                        .map(|_| true)?
            }
            Self::Or(a, b) => match (a.holds(facts), b.holds(facts)) {
                (Some(true), _) | (_, Some(true)) => true,
                (a, b) => a? || b?,
            },
        })
    }
}

const BEGINNING: Timestamp = Timestamp::from_millis(i64::MIN);

/// The beginning of a day and of the next, in UTC.
fn day(date: &NaiveDate) -> (Timestamp, Timestamp) {
    let midnight = date
        .as_ref()
        .and_time(chrono::NaiveTime::MIN)
        .and_utc()
        .timestamp();
    (
        Timestamp::from_seconds(midnight),
        Timestamp::from_seconds(midnight.saturating_add(24 * 60 * 60)),
    )
}

fn string(text: &AString<'_>) -> String {
    folded(&String::from_utf8_lossy(text.as_ref()))
}

fn folded(text: &str) -> String {
    text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_decides_as_early_as_it_can() {
        let unknown = || Key::Body("x".into());
        let facts = Facts::default();
        for (key, expected) in [
            (Key::And(vec![unknown(), Key::None]), Some(false)),
            (Key::And(vec![unknown(), Key::All]), None),
            (Key::And(vec![Key::All, Key::All]), Some(true)),
            (Key::Or(Box::new(unknown()), Box::new(Key::All)), Some(true)),
            (Key::Or(Box::new(unknown()), Box::new(Key::None)), None),
            (
                Key::Or(Box::new(Key::None), Box::new(Key::None)),
                Some(false),
            ),
            (unknown().not(), None),
        ] {
            assert_eq!(key.holds(&facts), expected);
        }
    }
}
