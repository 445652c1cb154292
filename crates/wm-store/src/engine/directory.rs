use super::EngineError;
use std::{
    ffi::OsStr,
    fs::{self, File, Metadata, OpenOptions, TryLockError},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

/// The newest format of every engine's directory.
const FORMAT: u32 = 1;

const LOCK: &str = "LOCK";
const UNFINISHED: &str = "UNFINISHED";

/// An engine's directory: locked, and known to be of the right engine and format.
///
/// A file `FORMAT` says `<engine> <format>`; the lock is on a file of its own. `FORMAT` comes when the
/// engine has made its files, and until then there is a file `UNFINISHED`: no engine knows its own
/// files again when power goes while it makes them.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Creates the directory where it is missing and takes its lock.
    pub(super) fn open(path: &Path, engine: &'static str) -> Result<Self, EngineError> {
        fs::create_dir_all(path).map_err(|source| io_error("create", path, source))?;
        let directory = Self {
            path: path.into(),
            _lock: lock(path)?,
        };
        if !directory.check_format(engine)? {
            directory
                .begin()
                .map_err(|source| directory.io("begin", source))?;
        }
        Ok(directory)
    }

    /// The engine has made its files, and they are durable.
    pub(super) fn finish(&self, engine: &'static str) -> Result<(), EngineError> {
        let finish = || {
            if !self.file("FORMAT").try_exists()? {
                self.write_format(engine)?;
            }
            match fs::remove_file(self.file(UNFINISHED)) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        };
        finish().map_err(|source| self.io("write FORMAT in", source))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn io(&self, operation: &'static str, source: io::Error) -> EngineError {
        io_error(operation, &self.path, source)
    }

    /// Makes every file in here, and that it is here, survive power loss.
    pub(super) fn sync(&self) -> Result<(), EngineError> {
        sync_tree(&self.path)
            .and_then(|()| match self.path.canonicalize()?.parent() {
                Some(parent) => sync_directory(parent),
                None => Ok(()),
            })
            .map_err(|source| self.io("sync", source))
    }

    /// What the files take, in bytes.
    pub(super) fn size(&self) -> Result<u64, EngineError> {
        size_of_tree(&self.path).map_err(|source| self.io("measure", source))
    }

    /// Has an engine begin with no files: with what it made before power went it begins again.
    fn begin(&self) -> io::Result<()> {
        let marked = self.file(UNFINISHED);
        let is_ours = |name: &OsStr| name == LOCK || name == UNFINISHED;
        let entries = fs::read_dir(&self.path)?.collect::<io::Result<Vec<_>>>()?;
        let others = entries.iter().filter(|it| !is_ours(&it.file_name()));
        if marked.try_exists()? {
            for entry in others {
                match entry.file_type()?.is_dir() {
                    true => fs::remove_dir_all(entry.path())?,
                    false => fs::remove_file(entry.path())?,
                }
            }
        } else if others.count() == 0 {
            File::create(&marked)?.sync_all()?;
            sync_directory(&self.path)?;
        }
        Ok(())
    }

    /// Whether the directory is one of a format that is known; false where it has none yet.
    fn check_format(&self, engine: &'static str) -> Result<bool, EngineError> {
        let text = match fs::read_to_string(self.file("FORMAT")) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(self.io("read FORMAT in", source)),
        };
        let Some((found, Ok(format))) = text
            .trim_end()
            .split_once(' ')
            .map(|(name, format)| (name, format.parse()))
        else {
            return Err(EngineError::corrupt(format!(
                "{} says {text:?}",
                self.file("FORMAT").display()
            )));
        };
        if found != engine {
            return Err(EngineError::OtherEngine {
                path: self.path.clone(),
                found: found.into(),
            });
        }
        if format > FORMAT {
            return Err(EngineError::NewerFormat {
                path: self.path.clone(),
                found: format,
                supported: FORMAT,
            });
        }
        Ok(true)
    }

    fn write_format(&self, engine: &str) -> io::Result<()> {
        let unfinished = self.file("FORMAT.new");
        let mut file = File::create(&unfinished)?;
        writeln!(file, "{engine} {FORMAT}")?;
        file.sync_all()?;
        fs::rename(unfinished, self.file("FORMAT"))?;
        sync_directory(&self.path)
    }
}

fn io_error(operation: &'static str, path: &Path, source: io::Error) -> EngineError {
    EngineError::Io {
        operation,
        path: path.into(),
        source,
    }
}

fn lock(path: &Path) -> Result<File, EngineError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join(LOCK))
        .map_err(|source| io_error("lock", path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(EngineError::InUse { path: path.into() }),
        Err(TryLockError::Error(source)) => Err(io_error("lock", path, source)),
    }
}

fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_directory(path)
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Elsewhere a directory cannot be opened as a file, and its entries are journalled.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

fn size_of_tree(path: &Path) -> io::Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        size += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of_tree(&entry.path())?,
            Ok(metadata) => taken(&metadata),
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
    }
    Ok(size)
}

/// Octets a file takes on disk: what it has of blocks, which is less than its length where nothing
/// was written.
fn taken(metadata: &Metadata) -> u64 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::blocks(metadata) * 512;
    #[cfg(not(unix))]
    return metadata.len();
}
