//! Flags on the wire and in the store.

use std::collections::BTreeSet;

use imap_codec::imap_types::core::Atom;
use imap_codec::imap_types::flag::{Flag, FlagFetch, FlagPerm, StoreType};
use wm_core::model::{Flags, Item, Keyword};
use wm_core::traits::{ItemUpdate, LabelChange};

/// The flags of the store and the IMAP flags they are (see [`Flags`]).
const FLAGS: [(Flags, Flag<'static>); 5] = [
    (Flags::READ, Flag::Seen),
    (Flags::ANSWERED, Flag::Answered),
    (Flags::FLAGGED, Flag::Flagged),
    (Flags::DRAFT, Flag::Draft),
    (Flags::DELETED, Flag::Deleted),
];

/// The keyword that is a flag in the store.
const FORWARDED: &str = "$Forwarded";

/// What a message is marked with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) flags: Flags,
    pub(super) keywords: BTreeSet<Keyword>,
}

impl Marks {
    /// The flags a client names. System flags that nobody has defined, and `\Recent`, are passed over.
    pub(super) fn of(flags: &[Flag<'_>]) -> Self {
        let mut marks = Self::default();
        for flag in flags {
            match FLAGS.iter().find(|(_, known)| known == flag) {
                Some((known, _)) => marks.flags = marks.flags | *known,
                None => marks.keyword(flag),
            }
        }
        marks
    }

    fn keyword(&mut self, flag: &Flag<'_>) {
        let Flag::Keyword(atom) = flag else { return };
        if atom.as_ref().eq_ignore_ascii_case(FORWARDED) {
            self.flags = self.flags | Flags::FORWARDED;
        } else if let Ok(keyword) = atom.as_ref().parse() {
            self.keywords.insert(keyword);
        }
    }

    /// The change to an item that STORE asks for.
    pub(super) fn update(self, kind: StoreType) -> ItemUpdate {
        let none = BTreeSet::new();
        let (set, clear, keywords) = match kind {
            StoreType::Replace => (self.flags, !self.flags, LabelChange::Replace(self.keywords)),
            StoreType::Add => (
                self.flags,
                Flags::NONE,
                LabelChange::Edit {
                    add: self.keywords,
                    remove: none,
                },
            ),
            StoreType::Remove => (
                Flags::NONE,
                self.flags,
                LabelChange::Edit {
                    add: none,
                    remove: self.keywords,
                },
            ),
        };
        ItemUpdate {
            set,
            clear,
            keywords,
            ..ItemUpdate::default()
        }
    }
}

/// The flags of an item, for FETCH.
pub(super) fn fetch_flags(item: &Item) -> Vec<FlagFetch<'static>> {
    let system = FLAGS
        .iter()
        .filter(|(flag, _)| item.flags.contains(*flag))
        .map(|(_, flag)| flag.clone());
    let forwarded = item.flags.contains(Flags::FORWARDED).then_some(FORWARDED);
    let keywords = forwarded
        .into_iter()
        .chain(item.keywords.iter().map(Keyword::as_str));
    system
        .chain(keywords.filter_map(keyword))
        .map(FlagFetch::Flag)
        .collect()
}

/// Whether an item has a keyword.
pub(super) fn has_keyword(item: &Item, name: &str) -> bool {
    if name.eq_ignore_ascii_case(FORWARDED) {
        return item.flags.contains(Flags::FORWARDED);
    }
    name.parse()
        .is_ok_and(|keyword: Keyword| item.keywords.contains(&keyword))
}

/// The flags that every mailbox has.
pub(super) fn defined() -> Vec<Flag<'static>> {
    FLAGS
        .iter()
        .map(|(_, flag)| flag.clone())
        .chain(keyword(FORWARDED))
        .collect()
}

/// The flags that a client can change for good: all, and any keyword.
pub(super) fn permanent(read_only: bool) -> Vec<FlagPerm<'static>> {
    if read_only {
        return Vec::new();
    }
    defined()
        .into_iter()
        .map(FlagPerm::Flag)
        .chain([FlagPerm::Asterisk])
        .collect()
}

fn keyword(name: &str) -> Option<Flag<'static>> {
    Atom::try_from(name.to_owned()).ok().map(Flag::keyword)
}
