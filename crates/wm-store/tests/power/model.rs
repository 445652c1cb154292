//! What a store has to hold, as told by the notes of what was asked for and acknowledged.

use crate::common::{self, ACME, NOW, deliver, mailbox};
use crate::work::{ASIDE, MAILBOXES, content, open_directory, state_key};
use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
};
use wm_core::{
    ItemId, UserId,
    model::{Flags, FolderRole},
    traits::{Directory, MailboxStore, ProtocolState, StoreError},
};
use wm_store::Store;

/// A mailbox and an item of it.
type Place = (u128, u64);

/// What was done, by the id of the change.
#[derive(Default)]
pub struct Notes {
    changes: BTreeMap<u128, Change>,
    under_way: BTreeSet<String>,
}

struct Change {
    what: String,
    tried: Vec<u128>,
    /// What it was answered, if it was.
    done: Option<Vec<u128>>,
}

impl Notes {
    pub fn parse(notes: &[u8]) -> Self {
        let mut parsed = Self::default();
        for line in str::from_utf8(notes).unwrap().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let numbers = |words: &[&str]| words.iter().map(|it| it.parse().unwrap()).collect();
            match words[..] {
                ["begin", what] => drop(parsed.under_way.insert(what.to_owned())),
                ["end", what] => drop(parsed.under_way.remove(what)),
                ["try", id, what, ref tried @ ..] => {
                    let change = Change {
                        what: what.to_owned(),
                        tried: numbers(tried),
                        done: None,
                    };
                    parsed.changes.insert(id.parse().unwrap(), change);
                }
                ["ok", id, ref done @ ..] => {
                    let change = parsed.changes.get_mut(&id.parse().unwrap());
                    change.unwrap().done = Some(numbers(done));
                }
                _ => panic!("{line}"),
            }
        }
        parsed
    }

    /// A number for the next run that no run before it has had.
    pub fn next_run(&self) -> u128 {
        self.changes
            .keys()
            .next_back()
            .map_or(1, |id| (id >> 64) + 1)
    }

    /// Whether a compaction or a clean-up was under way at the end.
    pub fn is_under_way(&self, what: &str) -> bool {
        self.under_way.contains(what)
    }

    /// How many changes were acknowledged.
    pub fn acknowledged(&self) -> usize {
        let changes = self.changes.values();
        changes.filter(|change| change.done.is_some()).count()
    }

    fn of(&self, what: &str) -> impl Iterator<Item = (u128, &Change)> {
        let all = self.changes.iter().map(|(id, change)| (*id, change));
        all.filter(move |(_, change)| change.what == what)
    }

    /// Where each delivered message was put: its number and UID there.
    fn delivered(&self) -> impl Iterator<Item = (u128, Place, u128)> {
        self.of("deliver").flat_map(|(id, change)| {
            let done = change.done.as_deref().unwrap_or_default();
            let placed = change.tried.iter().zip(done.chunks_exact(3));
            placed.map(move |(n, numbers)| (id, (*n, numbers[0] as u64), numbers[1]))
        })
    }

    /// The modification sequence numbers that were answered, by mailbox.
    fn modseqs(&self) -> impl Iterator<Item = (u128, u128)> {
        self.changes.values().flat_map(|change| {
            let done = change.done.as_deref().unwrap_or_default();
            let mailboxes: &[u128] = match &*change.what {
                "deliver" => &change.tried,
                "flag" | "move" | "delete" => &change.tried[..1],
                _ => &[],
            };
            let per_mailbox = done.len() / mailboxes.len().max(1);
            let last = done.chunks(per_mailbox.max(1)).map(|it| it[it.len() - 1]);
            mailboxes.iter().copied().zip(last)
        })
    }
}

/// An item as it is found.
struct Found {
    /// The number of its message.
    id: u128,
    role: Option<FolderRole>,
    uid: u128,
    flagged: bool,
}

