//! [`MailboxSearch`] without an index: items are looked at newest first, until enough are found.
//!
//! Nothing is kept for it, so there is nothing more to seal, to rebuild or to shred. What the
//! summaries decide is decided on them; content is read only where a term asks for text that they do
//! not hold. A page of items and four messages are in memory, however large the mailbox is, and no
//! state of the engine is held for longer than a page.

use super::view::View;
use crate::{engine::Snapshot, store::Store};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::ready, stream};
use std::{collections::BTreeSet, sync::Arc};
use wm_core::{
    FolderId, ItemId, MailboxRef, Timestamp,
    content::{Head, Structure, decode_text},
    model::{Item, ItemClass},
    traits::{MailboxSearch, MailboxStore, SearchHit, SearchQuery, StoreError, Term},
};

/// Items taken from one state of the engine.
const PAGE: usize = 128;
/// Items that are looked at together, so that one is decided while the content of others is read.
const AT_ONCE: usize = 4;
/// Octets of an item's content that are looked at.
const LOOKED_AT: u64 = 4 << 20;
/// Conditions one inside the other.
const MAX_DEPTH: usize = 32;
/// Characters that a summary keeps of a subject; of a shorter one it has all.
const WHOLE_SUBJECT: usize = 255;

#[async_trait]
impl MailboxSearch for Store {
    /// A folder that is not there is [`StoreError::NoSuchFolder`]. An item that is damaged or goes
    /// away meanwhile is not found. Of a content the first 4 MiB are looked at.
    async fn search(
        &self,
        mailbox: MailboxRef,
        query: SearchQuery,
        limit: usize,
    ) -> Result<Vec<SearchHit>, StoreError> {
        if query.terms.iter().any(|term| depth(term) > MAX_DEPTH) {
            return Err(StoreError::TooMany {
                what: "conditions one inside the other",
                limit: MAX_DEPTH,
            });
        }
        let within = received(&query.terms);
        let folders: Arc<BTreeSet<_>> = Arc::new(query.folders.into_iter().collect());
        let terms: Arc<Vec<Term>> = Arc::new(query.terms.iter().map(folded).collect());
        let mut hits = Vec::new();
        let mut before = None;
        while hits.len() < limit {
            let folders = folders.clone();
            let page = move |view: View<'_>| page(view, &folders, within, before);
            let (items, last) = self.view(mailbox, page).await?;
            let hit = |item: Item| {
                let terms = &terms;
                async move {
                    let hit = SearchHit {
                        item: item.id,
                        folder: item.folder,
                    };
                    let matches = self.matches(mailbox, terms, &item).await?;
                    Ok::<_, StoreError>(matches.then_some(hit))
                }
            };
            let found = stream::iter(items).map(hit).buffered(AT_ONCE);
            let found = found.try_filter_map(|hit| ready(Ok(hit)));
            let missing = limit - hits.len();
            hits.extend(found.take(missing).try_collect::<Vec<_>>().await?);
            match last {
                Some(_) => before = last,
                None => break,
            }
        }
        Ok(hits)
    }
}

