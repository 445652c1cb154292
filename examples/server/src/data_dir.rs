//! The data directory: what lies where in it, and how its small files are written.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

/// A data directory. Nobody but its owner may enter it.
#[derive(Debug, Clone)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// The directory at `path`, made where there is none.
    pub(crate) fn create(path: PathBuf) -> anyhow::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make the data directory {}", path.display()))?;
        Ok(Self(path))
    }

    /// The directory at `path`, which has to be there.
    pub(crate) fn existing(path: PathBuf) -> anyhow::Result<Self> {
        anyhow::ensure!(
            path.is_dir(),
            "there is no data directory {}: name one with --data-dir, or make one by starting the server",
            path.display()
        );
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Mail and directory.
    pub(crate) fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// [`store`](Self::store), which has to be there.
    pub(crate) fn existing_store(&self) -> anyhow::Result<PathBuf> {
        let store = self.store();
        anyhow::ensure!(
            store.is_dir(),
            "there is no store in {}: the first start of the server makes one",
            self.path().display()
        );
        Ok(store)
    }

    /// The addresses in use while the server runs.
    pub(crate) fn endpoints(&self) -> PathBuf {
        self.0.join("endpoints.json")
    }

    /// What the first start made, passwords included.
    pub(crate) fn quick_setup(&self) -> PathBuf {
        self.0.join("quick-setup.json")
    }

    /// What a first start is about to make.
    pub(crate) fn quick_setup_plan(&self) -> PathBuf {
        self.0.join("quick-setup.json.unfinished")
    }

    /// The certificate, and those that sign it.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.0.join("tls-certificate.pem")
    }

    /// The certificate's key.
    pub(crate) fn certificate_key(&self) -> PathBuf {
        self.0.join("tls-key.pem")
    }

    /// Where the other subcommands reach the running server.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.0.join("control.sock")
    }
}

/// Puts a file there entirely or not at all, for its owner only.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let write = || -> io::Result<()> {
        let unfinished = path.with_extension("new");
        remove(&unfinished)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        path.parent()
            .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// [`write_whole`] of a value as JSON for people.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    write_whole(path, &text)
}

/// Removes a file that may not be there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_file_is_readable_by_its_owner_only_even_over_a_readable_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "old").unwrap();
        write_whole(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
