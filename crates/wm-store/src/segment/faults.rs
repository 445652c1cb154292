use super::{Files, SegmentFile};
use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Files that treat their user as a bad disk does: what was not synced is lost at a
/// [`power_cut`](Self::power_cut), in part and in any order, and operations fail when told to.
///
/// Clones are the same files.
#[derive(Clone, Default)]
pub struct FaultyFiles(Arc<Mutex<Disk>>);

/// What fails from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Syncs report an error and make nothing durable.
    Sync,
    /// Syncs report success and make nothing durable: what a store without syncs would be.
    SyncIgnored,
    /// After this many more bytes, writes fail for want of space; the write that crosses the line
    /// is done in part.
    Space(usize),
    /// Reads fail.
    Read,
}

#[derive(Default)]
struct Disk {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    contents: Vec<Content>,
    fault: Option<Fault>,
    syncs: u64,
}

#[derive(Default, Clone)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Writes since the last sync: offset and bytes.
    unsynced: Vec<(usize, Vec<u8>)>,
}

impl FaultyFiles {
    /// No files, no fault.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Brings about a fault, or ends it.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.disk().fault = fault;
    }

    /// How often anything was synced.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.disk().syncs
    }

    /// What the disk holds after the power went: everything synced, and of the rest what `seed`
    /// decides. The files that were open go on as if nothing had happened.
    #[must_use]
    pub fn power_cut(&self, seed: u64) -> Self {
        let disk = self.disk();
        let mut chance = Chance(seed);
        let mut names = disk.durable_names.clone();
        for (name, &content) in &disk.names {
            if chance.below(2) == 0 {
                names.insert(name.clone(), content);
            }
        }
        let mut survive = |content: &Content| {
            let mut bytes = content.durable.clone();
            for (offset, written) in &content.unsynced {
                match chance.below(3) {
                    0 => {}
                    1 => overwrite(&mut bytes, *offset, written),
                    _ => {
                        let (part, _) = written.split_at(chance.below(written.len() + 1));
                        overwrite(&mut bytes, *offset, part);
                    }
                }
            }
            Content {
                now: bytes.clone(),
                durable: bytes,
                unsynced: Vec::new(),
            }
        };
        let contents = disk.contents.iter().map(&mut survive).collect();
        let disk = Disk {
            durable_names: names.clone(),
            names,
            contents,
            fault: None,
            syncs: 0,
        };
        Self(Arc::new(Mutex::new(disk)))
    }

    /// Flips the bits of `mask` in one byte of a file, as a failing disk would.
    ///
    /// # Panics
    /// When the file is not there or shorter.
    pub fn corrupt(&self, name: &str, offset: usize, mask: u8) {
        let mut disk = self.disk();
        let content = disk.names.get(name).copied();
        let content = content.and_then(|content| disk.contents.get_mut(content));
        let byte = content.and_then(|content| content.now.get_mut(offset));
        *byte.unwrap_or_else(|| panic!("{name} has no byte {offset}")) ^= mask;
    }

    /// The content of every file, as it stands.
    #[must_use]
    pub fn dump(&self) -> BTreeMap<String, Vec<u8>> {
        let disk = self.disk();
        let content = |&content: &usize| disk.contents.get(content).map(|c| c.now.clone());
        disk.names
            .iter()
            .filter_map(|(name, c)| Some((name.clone(), content(c)?)))
            .collect()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, content: usize) -> Arc<dyn SegmentFile> {
        Arc::new(FaultyFile {
            files: self.clone(),
            content,
        })
    }
}

impl Files for FaultyFiles {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.disk().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let mut disk = self.disk();
        if disk.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let content = disk.contents.len();
        disk.contents.push(Content::default());
        disk.names.insert(name.to_owned(), content);
        Ok(self.file(content))
    }

    fn open(&self, name: &str, _write: bool) -> io::Result<Arc<dyn SegmentFile>> {
        let content = self.disk().names.get(name).copied();
        Ok(self.file(content.ok_or(io::ErrorKind::NotFound)?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk()
            .names
            .remove(name)
            .map(drop)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk()
            .sync(|disk| disk.durable_names.clone_from(&disk.names))
    }
}

impl fmt::Debug for FaultyFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.disk().names.keys()).finish()
    }
}

struct FaultyFile {
    files: FaultyFiles,
    content: usize,
}

impl SegmentFile for FaultyFile {
    fn size(&self) -> io::Result<u64> {
        self.files
            .disk()
            .content(self.content)
            .map(|content| content.now.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut disk = self.files.disk();
        if disk.fault == Some(Fault::Read) {
            return Err(io::Error::other("injected read error"));
        }
        let begin = usize::try_from(offset).map_err(io::Error::other)?;
        let content = disk.content(self.content)?;
        let part = content.now.get(begin..begin.saturating_add(buffer.len()));
        buffer.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.files.disk();
        let mut written = bytes;
        if let Some(Fault::Space(left)) = &mut disk.fault {
            (written, _) = bytes.split_at(bytes.len().min(*left));
            *left -= written.len();
        }
        let begin = usize::try_from(offset).map_err(io::Error::other)?;
        let content = disk.content(self.content)?;
        overwrite(&mut content.now, begin, written);
        content.unsynced.push((begin, written.to_vec()));
        if written.len() < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.files.disk().sync(|disk| {
            if let Ok(content) = disk.content(self.content) {
                for (offset, written) in content.unsynced.drain(..) {
                    overwrite(&mut content.durable, offset, &written);
                }
            }
        })
    }
}

impl Disk {
    fn content(&mut self, content: usize) -> io::Result<&mut Content> {
        self.contents
            .get_mut(content)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync(&mut self, make_durable: impl FnOnce(&mut Self)) -> io::Result<()> {
        self.syncs += 1;
        match self.fault {
            Some(Fault::Sync) => return Err(io::Error::other("injected sync error")),
            Some(Fault::SyncIgnored) => {}
            _ => make_durable(self),
        }
        Ok(())
    }
}

fn overwrite(bytes: &mut Vec<u8>, begin: usize, new: &[u8]) {
    if bytes.len() < begin + new.len() {
        bytes.resize(begin + new.len(), 0);
    }
    if let Some(part) = bytes.get_mut(begin..begin + new.len()) {
        part.copy_from_slice(new);
    }
}

/// SplitMix64: the same seed, the same cut.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
    }
}