impl Store {
    async fn matches(
        &self,
        mailbox: MailboxRef,
        terms: &Arc<Vec<Term>>,
        item: &Item,
    ) -> Result<bool, StoreError> {
        if let Some(decided) = all(terms, item, None) {
            return Ok(decided);
        }
        let content = match MailboxStore::read(self, mailbox, item.id, 0..LOOKED_AT).await {
            Ok(content) => content.try_collect::<Vec<Bytes>>().await,
            Err(error) => Err(error),
        };
        let content = match content {
            Ok(pieces) => pieces.concat(),
            Err(StoreError::NoSuchItem(_) | StoreError::Damaged { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let (terms, item) = (terms.clone(), item.clone());
        let decide = move |_: &dyn Snapshot| {
            let text = Text::of(&content, &item.class);
            Ok(all(&terms, &item, Some(&text)).unwrap_or(false))
        };
        self.core.read(decide).await
    }
}

type Place = (Timestamp, ItemId);

/// The next items, newest first, and where they end.
fn page(
    view: View<'_>,
    folders: &BTreeSet<FolderId>,
    within: (Option<Timestamp>, Option<Timestamp>),
    before: Option<Place>,
) -> Result<(Vec<Item>, Option<Place>), StoreError> {
    let folders: Vec<_> = match folders.is_empty() {
        true => view.folder_ids()?,
        false => folders.iter().copied().collect(),
    };
    let places = view.newest(&folders, within, before, PAGE)?;
    let last = places.last().copied().filter(|_| places.len() == PAGE);
    let items = places.into_iter().map(|(_, item)| view.listed(item));
    let items: Vec<_> = items.collect::<Result<_, _>>()?;
    Ok((items.into_iter().flatten().collect(), last))
}

/// What a content says, in small letters.
struct Text {
    subject: String,
    from: String,
    to: String,
    body: String,
}

impl Text {
    fn of(content: &[u8], class: &ItemClass) -> Self {
        if !class.is_a(ItemClass::NOTE) && !class.is_a("IPM.Schedule") {
            let body = String::from_utf8_lossy(content).to_lowercase();
            return Self {
                subject: String::new(),
                from: String::new(),
                to: String::new(),
                body,
            };
        }
        let structure = Structure::of(content);
        let head = structure.root().head();
        let texts = structure
            .parts()
            .filter(|part| part.is("text", "*"))
            .map(|part| {
                let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
                let body = part.body();
                let body = content.get(within(body.start)..within(body.end));
                decode_text(part.head(), body.unwrap_or_default()).to_lowercase()
            });
        Self {
            subject: fields(head, &["subject"]),
            from: fields(head, &["from", "sender"]),
            to: fields(head, &["to", "cc", "bcc"]),
            body: texts.collect::<Vec<_>>().join("\n"),
        }
    }
}

fn fields(head: Head<'_>, names: &[&str]) -> String {
    let fields = head
        .fields()
        .filter(|field| names.iter().any(|name| field.is(name)));
    let decoded = fields.map(|field| field.decoded().to_lowercase());
    decoded.collect::<Vec<_>>().join("\n")
}

/// Whether all terms hold; `None` when that cannot be told without the text.
fn all(terms: &[Term], item: &Item, text: Option<&Text>) -> Option<bool> {
    let mut verdict = Some(true);
    for term in terms {
        match holds(term, item, text) {
            Some(false) => return Some(false),
            Some(true) => {}
            None => verdict = None,
        }
    }
    verdict
}

/// Whether a term, in small letters, holds.
fn holds(term: &Term, item: &Item, text: Option<&Text>) -> Option<bool> {
    let summary = &item.summary;
    let shown = |part: &str, wanted: &str| part.to_lowercase().contains(wanted).then_some(true);
    let in_text = |part: fn(&Text) -> &str, wanted: &str| Some(part(text?).contains(wanted));
    match term {
        Term::Subject(wanted) => shown(&summary.subject, wanted).or_else(|| {
            match summary.subject.chars().count() < WHOLE_SUBJECT {
                true => Some(false),
                false => in_text(|text| &text.subject, wanted),
            }
        }),
        Term::From(wanted) => {
            shown(&summary.from, wanted).or_else(|| in_text(|text| &text.from, wanted))
        }
        Term::To(wanted) => shown(&summary.to, wanted).or_else(|| in_text(|text| &text.to, wanted)),
        Term::Body(wanted) => in_text(|text| &text.body, wanted),
        Term::Text(wanted) => {
            let parts = [&summary.subject, &summary.from, &summary.to];
            let shown = parts.into_iter().find_map(|part| shown(part, wanted));
            shown.or_else(|| {
                let Text {
                    subject,
                    from,
                    to,
                    body,
                } = text?;
                Some(
                    [subject, from, to, body]
                        .into_iter()
                        .any(|part| part.contains(wanted)),
                )
            })
        }
        Term::ReceivedFrom(at) => Some(item.received >= *at),
        Term::ReceivedBefore(at) => Some(item.received < *at),
        Term::Has(flags) => Some(item.flags.contains(*flags)),
        Term::Lacks(flags) => Some((item.flags & *flags).is_empty()),
        Term::Not(term) => holds(term, item, text).map(|holds| !holds),
        Term::Any(terms) => {
            let mut verdict = Some(false);
            for term in terms {
                match holds(term, item, text) {
                    Some(true) => return Some(true),
                    Some(false) => {}
                    None => verdict = None,
                }
            }
            verdict
        }
        // A condition of a later version, which nothing here is known to meet.
        _ => Some(false),
    }
}

/// The term with what it looks for in small letters.
fn folded(term: &Term) -> Term {
    match term {
        Term::Subject(wanted) => Term::Subject(wanted.to_lowercase()),
        Term::From(wanted) => Term::From(wanted.to_lowercase()),
        Term::To(wanted) => Term::To(wanted.to_lowercase()),
        Term::Body(wanted) => Term::Body(wanted.to_lowercase()),
        Term::Text(wanted) => Term::Text(wanted.to_lowercase()),
        Term::Not(term) => Term::Not(Box::new(folded(term))),
        Term::Any(terms) => Term::Any(terms.iter().map(folded).collect()),
        other => other.clone(),
    }
}

/// The times of receipt that all terms leave.
fn received(terms: &[Term]) -> (Option<Timestamp>, Option<Timestamp>) {
    let (mut from, mut until) = (None, None);
    for term in terms {
        match *term {
            Term::ReceivedFrom(at) => from = from.max(Some(at)),
            Term::ReceivedBefore(at) => {
                until = Some(until.map_or(at, |other: Timestamp| other.min(at)))
            }
            _ => {}
        }
    }
    (from, until)
}

/// How many conditions are one inside the other; stops counting beyond the limit.
fn depth(term: &Term) -> usize {
    let mut level = vec![term];
    for depth in 1..=MAX_DEPTH {
        let inner = level.into_iter().flat_map(|term| match term {
            Term::Not(term) => std::slice::from_ref(&**term),
            Term::Any(terms) => terms.as_slice(),
            _ => &[],
        });
        level = inner.collect();
        if level.is_empty() {
            return depth;
        }
    }
    MAX_DEPTH + 1
}
