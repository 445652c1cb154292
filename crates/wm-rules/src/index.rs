//! From an address to the patterns that match it.

use std::num::NonZeroU32;

use wm_core::EmailAddress;

use crate::table::{Firsts, Key, Seen, Table, Text};
use crate::{Pattern, Specificity};

/// The patterns of one side of all rules: every distinct one is a node.
///
/// The patterns that match one address form a chain, from the most specific to the least, and what follows a pattern
/// in the chain is the same whatever the address. So each node knows its successor, and only the first node has to be
/// looked up: the address itself, its domain, then the domain's suffixes at label boundaries, longest first.
#[derive(Debug)]
pub(crate) struct Index {
    table: Table,
    nodes: Box<[Node]>,
    /// The rules of each node, best rank first, node after node; see [`Node::rules`].
    ranks: Box<[Rank]>,
    star: Option<First>,
    has_addresses: bool,
    wildcards: Lengths,
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

impl First {
    /// From the two numbers that were [`written`](Self::written); the first is 0 where there was nothing.
    pub(crate) fn read(id: u32, best: u32) -> Option<Self> {
        Some(Self {
            id: NodeId(NonZeroU32::new(id)?),
            best_with_star: NonZeroU32::new(best).map(Rank),
        })
    }

    pub(crate) fn written(self) -> [u32; 2] {
        let best = self.best_with_star.map_or(0, |rank| rank.0.get());
        [self.id.0.get(), best]
    }
}

impl Index {
    /// An index of the patterns of the rules, given best rank first; `star` tells which of them match every address on
    /// the other side.
    pub(crate) fn new<'a>(
        rules: impl Iterator<Item = &'a [Pattern]> + Clone,
        star: impl Fn(Rank) -> bool,
    ) -> Self {
        let mut builder = Builder::new(rules.clone().map(<[_]>::len).sum());
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
        let address = Text::Address(local_part, domain);
        let address = self.has_addresses.then(|| Key::new(address));
        let domain = InDomain::new(domain, self);
        // All buckets are asked for before one is looked into, so that they come from memory at the same time.
        let seen = address.as_ref().map(|key| self.table.look(key));
        let in_domain = domain.look(self);
        if let Some((key, seen)) = address.zip(seen)
            && let Some(place) = self.table.find(&key, seen)
        {
            return self.table.firsts(place).exact;
        }
        domain.find(in_domain, self)
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
        let domain = InDomain::new(domain, self);
        domain.find(domain.look(self), self)
    }

    /// The longest wildcard above the domain, or the star.
    fn parent_wildcard(&self, domain: &str) -> Option<First> {
        let mut parents = Parents::new(domain, self);
        let nearest = parents.next().map(|key| (key, self.table.look(&key)));
        parents.find(nearest, self)
    }
}

/// What is looked for when the patterns of a domain are.
struct InDomain<'a> {
    itself: Key<'a>,
    /// Of the domains above it, those that are as long as some wildcard.
    nearest: Option<Key<'a>>,
    others: Parents<'a>,
}

impl<'a> InDomain<'a> {
    fn new(domain: &'a str, index: &Index) -> Self {
        let mut parents = Parents::new(domain, index);
        Self {
            itself: Key::new(Text::Domain(domain)),
            nearest: parents.next(),
            others: parents,
        }
    }

    fn look(&self, index: &Index) -> (Seen, Option<Seen>) {
        let table = &index.table;
        (
            table.look(&self.itself),
            self.nearest.as_ref().map(|key| table.look(key)),
        )
    }

    /// The most specific pattern that matches every address of the domain.
    fn find(&self, (itself, nearest): (Seen, Option<Seen>), index: &Index) -> Option<First> {
        if let Some(place) = index.table.find(&self.itself, itself) {
            let firsts = index.table.firsts(place);
            if let Some(first) = firsts.exact.or(firsts.wildcard) {
                return Some(first);
            }
        }
        self.others.find(self.nearest.zip(nearest), index)
    }
}

/// The domains above a domain that are as long as some wildcard, the longest first.
#[derive(Clone, Copy)]
struct Parents<'a> {
    below: &'a str,
    lengths: Lengths,
}

impl<'a> Parents<'a> {
    fn new(domain: &'a str, index: &Index) -> Self {
        Self {
            below: domain,
            lengths: index.wildcards,
        }
    }

