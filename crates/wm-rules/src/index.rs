//! From an address to the patterns that match it.

use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroU32;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use wm_core::EmailAddress;

use crate::{Pattern, Specificity};

/// The patterns of one side of all rules: every distinct one is a node.
///
/// The patterns that match one address form a chain, from the most specific to the least, and what follows a pattern
/// in the chain is the same whatever the address. So each node knows its successor, and only the first node has to be
/// looked up: the address itself, its domain, then the domain's suffixes at label boundaries, longest first.
#[derive(Debug)]
pub(crate) struct Index {
    table: HashTable<Key>,
    /// The texts of the keys.
    text: Box<str>,
    nodes: Box<[Node]>,
    /// The rules of each node, best rank first, node after node; see [`Node::rules`].
    ranks: Box<[Rank]>,
    star: Option<First>,
    has_addresses: bool,
    /// Bit n is set when there is a wildcard of n labels. A domain name has at most 127.
    wildcard_depths: u128,
}

/// The most specific pattern that matches an address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct First {
    pub(crate) id: NodeId,
    /// That of the node, copied: with it an inbound decision need not wait for the node to come from memory.
    pub(crate) best_with_star: Option<Rank>,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) specificity: Specificity,
    /// The next less specific pattern that matches whatever this one matches.
    next: Option<NodeId>,
    /// Where its rules begin in `ranks`; they end where the next node's begin.
    rules: u32,
    /// The best rule that has this pattern on this side and `*` on the other.
    pub(crate) best_with_star: Option<Rank>,
}

/// A number from 0, one above it in memory, so that `Option` takes no more room.
macro_rules! place {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) struct $name(NonZeroU32);

        impl $name {
            pub(crate) fn new(index: usize) -> Self {
                // `RuleSet::MAX_PATTERNS`, and no rule without a pattern, keep the numbers far below the bound.
                Self(NonZeroU32::MIN.saturating_add(index as u32))
            }

            pub(crate) fn index(self) -> usize {
                (self.0.get() - 1) as usize
            }
        }
    };
}

place! {
    /// A node of an [`Index`].
    NodeId
}

place! {
    /// A place in the order of precedence of the rules of one direction: the smallest wins among equal specificity.
    Rank
}

/// An address, or a domain with the patterns that it can be part of.
#[derive(Debug)]
struct Key {
    start: u32,
    len: u8,
    /// The node of the address, or of the domain without its subdomains.
    exact: Option<First>,
    wildcard: Option<First>,
}

impl Index {
    /// An index of the patterns of the rules, given best rank first; `star` tells which of them match every address on
    /// the other side.
    pub(crate) fn new<'a>(
        rules: impl Iterator<Item = &'a [Pattern]>,
        star: impl Fn(Rank) -> bool,
    ) -> Self {
        let mut builder = Builder::default();
        for (rank, patterns) in rules.enumerate() {
            for pattern in patterns {
                builder.add(Rank::new(rank), pattern);
            }
        }
        builder.finish(star)
    }

    /// The most specific pattern that matches the address.
    pub(crate) fn most_specific(&self, address: &EmailAddress) -> Option<First> {
        let (local_part, domain) = (address.local_part().as_str(), address.domain().as_ascii());
        if self.has_addresses
            && let Some(key) = self.find(Text::Address(local_part, domain))
        {
            return key.exact;
        }
        self.domain(domain)
    }

    /// The first node and all that follow it, less and less specific.
    pub(crate) fn chain(&self, first: Option<First>) -> impl Iterator<Item = NodeId> {
        std::iter::successors(first.map(|it| it.id), |&id| self.node(id).next)
    }

    pub(crate) fn star(&self) -> Option<First> {
        self.star
    }

    pub(crate) fn is_star(&self, id: NodeId) -> bool {
        self.star.is_some_and(|star| star.id == id)
    }

    // Ids come from this index only, and all of them are in range.
    #[allow(clippy::indexing_slicing)]
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// The rules that have the pattern, best rank first.
    #[allow(clippy::indexing_slicing)]
    pub(crate) fn rules(&self, id: NodeId) -> &[Rank] {
        let start = self.nodes[id.index()].rules as usize;
        match self.nodes.get(id.index() + 1) {
            Some(next) => &self.ranks[start..next.rules as usize],
            None => &self.ranks[start..],
        }
    }

    /// The most specific pattern that matches every address of the domain that has no pattern of its own.
    fn domain(&self, domain: &str) -> Option<First> {
        if let Some(key) = self.find(Text::Domain(domain))
            && let Some(first) = key.exact.or(key.wildcard)
        {
            return Some(first);
        }
        self.parent_wildcard(domain)
    }

    /// The longest wildcard above the domain, or the star.
    fn parent_wildcard(&self, domain: &str) -> Option<First> {
        if self.wildcard_depths == 0 {
            return self.star;
        }
        let mut suffix = domain;
        let mut depth = domain.bytes().filter(|&b| b == b'.').count();
        while let Some((_, parent)) = suffix.split_once('.') {
            if self.wildcard_depths & (1 << depth) != 0
                && let Some(Key {
                    wildcard: Some(first),
                    ..
                }) = self.find(Text::Domain(parent))
            {
                return Some(*first);
            }
            suffix = parent;
            depth -= 1;
        }
        self.star
    }

    fn find(&self, text: Text<'_>) -> Option<&Key> {
        self.table
            .find(text.hash(), |key| text.is(key.text(&self.text)))
    }
}