/// Looks for what is missing, altered, there twice, there in part, or under a number that was given
/// out before.
pub async fn check(store: &Store, notes: &Notes) -> Result<(), String> {
    let report = store.check(|_, _| ()).await.map_err(describe)?;
    if let Some(finding) = report.findings.first() {
        return Err(format!("{}: {}", finding.what, report.findings.len()));
    }
    let mut found = BTreeMap::new();
    for n in 0..MAILBOXES {
        list(store, n, &mut found).await?;
    }
    messages(notes, &found)?;
    changes(notes, &found)?;
    numbers(notes)?;
    others(store, notes).await?;
    for n in 0..MAILBOXES {
        next_numbers(store, notes, n, &found).await?;
    }
    Ok(())
}

async fn list(store: &Store, n: u128, found: &mut BTreeMap<Place, Found>) -> Result<(), String> {
    let folders = match store.folders(mailbox(n)).await {
        Ok(folders) => folders,
        Err(StoreError::NoSuchMailbox(_)) => return Ok(()),
        Err(error) => return Err(describe(error)),
    };
    for folder in folders {
        let uids = store.uids(mailbox(n), folder.id).await.map_err(describe)?.1;
        if uids.len() as u64 != folder.total {
            return Err(format!(
                "{} items are listed of {}",
                uids.len(),
                folder.total
            ));
        }
        for (uid, item) in uids {
            let what = |error| format!("item {item} of mailbox {n}: {}", describe(error));
            let read = common::read(store, mailbox(n), item).await.map_err(what)?;
            let stored = store.item(mailbox(n), item).await.map_err(what)?;
            let text = read.split(|byte| *byte == b'\n').nth(1).unwrap_or_default();
            let id = text.split(|byte| *byte == b' ').next().unwrap_or_default();
            let id = str::from_utf8(id).ok().and_then(|id| id.parse().ok());
            let id = id.filter(|id| text == content(*id));
            let entry = Found {
                id: id.ok_or_else(|| format!("item {item} of mailbox {n} is altered"))?,
                role: folder.role,
                uid: uid.as_u32().into(),
                flagged: stored.flags.contains(Flags::FLAGGED),
            };
            if stored.uid != uid || found.insert((n, item.0), entry).is_some() {
                return Err(format!("item {item} of mailbox {n} is there twice"));
            }
        }
    }
    Ok(())
}

/// Every message is there, once in each of its mailboxes, or in none if nobody was told.
fn messages(notes: &Notes, found: &BTreeMap<Place, Found>) -> Result<(), String> {
    let mut there: BTreeMap<u128, Vec<u128>> = BTreeMap::new();
    for ((n, item), entry) in found {
        let change = notes.changes.get(&entry.id);
        if !change.is_some_and(|change| change.tried.contains(n)) {
            return Err(format!("item {item} of mailbox {n} was never delivered"));
        }
        there.entry(entry.id).or_default().push(*n);
    }
    for (id, change) in notes.of("deliver") {
        let mut there = there.get(&id).cloned().unwrap_or_default();
        let mut all = change.tried.clone();
        there.sort_unstable();
        all.sort_unstable();
        let twice = there.windows(2).any(|pair| pair[0] == pair[1]);
        let in_part = change.done.is_none() && !there.is_empty() && there != all;
        if twice || in_part {
            return Err(format!("message {id} for {all:?} is in {there:?}"));
        }
    }
    let deleted: BTreeMap<Place, bool> = notes
        .of("delete")
        .map(|(_, change)| (place(&change.tried, 1), change.done.is_some()))
        .collect();
    for (id, place, _) in notes.delivered() {
        let is_there = found.get(&place).map(|entry| entry.id);
        let as_it_should = match deleted.get(&place) {
            None => is_there == Some(id),
            Some(true) => is_there.is_none(),
            Some(false) => is_there.is_none() || is_there == Some(id),
        };
        if !as_it_should {
            return Err(format!("message {id} at {place:?}: found {is_there:?}"));
        }
    }
    Ok(())
}

