//! Texts and the patterns that each of them stands for, laid out for sets that no cache holds.
//!
//! A search costs what the reads cost that wait for memory one after the other. Here they are two: a bucket, then the
//! record it points to, which has the text and the answer; a general hash map has a third between them. And a search
//! is begun by one call and ended by another, so that several can wait at the same time (docs/decisions/0010).

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

use crate::Pattern;
use crate::index::First;

/// A map from texts to [`Firsts`].
#[derive(Debug)]
pub(crate) struct Table {
    buckets: Box<[Bucket]>,
    /// Record after record, each at a multiple of [`UNIT`]: [`Firsts`], the length of the text, the text.
    records: Vec<u8>,
}

/// A domain, or an address. An address is never equal to a domain, since it has an `@`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Text<'a> {
    Address(&'a str, &'a str),
    Domain(&'a str),
}

/// The patterns of one text.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Firsts {
    /// The address, or the domain without its subdomains.
    pub(crate) exact: Option<First>,
    pub(crate) wildcard: Option<First>,
}

/// A text and its hash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    text: Text<'a>,
    hash: u64,
}

/// What a bucket says of a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    bucket: usize,
    /// The highest bit of octet n is set if entry n has the tag of the key; also, rarely, if it has not.
    candidates: u64,
    /// There is room: what is not here is in no other bucket.
    last: bool,
}

/// Where a record begins in the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(usize);

/// Entries, filled from the first on: half a cache line.
#[derive(Debug, Default, Clone)]
#[repr(align(32))]
struct Bucket {
    /// For each entry an octet: a part of the hash, above 127; 0 where there is no entry.
    tags: u64,
    /// Where the record is, in units.
    records: [u32; ENTRIES],
}

const ENTRIES: usize = 6;
/// Entries of a bucket that are taken on average when the table is full. 3 in 100 buckets then have more than six.
const LOAD: usize = 3;
const UNIT: usize = 8;

impl Table {
    /// A table for at most so many texts.
    pub(crate) fn new(texts: usize) -> Self {
        Self {
            buckets: vec![Bucket::default(); texts / LOAD + 1].into(),
            records: Vec::new(),
        }
    }

    /// Begins a search.
    pub(crate) fn look(&self, key: &Key<'_>) -> Seen {
        let bucket = ((key.hash >> 32) * self.buckets.len() as u64) >> 32;
        self.look_at(bucket as usize, key)
    }

    /// Ends a search.
    pub(crate) fn find(&self, key: &Key<'_>, seen: Seen) -> Option<Place> {
        self.search(key, seen).ok()
    }

    /// Finds a text, or puts it in.
    pub(crate) fn find_or_insert(&mut self, text: Text<'_>) -> Place {
        let key = Key::new(text);
        let end = match self.search(&key, self.look(&key)) {
            Ok(place) => return place,
            Err(end) => end,
        };
        let place = Place(self.records.len());
        text.append_record(&mut self.records);
        if let Some(bucket) = self.buckets.get_mut(end) {
            // At most `MAX_PATTERNS` records of at most 34 units each: the number fits.
            bucket.push(key.tag(), (place.0 / UNIT) as u32);
        }
        place
    }

    pub(crate) fn firsts(&self, place: Place) -> Firsts {
        let record = self.records.get(place.0..).unwrap_or_default();
        record.first_chunk().map(Firsts::read).unwrap_or_default()
    }

    pub(crate) fn set(&mut self, place: Place, firsts: Firsts) {
        let record = self.records.get_mut(place.0..).unwrap_or_default();
        if let Some(octets) = record.first_chunk_mut() {
            *octets = firsts.written();
        }
    }

    pub(crate) fn text(&self, place: Place) -> Text<'_> {
        Text::parse(self.octets(place))
    }

    /// All records, in the order in which they were put in.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        std::iter::successors(self.after(None), |&place| self.after(Some(place)))
    }

    /// Changes all records.
    pub(crate) fn update(&mut self, change: impl Fn(Firsts) -> Firsts) {
        let mut next = self.after(None);
        while let Some(place) = next {
            self.set(place, change(self.firsts(place)));
            next = self.after(next);
        }
    }

    pub(crate) fn shrink_to_fit(&mut self) {
        self.records.shrink_to_fit();
    }

    /// Where the text is, or the bucket where it could be put.
    fn search(&self, key: &Key<'_>, mut seen: Seen) -> Result<Place, usize> {
        loop {
            while seen.candidates != 0 {
                let entry = seen.candidates.trailing_zeros() as usize / 8;
                let place = self.place(seen.bucket, entry);
                if key.text.is(self.octets(place)) {
                    return Ok(place);
                }
                seen.candidates &= seen.candidates - 1;
            }
            // There are more buckets than it takes to hold all texts, so one has room.
            if seen.last {
                return Err(seen.bucket);
            }
            seen = self.look_at((seen.bucket + 1) % self.buckets.len(), key);
        }
    }

    // A bucket is the remainder of, or scaled down to, the number of buckets.
    #[allow(clippy::indexing_slicing)]
    fn look_at(&self, bucket: usize, key: &Key<'_>) -> Seen {
        let (candidates, last) = self.buckets[bucket].look(key.tag());
        Seen {
            bucket,
            candidates,
            last,
        }
    }

    fn place(&self, bucket: usize, entry: usize) -> Place {
        let bucket = self.buckets.get(bucket);
        let record = bucket.and_then(|bucket| bucket.records.get(entry));
        Place(record.map_or(0, |&record| record as usize * UNIT))
    }

    /// The first record, or the one that follows.
    fn after(&self, place: Option<Place>) -> Option<Place> {
        let next = place.map_or(0, |place| {
            (place.0 + TEXT + self.octets(place).len()).next_multiple_of(UNIT)
        });
        (next < self.records.len()).then_some(Place(next))
    }

    fn octets(&self, place: Place) -> &[u8] {
        match self.records.get(place.0 + TEXT - 1..) {
            Some([len, rest @ ..]) => rest.get(..usize::from(*len)).unwrap_or_default(),
            _ => &[],
        }
    }
}