impl Key {
    fn text<'a>(&self, text: &'a str) -> &'a str {
        let start = self.start as usize;
        text.get(start..start + usize::from(self.len))
            .unwrap_or_default()
    }
}

/// What is looked up. An address is never equal to a domain, since it has an `@`.
#[derive(Clone, Copy)]
enum Text<'a> {
    Address(&'a str, &'a str),
    Domain(&'a str),
}

impl<'a> Text<'a> {
    fn of(pattern: &'a Pattern) -> Option<Self> {
        match pattern {
            Pattern::Address(address) => Some(Self::Address(
                address.local_part().as_str(),
                address.domain().as_ascii(),
            )),
            Pattern::Domain(domain) | Pattern::Wildcard(domain) => {
                Some(Self::Domain(domain.as_ascii()))
            }
            Pattern::Star => None,
        }
    }

    /// The text of a key.
    fn parse(text: &'a str) -> Self {
        match text.rsplit_once('@') {
            Some((local_part, domain)) => Self::Address(local_part, domain),
            None => Self::Domain(text),
        }
    }

    /// The seed is fixed, so that evaluation needs no randomness. A sender who knows it gains nothing: the keys of
    /// the table come from the rules, and a search is bounded by how they lie.
    fn hash(self) -> u64 {
        let mut hasher = FixedState::with_seed(0).build_hasher();
        match self {
            Self::Address(local_part, domain) => {
                hasher.write(local_part.as_bytes());
                hasher.write(domain.as_bytes());
            }
            Self::Domain(domain) => hasher.write(domain.as_bytes()),
        }
        hasher.finish()
    }

    fn is(self, text: &str) -> bool {
        match self {
            Self::Address(local_part, domain) => {
                text.len() == local_part.len() + 1 + domain.len()
                    && text.ends_with(domain)
                    && text
                        .strip_prefix(local_part)
                        .is_some_and(|rest| rest.starts_with('@'))
            }
            Self::Domain(domain) => text == domain,
        }
    }

    fn append_to(self, arena: &mut String) {
        match self {
            Self::Address(local_part, domain) => arena.extend([local_part, "@", domain]),
            Self::Domain(domain) => arena.push_str(domain),
        }
    }
}

/// An index that is being made.
#[derive(Default)]
struct Builder {
    table: HashTable<Key>,
    text: String,
    nodes: Vec<Node>,
    star: Option<First>,
    has_addresses: bool,
    wildcard_depths: u128,
    /// Which rule has which pattern, in the order of the rules.
    occurrences: Vec<(NodeId, Rank)>,
}

impl Builder {
    fn add(&mut self, rank: Rank, pattern: &Pattern) {
        let new = First {
            id: NodeId::new(self.nodes.len()),
            best_with_star: None,
        };
        let id = self.slot(pattern).get_or_insert(new).id;
        if id == new.id {
            self.nodes.push(Node {
                specificity: pattern.specificity(),
                next: None,
                rules: 0,
                best_with_star: None,
            });
        }
        self.occurrences.push((id, rank));
    }

