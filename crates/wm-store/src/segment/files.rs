use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The directory that holds the segments; everything the store asks of the file system for them.
///
/// [`Directory`] is the real one. Tests put one beneath that loses what was not synced.
pub trait Files: fmt::Debug + Send + Sync + 'static {
    /// The names of all files, in no particular order.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Makes an empty file, open for reading and writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when there is one of that name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>>;

    /// Opens a file for reading and, if asked, writing.
    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn SegmentFile>>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes creations and removals durable.
    fn sync(&self) -> io::Result<()>;
}

/// An open segment. Reads and writes name their offset, so that one handle serves many threads.
pub trait SegmentFile: Send + Sync {
    /// Bytes in the file.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the file ends first.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`; after an error any part of them may be there.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes everything written so far durable, the size included.
    fn sync(&self) -> io::Result<()>;
}

/// A directory of the file system; files in it are readable by their owner only.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    synced: bool,
}

impl Directory {
    /// The directory at `path`, made if it is not there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref().to_owned();
        if !path.is_dir() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)?;
            let parent = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            if let Some(parent) = parent {
                File::open(parent)?.sync_all()?;
            }
        }
        Ok(Self { path, synced: true })
    }

    /// The same directory, of which nothing is synced: what is written to it **is lost when power
    /// goes**. For benchmarks that measure what syncing costs, and for nothing else.
    #[must_use]
    pub fn without_sync(self) -> Self {
        Self {
            synced: false,
            ..self
        }
    }

    fn file(&self, file: File) -> Arc<dyn SegmentFile> {
        Arc::new(OpenFile {
            file,
            synced: self.synced,
        })
    }
}

impl Files for Directory {
    fn names(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        Ok(self.file(options.open(self.path.join(name))?))
    }

    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn SegmentFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(write)
            .open(self.path.join(name))?;
        Ok(self.file(file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        match self.synced {
            true => File::open(&self.path)?.sync_all(),
            false => Ok(()),
        }
    }
}

struct OpenFile {
    file: File,
    synced: bool,
}

impl SegmentFile for OpenFile {
    fn size(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        match self.synced {
            true => self.file.sync_data(),
            false => Ok(()),
        }
    }
}
