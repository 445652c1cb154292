//! Compaction: gives back the space of bodies that nothing refers to any more.

use crate::{
    Store,
    engine::{Direction, EngineError, KeyRange, Snapshot},
    fault::Fault,
    seal::KeySet,
    segment::{Bodies, Extent, ReadFault, SegmentError, StoredBody},
};
use bytes::Bytes;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};
use wm_core::{OrganizationId, traits::StoreError};

/// Bodies whose records are read at a time.
const PAGE: usize = 1024;
/// Octets of bodies that are moved by one commit, about.
const MOVE: u64 = 4 << 20;
/// Segments that are compacted together: each takes one walk through all bodies with it.
const SEGMENTS: usize = 16;

/// What a compaction came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compaction {
    /// Segments removed.
    pub removed: u64,
    /// Octets of them.
    pub octets: u64,
    /// Bodies that were moved out of them; bodies, not octets, as one may have been in several.
    pub moved: u64,
    /// Segments that are due and were left: something is being written to them or waits for its first
    /// reference, or they hold what cannot be read, or something of an organization whose body
    /// records cannot be.
    pub left: u64,
}

impl Store {
    /// Removes every full segment of which at least `garbage` percent (1 to 100) is not needed,
    /// after moving out of it what is. `progress` gets the octets of segments done and of all that
    /// are due.
    ///
    /// It can be given up or cut short at any moment, by loss of power too, and be begun again: what
    /// it has moved stays moved. Everything else goes on meanwhile. The segment that is being
    /// written to is not touched.
    ///
    /// A new reference to a body that is about to be removed is refused with
    /// [`StoreError::NoSuchBody`], unless the body was written and not referred to since: a segment
    /// with such a body is left.
    ///
    /// # Errors
    /// What keeps records from being read or committed, or segments from being removed. Damaged
    /// bodies do not: their segments are left.
    pub async fn compact(
        &self,
        garbage: u8,
        progress: impl Fn(u64, u64),
    ) -> Result<Compaction, StoreError> {
        let bodies = &self.core.bodies;
        let _alone = bodies.compaction.lock().await;
        bodies.forget_moves();
        let full = self.block(Bodies::full_segments).await?;
        let mut needed = HashMap::new();
        self.walk(|_, extent| extent.count(&mut needed)).await?;
        let due: Vec<(u32, u64)> = full
            .into_iter()
            .filter(|(segment, size)| {
                let needed = needed.get(segment).copied().unwrap_or(0);
                let unneeded = size.saturating_sub(needed);
                unneeded.saturating_mul(100) >= size.saturating_mul(garbage.clamp(1, 100).into())
            })
            .collect();

        let all = due.iter().map(|(_, size)| size).sum();
        let mut done = Compaction::default();
        let mut octets = 0;
        for some in due.chunks(SEGMENTS) {
            self.compact_some(some, &mut done).await?;
            octets += some.iter().map(|(_, size)| size).sum::<u64>();
            progress(octets, all);
        }
        Ok(done)
    }

    async fn compact_some(
        &self,
        due: &[(u32, u64)],
        done: &mut Compaction,
    ) -> Result<(), StoreError> {
        let numbers: Vec<u32> = due.iter().map(|(segment, _)| *segment).collect();
        let bodies = self.core.bodies.clone();
        let condemned = self
            .core
            .commit(move |_| Ok::<_, Fault>(bodies.condemn(&numbers)))
            .await?;

        // Every reference that there can still be to something in them is durable by now.
        let mut needed: HashMap<OrganizationId, Vec<StoredBody>> = HashMap::new();
        let doubtful = self
            .walk(|organization, extent| {
                if extent.touches(&condemned) {
                    needed.entry(organization).or_default().push(extent.body);
                }
            })
            .await?;
        let mut left = BTreeSet::new();
        for &segment in &condemned {
            let owners = self.block(move |bodies| bodies.owners(segment)).await?;
            if !owners.is_disjoint(&doubtful) {
                left.insert(segment);
            }
        }
        let condemned = Arc::new(condemned);
        for (organization, bodies) in needed {
            self.move_out(organization, bodies, &condemned, &mut left, done)
                .await?;
        }

        let removed: Vec<(u32, u64)> = due
            .iter()
            .filter(|(segment, _)| condemned.contains(segment) && !left.contains(segment))
            .copied()
            .collect();
        let numbers: Vec<u32> = removed.iter().map(|(segment, _)| *segment).collect();
        self.block(move |bodies| bodies.remove(&numbers)).await?;
        done.removed += removed.len() as u64;
        done.octets += removed.iter().map(|(_, size)| size).sum::<u64>();
        done.left += (due.len() - removed.len()) as u64;
        Ok(())
    }