/// What was changed of items is changed, all of a changeset or nothing.
fn changes(notes: &Notes, found: &BTreeMap<Place, Found>) -> Result<(), String> {
    for (id, change) in notes.of("flag") {
        let items = (1..change.tried.len()).filter_map(|at| found.get(&place(&change.tried, at)));
        let flagged: Vec<bool> = items.map(|entry| entry.flagged).collect();
        let expected = change.done.is_some() || flagged.first().copied().unwrap_or(true);
        if flagged.iter().any(|flagged| *flagged != expected) {
            return Err(format!("flags of change {id}: {flagged:?}"));
        }
    }
    let mut moved = BTreeMap::new();
    for (_, change) in notes.of("move") {
        let uid = change.done.as_ref().map(|done| done[0]);
        moved.insert(place(&change.tried, 1), uid);
    }
    for (_, place, uid) in notes.delivered() {
        let Some(entry) = found.get(&place) else {
            continue;
        };
        let stayed = entry.role == Some(FolderRole::Inbox) && entry.uid == uid;
        let as_it_should = match moved.get(&place) {
            None => stayed,
            Some(Some(uid)) => entry.role == Some(ASIDE) && entry.uid == *uid,
            Some(None) => stayed || entry.role == Some(ASIDE),
        };
        if !as_it_should {
            return Err(format!(
                "{place:?} has UID {} in {:?}",
                entry.uid, entry.role
            ));
        }
    }
    Ok(())
}

/// Nothing that was answered was answered twice.
fn numbers(notes: &Notes) -> Result<(), String> {
    let mut items = BTreeSet::new();
    let mut uids = BTreeSet::new();
    for (_, place, uid) in notes.delivered() {
        if !items.insert(place) || !uids.insert((place.0, uid)) {
            return Err(format!("{place:?} or its UID {uid} was given out twice"));
        }
    }
    let mut modseqs = BTreeSet::new();
    for (n, modseq) in notes.modseqs() {
        if !modseqs.insert((n, modseq)) {
            return Err(format!(
                "commit {modseq} of mailbox {n} was given out twice"
            ));
        }
    }
    Ok(())
}

/// Users and protocol state.
async fn others(store: &Store, notes: &Notes) -> Result<(), String> {
    let directory = open_directory(store).await;
    for (id, change) in notes.of("user") {
        let user = directory.user(ACME, UserId::from_u128(id)).await;
        if change.done.is_some() && !matches!(user, Ok(Some(_))) {
            return Err(format!("user {id}: {user:?}"));
        }
    }
    let mut states: BTreeMap<u128, u64> = BTreeMap::new();
    for (_, change) in notes.of("state") {
        if let Some(done) = &change.done {
            let version = states.entry(change.tried[0]).or_default();
            *version = (*version).max(done[0] as u64);
        }
    }
    for (writer, version) in states {
        let record = store.load(&state_key(writer), NOW).await;
        let found = record.map(|record| record.map(|record| record.version.0));
        if !matches!(found, Ok(Some(found)) if found >= version) {
            return Err(format!("state of {writer} was at {version}: {found:?}"));
        }
    }
    Ok(())
}

/// The next delivery to a mailbox takes numbers behind all that were given out or can be seen.
async fn next_numbers(
    store: &Store,
    notes: &Notes,
    n: u128,
    found: &BTreeMap<Place, Found>,
) -> Result<(), String> {
    let probe = deliver(store, u128::MAX - n, mailbox(n), b"after").await;
    let (ItemId(item), uid) = probe.map_err(describe)?;
    let uid = u128::from(uid.as_u32());
    let state = store.mailbox(mailbox(n)).await.map_err(describe)?;
    let modseq = u128::from(state.highest_modseq.0);
    let seen = found
        .iter()
        .filter(|((m, _), entry)| *m == n && entry.role == Some(FolderRole::Inbox))
        .map(|((_, item), entry)| (*item, entry.uid));
    let given = notes.delivered().filter(|(_, (m, _), _)| *m == n);
    let given = given.map(|(_, (_, item), uid)| (item, uid));
    let reused = seen.chain(given).any(|(i, u)| i >= item || u >= uid);
    let mut modseqs = notes.modseqs().filter(|(m, _)| *m == n);
    if reused || modseqs.any(|(_, given)| given >= modseq) {
        return Err(format!(
            "mailbox {n} gave out {item}, {uid} or {modseq} again"
        ));
    }
    Ok(())
}

fn place(tried: &[u128], at: usize) -> Place {
    (tried[0], tried[at] as u64)
}

fn describe(error: impl Error) -> String {
    let source = error
        .source()
        .map(|source| format!(": {}", describe(source)));
    format!("{error}{}", source.unwrap_or_default())
}