impl Bucket {
    /// Which entries may have the tag, and whether there is room.
    fn look(&self, tag: u8) -> (u64, bool) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        // An octet is 0 where the tags are equal; subtracting one then borrows from its highest bit.
        let unequal = self.tags ^ (ONES * u64::from(tag));
        let candidates = unequal.wrapping_sub(ONES) & !unequal & (ONES << 7);
        (candidates, self.tags >> (8 * (ENTRIES - 1)) == 0)
    }

    fn push(&mut self, tag: u8, record: u32) {
        let entry = (64 - self.tags.leading_zeros() as usize) / 8;
        if let Some(place) = self.records.get_mut(entry) {
            self.tags |= u64::from(tag) << (8 * entry);
            *place = record;
        }
    }
}

impl<'a> Key<'a> {
    pub(crate) fn new(text: Text<'a>) -> Self {
        let hash = text.hash();
        Self { text, hash }
    }

    fn tag(&self) -> u8 {
        self.hash as u8 | 0x80
    }
}

/// Where the text begins in its record: after [`Firsts`] and the length.
const TEXT: usize = 17;

impl Firsts {
    fn read(&octets: &[u8; 16]) -> Self {
        let number = |at: usize| {
            let number = octets.get(at..).and_then(|it| it.first_chunk());
            number.map_or(0, |it| u32::from_le_bytes(*it))
        };
        Self {
            exact: First::read(number(0), number(4)),
            wildcard: First::read(number(8), number(12)),
        }
    }

    fn written(self) -> [u8; 16] {
        let [exact, wildcard] =
            [self.exact, self.wildcard].map(|first| first.map_or([0; 2], First::written));
        let mut octets = [0; 16];
        let numbers = exact.into_iter().chain(wildcard);
        for (place, number) in octets.chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        octets
    }
}

impl<'a> Text<'a> {
    pub(crate) fn of(pattern: &'a Pattern) -> Option<Self> {
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

    fn parse(octets: &'a [u8]) -> Self {
        let text = std::str::from_utf8(octets).unwrap_or_default();
        match text.rsplit_once('@') {
            Some((local_part, domain)) => Self::Address(local_part, domain),
            None => Self::Domain(text),
        }
    }

    /// The seed is fixed, so that evaluation needs no randomness. A sender who knows it gains nothing: the texts come
    /// from the rules, and a search is bounded by how they lie.
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

    fn is(self, octets: &[u8]) -> bool {
        match self {
            Self::Address(local_part, domain) => {
                octets.len() == local_part.len() + 1 + domain.len()
                    && octets.ends_with(domain.as_bytes())
                    && octets
                        .strip_prefix(local_part.as_bytes())
                        .is_some_and(|rest| rest.starts_with(b"@"))
            }
            Self::Domain(domain) => octets == domain.as_bytes(),
        }
    }

    fn append_record(self, records: &mut Vec<u8>) {
        let parts = match self {
            Self::Address(local_part, domain) => [local_part, "@", domain],
            Self::Domain(domain) => ["", "", domain],
        };
        records.extend(Firsts::default().written());
        // An address has at most 254 octets.
        records.push(parts.iter().map(|part| part.len()).sum::<usize>() as u8);
        for part in parts {
            records.extend_from_slice(part.as_bytes());
        }
        records.resize(records.len().next_multiple_of(UNIT), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::NodeId;

    /// With 20,000 texts some hundred buckets have more than fit, and every tag comes up again and again.
    #[test]
    fn a_table_has_what_was_put_in_and_nothing_else() {
        const TEXTS: usize = 20_000;
        let text = |n: usize| (format!("user{n}"), format!("company{}.example", n / 3));
        let mut table = Table::new(TEXTS);
        let first = |n| First {
            id: NodeId::new(n),
            best_with_star: None,
        };
        for n in 0..TEXTS {
            let (local_part, domain) = text(n);
            let place = match n % 3 {
                0 => table.find_or_insert(Text::Domain(&domain)),
                _ => table.find_or_insert(Text::Address(&local_part, &domain)),
            };
            table.set(
                place,
                Firsts {
                    exact: Some(first(n)),
                    wildcard: None,
                },
            );
        }
        let exact = |text: Text<'_>| {
            let key = Key::new(text);
            let place = table.find(&key, table.look(&key))?;
            table.firsts(place).exact.map(|first| first.id.index())
        };
        for n in 0..TEXTS {
            let (local_part, domain) = text(n);
            let (as_domain, as_address) = match n % 3 {
                0 => (Some(n), None),
                _ => (Some(n - n % 3), Some(n)),
            };
            assert_eq!(exact(Text::Domain(&domain)), as_domain);
            assert_eq!(exact(Text::Address(&local_part, &domain)), as_address);
            assert_eq!(exact(Text::Domain(&local_part)), None);
        }
        assert_eq!(table.places().count(), TEXTS);
    }
}