    /// Moves what these bodies have in the condemned segments. Segments that a body cannot be moved
    /// out of are added to `left`.
    async fn move_out(
        &self,
        organization: OrganizationId,
        mut bodies: Vec<StoredBody>,
        condemned: &Arc<HashSet<u32>>,
        left: &mut BTreeSet<u32>,
        done: &mut Compaction,
    ) -> Result<(), StoreError> {
        let Some(keys) = self.core.known_keys(organization).await? else {
            left.extend(condemned.iter());
            return Ok(());
        };
        // As they lie on the disk.
        bodies.sort_unstable_by_key(|body| body.last);
        let mut rest = bodies.as_slice();
        while !rest.is_empty() {
            let mut octets = 0;
            let some = rest
                .iter()
                .position(|body| {
                    octets += body.size;
                    octets > MOVE
                })
                .map_or(rest.len(), |count| count.max(1));
            let (these, others) = rest.split_at(some.min(rest.len()));
            rest = others;

            let (these, segments) = (these.to_vec(), condemned.clone());
            let rewrite = move |all: &Bodies| {
                let mut moves = Vec::new();
                let mut stay = BTreeSet::new();
                for body in these {
                    match all.rewrite(organization, body, &segments)? {
                        Ok(moved) => moves.push((body, moved)),
                        Err(_) => match all.extent(organization, body) {
                            Ok(extent) => stay.extend(extent.places().map(|it| it.segment)),
                            Err(ReadFault::Io(_)) => stay.extend(segments.iter()),
                            Err(_) => drop(stay.insert(body.last.segment)),
                        },
                    }
                }
                Ok((moves, stay))
            };
            let (moves, stay) = self.block(rewrite).await?;
            left.extend(stay);
            done.moved += moves.len() as u64;
            let forwards: Vec<_> = moves
                .iter()
                .map(|(old, new)| (old.last, new.last))
                .collect();
            let (all, keys) = (self.core.bodies.clone(), keys.clone());
            self.core
                .commit(move |transaction| {
                    moves
                        .into_iter()
                        .try_for_each(|(old, new)| all.settle(transaction, &keys, old, new))
                })
                .await?;
            self.core.bodies.forward(forwards);
        }
        Ok(())
    }

    /// Shows every body that something refers to. Answers the organizations of which some were not
    /// shown, because their records or keys cannot be had.
    async fn walk(
        &self,
        mut visit: impl FnMut(OrganizationId, &Extent),
    ) -> Result<HashSet<OrganizationId>, StoreError> {
        let mut doubtful = HashSet::new();
        let mut next = Some(Bytes::new());
        while let Some(start) = next {
            let range = KeyRange { start, end: None };
            let first = move |now: &dyn Snapshot| {
                let first = now.scan(range, Direction::Forward).next();
                first.transpose().map_err(Fault::from)
            };
            let Some((key, _)) = self.core.read::<_, Fault>(first).await? else {
                break;
            };
            let owner = key.first_chunk().copied().ok_or_else(|| {
                Fault::from(EngineError::corrupt("a key begins with no organization"))
            })?;
            let owner = u128::from_be_bytes(owner);
            let organization = OrganizationId::from_u128(owner);
            if !self.walk_one(organization, &mut visit).await? {
                doubtful.insert(organization);
            }
            next = owner
                .checked_add(1)
                .map(|next| Bytes::copy_from_slice(&next.to_be_bytes()));
        }
        Ok(doubtful)
    }

    /// Shows every body of an organization; answers whether that was every one.
    async fn walk_one(
        &self,
        organization: OrganizationId,
        visit: &mut impl FnMut(OrganizationId, &Extent),
    ) -> Result<bool, StoreError> {
        let mut range = Bodies::records(organization);
        let some = range.clone();
        let any = move |now: &dyn Snapshot| {
            let first = now.scan(some, Direction::Forward).next();
            Ok::<_, Fault>(first.transpose()?.is_some())
        };
        if !self.core.read(any).await? {
            return Ok(true);
        }
        let Ok(Some(keys)) = self.core.known_keys(organization).await else {
            return Ok(false);
        };
        let mut whole = true;
        loop {
            let (bodies, keys, from) = (self.core.bodies.clone(), keys.clone(), range.clone());
            let page = move |now: &dyn Snapshot| Page::read(&bodies, &keys, now, from);
            let page = self.core.read::<_, Fault>(page).await?;
            whole &= page.whole;
            page.extents
                .iter()
                .for_each(|extent| visit(organization, extent));
            match page.last {
                Some(last) => range = range.after(&last),
                None => return Ok(whole),
            }
        }
    }

    /// Runs a job on the segments on a reader's thread.
    async fn block<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Bodies) -> Result<T, SegmentError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let bodies = self.core.bodies.clone();
        let job = move |_: &dyn Snapshot| job(&bodies).map_err(Fault::from);
        Ok(self.core.read(job).await?)
    }
}

/// Some of the bodies of an organization.
struct Page {
    extents: Vec<Extent>,
    /// Whether all that there are could be read.
    whole: bool,
    /// The key to go on behind.
    last: Option<Bytes>,
}

impl Page {
    fn read(
        bodies: &Bodies,
        keys: &KeySet,
        now: &dyn Snapshot,
        range: KeyRange,
    ) -> Result<Self, Fault> {
        let mut page = Self {
            extents: Vec::new(),
            whole: true,
            last: None,
        };
        for (count, entry) in now.scan(range, Direction::Forward).enumerate() {
            let (key, sealed) = entry?;
            match bodies.found(keys, &key, &sealed) {
                Some(body) => match bodies.extent(keys.organization(), body) {
                    Ok(extent) => page.extents.push(extent),
                    Err(ReadFault::Io(_)) => page.whole = false,
                    // Where the rest of it is, nobody can say any more.
                    Err(_) => page.extents.push(Extent {
                        body,
                        chunks: Vec::new(),
                    }),
                },
                None => page.whole = false,
            }
            if count + 1 == PAGE {
                page.last = Some(key);
                break;
            }
        }
        Ok(page)
    }
}
