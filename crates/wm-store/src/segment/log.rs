use super::{
    Files, Location, ReadFault, SegmentError, SegmentFile, record::MAX_RECORD, scan::Scan,
};
use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// First bytes of a segment; its number follows (`u32`, little-endian).
const MAGIC: [u8; 12] = *b"wm segment\0\x01";
/// Bytes before the first record.
pub(super) const SEGMENT_HEAD: u32 = 16;
/// Handles kept open for reading.
const MAX_OPEN: usize = 256;

/// All segments of a store: appends go to the newest.
///
/// A record is written while the append lock is held. Were room only reserved under it, a synced
/// and acknowledged record could stand behind a hole that a record still being written left at a
/// power cut, and a scan would have to guess its way across. The kernel takes a file's lock for the
/// length of a write anyway, so nothing is lost; sealing happens before and outside.
pub(super) struct Log {
    files: Arc<dyn Files>,
    segment_size: u32,
    appender: Mutex<Appender>,
    /// Everything before this place is durable. Held for the length of a sync.
    synced: Mutex<Location>,
    open: Mutex<HashMap<u32, Arc<dyn SegmentFile>>>,
    /// How many have pinned each segment and those behind it. Taken before `appender`.
    pins: Mutex<BTreeMap<u32, usize>>,
    /// Where the last records of bodies were before a compaction moved them, and where they are.
    moved: Mutex<HashMap<Location, Location>>,
}

/// Keeps compaction from removing a segment, and any that comes behind it.
pub(super) struct Pin {
    log: Arc<Log>,
    first: u32,
}

impl Pin {
    /// The first of the segments.
    pub(super) fn first(&self) -> u32 {
        self.first
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = lock(&self.log.pins);
        if let Some(count) = pins.get_mut(&self.first) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.first);
            }
        }
    }
}

struct Appender {
    active: Option<Active>,
    /// The newest segment found at open, until the first append decides whether to go on in it.
    found: Option<u32>,
    /// The number of the next segment to be made.
    next: u32,
    /// Full segments that were written to since the last sync.
    full: Vec<Arc<dyn SegmentFile>>,
    /// Whether a segment was made since the last sync.
    created: bool,
    failed: Option<Arc<io::Error>>,
}

struct Active {
    number: u32,
    file: Arc<dyn SegmentFile>,
    end: u32,
    dirty: bool,
}

impl Log {
    pub(super) fn open(files: Arc<dyn Files>, segment_size: u32) -> Result<Self, SegmentError> {
        let found = segments(&*files)?.into_iter().max();
        Ok(Self {
            files,
            segment_size,
            appender: Mutex::new(Appender {
                active: None,
                found,
                next: found.map_or(1, |found| found.saturating_add(1)),
                full: Vec::new(),
                created: false,
                failed: None,
            }),
            synced: Mutex::new(Location::START),
            open: Mutex::new(HashMap::new()),
            pins: Mutex::default(),
            moved: Mutex::default(),
        })
    }

    /// Writes a record behind the last one. It is durable after the next [`sync`](Self::sync).
    pub(super) fn append(&self, record: &[u8]) -> Result<Location, SegmentError> {
        let mut appender = lock(&self.appender);
        appender.check()?;
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        let active = self.active(&mut appender, length)?;
        // Before the write: a failed one may have left something behind, too.
        active.dirty = true;
        let location = Location {
            segment: active.number,
            offset: active.end,
        };
        active
            .file
            .write_at(record, active.end.into())
            .map_err(|source| SegmentError::io("write", location.segment, source))?;
        active.end += length;
        Ok(location)
    }

    /// Makes the record at `location`, and all that were appended before it, durable. Does nothing
    /// when they are.
    ///
    /// # Errors
    /// [`SegmentError::SyncFailed`], now and for ever after.
    pub(super) fn sync(&self, location: Location) -> Result<(), SegmentError> {
        let mut synced = lock(&self.synced);
        let (dirty, created, end) = {
            let mut appender = lock(&self.appender);
            appender.check()?;
            if location < *synced {
                return Ok(());
            }
            appender.take_dirty()
        };
        let directory = created.then(|| self.files.sync());
        let result = dirty
            .iter()
            .map(|file| file.sync())
            .chain(directory)
            .collect();
        match result {
            Ok(()) => {
                *synced = end.max(*synced);
                Ok(())
            }
            Err(source) => lock(&self.appender).fail(source),
        }
    }