    /// The longest wildcard from the nearest domain on, which is looked for already; or the star.
    fn find(mut self, nearest: Option<(Key<'a>, Seen)>, index: &Index) -> Option<First> {
        let table = &index.table;
        let mut parent = nearest;
        while let Some((key, seen)) = parent {
            let place = table.find(&key, seen);
            if let Some(first) = place.and_then(|place| table.firsts(place).wildcard) {
                return Some(first);
            }
            parent = self.next().map(|key| (key, table.look(&key)));
        }
        index.star
    }

    fn next(&mut self) -> Option<Key<'a>> {
        loop {
            // Faster than `split_once` for what is a few octets away.
            let dot = self.below.bytes().position(|octet| octet == b'.')?;
            self.below = self.below.get(dot + 1..)?;
            if self.lengths.contains(self.below.len()) {
                return Some(Key::new(Text::Domain(self.below)));
            }
        }
    }
}

/// Lengths of domain names in octets. There are none above 253.
#[derive(Debug, Default, Clone, Copy)]
struct Lengths([u64; 4]);

impl Lengths {
    fn insert(&mut self, length: usize) {
        if let Some(bits) = self.0.get_mut(length / 64) {
            *bits |= 1 << (length % 64);
        }
    }

    fn contains(self, length: usize) -> bool {
        let bits = self.0.get(length / 64);
        bits.is_some_and(|bits| bits & (1 << (length % 64)) != 0)
    }
}

/// An index that is being made.
struct Builder {
    table: Table,
    nodes: Vec<Node>,
    star: Option<First>,
    has_addresses: bool,
    wildcards: Lengths,
    /// Which rule has which pattern, in the order of the rules.
    occurrences: Vec<(NodeId, Rank)>,
}

impl Builder {
    fn new(patterns: usize) -> Self {
        Self {
            table: Table::new(patterns),
            nodes: Vec::with_capacity(patterns),
            star: None,
            has_addresses: false,
            wildcards: Lengths::default(),
            occurrences: Vec::with_capacity(patterns),
        }
    }

    fn add(&mut self, rank: Rank, pattern: &Pattern) {
        let id = self.node(pattern);
        self.occurrences.push((id, rank));
    }

    /// The node of the pattern, which is made where there is none.
    fn node(&mut self, pattern: &Pattern) -> NodeId {
        let new = First {
            id: NodeId::new(self.nodes.len()),
            best_with_star: None,
        };
        let id = match Text::of(pattern) {
            None => self.star.get_or_insert(new).id,
            Some(text) => {
                let place = self.table.find_or_insert(text);
                let mut firsts = self.table.firsts(place);
                let slot = match pattern {
                    Pattern::Wildcard(_) => &mut firsts.wildcard,
                    _ => &mut firsts.exact,
                };
                let id = slot.get_or_insert(new).id;
                self.table.set(place, firsts);
                id
            }
        };
        if id == new.id {
            self.nodes.push(Node {
                specificity: pattern.specificity(),
                next: None,
                rules: 0,
                best_with_star: None,
            });
            self.has_addresses |= matches!(pattern, Pattern::Address(_));
            if let Pattern::Wildcard(domain) = pattern {
                self.wildcards.insert(domain.as_ascii().len());
            }
        }
        id
    }

    fn finish(mut self, star: impl Fn(Rank) -> bool) -> Index {
        let ranks = self.distribute();
        let mut index = Index {
            table: self.table,
            nodes: Box::default(),
            ranks,
            star: self.star,
            has_addresses: self.has_addresses,
            wildcards: self.wildcards,
        };
        let mut nodes = self.nodes;
        index.link(&mut nodes);
        index.nodes = nodes.into();
        index.find_best(star);
        index.table.shrink_to_fit();
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
        for place in self.table.places() {
            let firsts = self.table.firsts(place);
            match self.table.text(place) {
                Text::Address(_, domain) => {
                    set(firsts.exact, self.domain(domain));
                }
                Text::Domain(domain) => {
                    let parent = self.parent_wildcard(domain);
                    set(firsts.wildcard, parent);
                    set(firsts.exact, firsts.wildcard.or(parent));
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
        let nodes = &self.nodes;
        let best = |first: First| First {
            best_with_star: nodes
                .get(first.id.index())
                .and_then(|node| node.best_with_star),
            ..first
        };
        self.star = self.star.map(best);
        self.table.update(|firsts| Firsts {
            exact: firsts.exact.map(best),
            wildcard: firsts.wildcard.map(best),
        });
    }
}