    /// Where the node of the pattern is kept.
    fn slot(&mut self, pattern: &Pattern) -> &mut Option<First> {
        let Some(text) = Text::of(pattern) else {
            return &mut self.star;
        };
        if let Pattern::Wildcard(domain) = pattern {
            self.wildcard_depths |= 1 << domain.labels().count();
        }
        self.has_addresses |= matches!(pattern, Pattern::Address(_));
        let arena = &mut self.text;
        let key = self
            .table
            .entry(
                text.hash(),
                |key| text.is(key.text(arena)),
                |key| Text::parse(key.text(arena)).hash(),
            )
            .or_insert_with(|| {
                let start = arena.len();
                text.append_to(arena);
                Key {
                    // At most `MAX_PATTERNS` texts of at most 254 octets each: both fit.
                    start: start as u32,
                    len: (arena.len() - start) as u8,
                    exact: None,
                    wildcard: None,
                }
            })
            .into_mut();
        match pattern {
            Pattern::Wildcard(_) => &mut key.wildcard,
            _ => &mut key.exact,
        }
    }

    fn finish(mut self, star: impl Fn(Rank) -> bool) -> Index {
        let ranks = self.distribute();
        let mut index = Index {
            table: self.table,
            text: self.text.into(),
            nodes: Box::default(),
            ranks,
            star: self.star,
            has_addresses: self.has_addresses,
            wildcard_depths: self.wildcard_depths,
        };
        let mut nodes = self.nodes;
        index.link(&mut nodes);
        index.nodes = nodes.into();
        index.find_best(star);
        index
            .table
            .shrink_to_fit(|key| Text::parse(key.text(&index.text)).hash());
        index
    }

    /// The rules of each node, node after node. They stay in the order of their ranks, in which they were added.
    #[allow(clippy::indexing_slicing)] // Node ids and the sums of their occurrences are in range.
    fn distribute(&mut self) -> Box<[Rank]> {
        let mut ends = vec![0; self.nodes.len()];
        for (id, _) in &self.occurrences {
            ends[id.index()] += 1;
        }
        let mut start = 0;
        for (node, end) in self.nodes.iter_mut().zip(&mut ends) {
            node.rules = start;
            start += std::mem::replace(end, start);
        }
        let mut ranks = vec![Rank::new(0); self.occurrences.len()];
        for (id, rank) in &self.occurrences {
            let end = &mut ends[id.index()];
            ranks[*end as usize] = *rank;
            *end += 1;
        }
        ranks.into()
    }
}

impl Index {
    /// Finds the successor of every node.
    fn link(&self, nodes: &mut [Node]) {
        let mut set = |at: Option<First>, next: Option<First>| {
            if let Some(node) = at.and_then(|at| nodes.get_mut(at.id.index())) {
                node.next = next.map(|next| next.id);
            }
        };
        for key in &self.table {
            match Text::parse(key.text(&self.text)) {
                Text::Address(_, domain) => set(key.exact, self.domain(domain)),
                Text::Domain(domain) => {
                    let parent = self.parent_wildcard(domain);
                    set(key.wildcard, parent);
                    set(key.exact, key.wildcard.or(parent));
                }
            }
        }
    }

    /// Finds the best rule of every node that `star` says matches everything on the other side.
    fn find_best(&mut self, star: impl Fn(Rank) -> bool) {
        for n in 0..self.nodes.len() {
            let mut rules = self.rules(NodeId::new(n)).iter().copied();
            let best = rules.find(|&rank| star(rank));
            if let Some(node) = self.nodes.get_mut(n) {
                node.best_with_star = best;
            }
        }
        let keyed = self.table.iter_mut();
        let firsts = keyed.flat_map(|key| [&mut key.exact, &mut key.wildcard]);
        for first in firsts.chain([&mut self.star]).flatten() {
            let node = self.nodes.get(first.id.index());
            first.best_with_star = node.and_then(|node| node.best_with_star);
        }
    }
}