    /// Fills `buffer` with what stands at `location`.
    pub(super) fn read(&self, location: Location, buffer: &mut [u8]) -> Result<(), ReadFault> {
        let read = self
            .file(location.segment)
            .and_then(|f| f.read_at(buffer, location.offset.into()));
        read.map_err(read_fault)
    }

    /// The numbers of all segments, rising.
    pub(super) fn segments(&self) -> Result<Vec<u32>, SegmentError> {
        let mut numbers = segments(&*self.files)?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// What is in a segment.
    pub(super) fn scan(&self, number: u32) -> Result<Scan, SegmentError> {
        let file = self
            .file(number)
            .map_err(|source| SegmentError::io("open", number, source))?;
        Scan::new(number, file)
    }

    /// Pins the segment that is appended to, and all that follow it.
    pub(super) fn pin(self: &Arc<Self>) -> Pin {
        let mut pins = lock(&self.pins);
        let first = lock(&self.appender).current();
        *pins.entry(first).or_default() += 1;
        Pin {
            log: self.clone(),
            first,
        }
    }

    /// Whether a segment is appended to no more, and not pinned: which it can then never be again.
    pub(super) fn is_at_rest(&self, segment: u32) -> bool {
        let pins = lock(&self.pins);
        let pinned = pins.keys().next().is_some_and(|first| *first <= segment);
        !pinned && segment < lock(&self.appender).current()
    }

    /// The segments that are appended to no more, and their sizes.
    pub(super) fn full_segments(&self) -> Result<Vec<(u32, u64)>, SegmentError> {
        let current = lock(&self.appender).current();
        let mut full = Vec::new();
        for number in self.segments()? {
            if number < current {
                let size = self.file(number).and_then(|file| file.size());
                full.push((
                    number,
                    size.map_err(|source| SegmentError::io("open", number, source))?,
                ));
            }
        }
        Ok(full)
    }

    pub(super) fn forward(&self, moved: impl IntoIterator<Item = (Location, Location)>) {
        lock(&self.moved).extend(moved);
    }

    pub(super) fn forget_moves(&self) {
        *lock(&self.moved) = HashMap::new();
    }

    /// Where the last record of a body was moved to.
    pub(super) fn moved_to(&self, last: Location) -> Option<Location> {
        lock(&self.moved).get(&last).copied()
    }

    /// Removes segments. Handles of them stay good.
    pub(super) fn remove(&self, segments: &[u32]) -> Result<(), SegmentError> {
        let Some(&first) = segments.first() else {
            return Ok(());
        };
        for &number in segments {
            self.files
                .remove(&name(number))
                .map_err(|source| SegmentError::io("remove", number, source))?;
            lock(&self.open).remove(&number);
        }
        self.files
            .sync()
            .map_err(|source| SegmentError::io("remove", first, source))
    }

    pub(super) fn file(&self, number: u32) -> io::Result<Arc<dyn SegmentFile>> {
        if let Some(file) = lock(&self.open).get(&number) {
            return Ok(file.clone());
        }
        let file = self.files.open(&name(number), false)?;
        let mut open = lock(&self.open);
        if open.len() >= MAX_OPEN
            && let Some(&victim) = open.keys().next()
        {
            open.remove(&victim);
        }
        open.insert(number, file.clone());
        Ok(file)
    }

    /// The segment with room for `length` more bytes that is appended to.
    fn active<'a>(
        &self,
        appender: &'a mut Appender,
        length: u32,
    ) -> Result<&'a mut Active, SegmentError> {
        if let Some(found) = appender.found.take() {
            appender.active = self.resume(found)?;
        }
        let full = |active: &Active| {
            active.end > SEGMENT_HEAD && active.end.saturating_add(length) > self.segment_size
        };
        if let Some(active) = appender.active.take_if(|active| full(active)) {
            appender.full.extend(active.dirty.then_some(active.file));
        }
        match &mut appender.active {
            Some(active) => Ok(active),
            vacant => {
                // Counted first: a failed attempt may have left a file of that name.
                let number = appender.next;
                appender.next = number.saturating_add(1);
                appender.created = true;
                Ok(vacant.insert(self.create(number)?))
            }
        }
    }

    fn create(&self, number: u32) -> Result<Active, SegmentError> {
        let error = |source| SegmentError::io("create", number, source);
        let file = self.files.create(&name(number)).map_err(error)?;
        let [a, b, c, d] = number.to_le_bytes();
        let head = [&MAGIC[..], &[a, b, c, d]].concat();
        file.write_at(&head, 0).map_err(|source| {
            // Best effort: a segment without a head is skipped by everyone.
            let _ = self.files.remove(&name(number));
            error(source)
        })?;
        Ok(Active {
            number,
            file,
            end: SEGMENT_HEAD,
            dirty: true,
        })
    }

    /// The segment if it is whole to its end and not full. A torn one is left as it is, for a new one to
    /// follow: what a power cut left is evidence, and never ours to cut off.
    fn resume(&self, number: u32) -> Result<Option<Active>, SegmentError> {
        let error = |source| SegmentError::io("open", number, source);
        let file = self.files.open(&name(number), true).map_err(error)?;
        let size = file.size().map_err(error)?;
        let Ok(end) = u32::try_from(size) else {
            return Ok(None);
        };
        if end >= self.segment_size || end < SEGMENT_HEAD {
            return Ok(None);
        }
        for found in Scan::new(number, file.clone())? {
            if found?.is_err() {
                return Ok(None);
            }
        }
        // Its bytes may have come from the page cache of a process that died before its sync.
        Ok(Some(Active {
            number,
            file,
            end,
            dirty: true,
        }))
    }
}

impl Appender {
    /// The segment that is appended to, or will be next.
    fn current(&self) -> u32 {
        let active = self.active.as_ref().map(|active| active.number);
        active.or(self.found).unwrap_or(self.next)
    }

    fn check(&self) -> Result<(), SegmentError> {
        match &self.failed {
            Some(source) => Err(SegmentError::SyncFailed {
                source: source.clone(),
            }),
            None => Ok(()),
        }
    }

    fn fail<T>(&mut self, source: io::Error) -> Result<T, SegmentError> {
        let source = self.failed.get_or_insert_with(|| Arc::new(source)).clone();
        Err(SegmentError::SyncFailed { source })
    }

    /// What has to be synced (files; whether the directory, too), and up to where it is then.
    fn take_dirty(&mut self) -> (Vec<Arc<dyn SegmentFile>>, bool, Location) {
        let mut dirty = std::mem::take(&mut self.full);
        let mut end = Location::START;
        if let Some(active) = &mut self.active {
            end = Location {
                segment: active.number,
                offset: active.end,
            };
            if std::mem::take(&mut active.dirty) {
                dirty.push(active.file.clone());
            }
        }
        (dirty, std::mem::take(&mut self.created), end)
    }
}

/// What keeps a record from being read.
pub(super) fn read_fault(error: io::Error) -> ReadFault {
    match error.kind() {
        // The segment is gone, or shorter than it was.
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => ReadFault::Damaged,
        _ => ReadFault::Io(Arc::new(error)),
    }
}

pub(super) fn name(number: u32) -> String {
    format!("{number:08x}.wms")
}

/// Whether a segment begins as the one of this number must.
pub(super) fn is_head(bytes: &[u8], number: u32) -> bool {
    bytes
        .strip_prefix(&MAGIC)
        .is_some_and(|rest| rest == number.to_le_bytes())
}

fn segments(files: &dyn Files) -> Result<Vec<u32>, SegmentError> {
    let names = files
        .names()
        .map_err(|source| SegmentError::io("list", 0, source))?;
    let number = |name: &String| {
        name.strip_suffix(".wms")
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
    };
    Ok(names.iter().filter_map(number).collect())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic under these locks leaves nothing half done that a later holder would build on: the
    // end of the active segment moves only after its record is written.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const _: () = assert!(MAX_RECORD < super::MIN_SEGMENT_SIZE as usize);
