use super::{SealError, TAG, random};
use async_trait::async_trait;
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305, XNonce};
use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};
use wm_core::{
    OrganizationId, Secret,
    traits::{KeyError, KeyService, WrappedKey},
};
use zeroize::Zeroizing;

/// Master keys from a local file or from memory.
///
/// The file has one key a line, `<name> <64 hexadecimal digits>`; the first wraps, all unwrap. To
/// rotate the master key, put a new line in front; a line may go when no key set needs it any more.
pub struct LocalKeys {
    present: MasterKey,
    older: Vec<MasterKey>,
}

struct MasterKey {
    name: String,
    cipher: XChaCha20Poly1305,
}

impl LocalKeys {
    /// A single master key.
    #[must_use]
    pub fn new(name: &str, secret: &Secret<[u8; 32]>) -> Self {
        Self {
            present: MasterKey::new(name, secret),
            older: Vec::new(),
        }
    }

    /// The master keys in the file at `path`, which is made with a fresh key, readable by its owner
    /// only, if there is none. One process at a time.
    ///
    /// # Errors
    /// What the file system says; [`io::ErrorKind::InvalidData`] naming the line that is no key;
    /// [`io::ErrorKind::PermissionDenied`] when others may read the file.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        if !path.try_exists()? {
            create(path)?;
        }
        if is_readable_by_others(path)? {
            let problem = format!("{}: others may read the master key", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
        }
        let text = Zeroizing::new(fs::read_to_string(path)?);
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate() {
            keys.push(MasterKey::parse(line).ok_or_else(|| {
                let problem = format!("{}, line {}: not a master key", path.display(), number + 1);
                io::Error::new(io::ErrorKind::InvalidData, problem)
            })?);
        }
        let mut keys = keys.into_iter();
        let present = keys.next().ok_or_else(|| {
            let problem = format!("{}: no master key in it", path.display());
            io::Error::new(io::ErrorKind::InvalidData, problem)
        })?;
        Ok(Self {
            present,
            older: keys.collect(),
        })
    }

    fn named(&self, name: &str) -> Option<&MasterKey> {
        std::iter::once(&self.present)
            .chain(&self.older)
            .find(|key| key.name == name)
    }
}

#[async_trait]
impl KeyService for LocalKeys {
    async fn wrap(
        &self,
        organization: OrganizationId,
        key: &Secret<[u8; 32]>,
    ) -> Result<WrappedKey, KeyError> {
        let sealed = self
            .present
            .wrap(organization, key)
            .map_err(|error| KeyError::Unavailable(Box::new(error)))?;
        Ok(WrappedKey {
            master: self.present.name.clone(),
            sealed,
        })
    }

    async fn unwrap(
        &self,
        organization: OrganizationId,
        key: &WrappedKey,
    ) -> Result<Secret<[u8; 32]>, KeyError> {
        let master = || key.master.clone();
        self.named(&key.master)
            .ok_or_else(|| KeyError::Missing { master: master() })?
            .unwrap(organization, &key.sealed)
            .ok_or_else(|| KeyError::Wrong { master: master() })
    }
}

impl fmt::Debug for LocalKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = std::iter::once(&self.present)
            .chain(&self.older)
            .map(|key| &key.name);
        f.debug_list().entries(names).finish()
    }
}

impl MasterKey {
    fn new(name: &str, secret: &Secret<[u8; 32]>) -> Self {
        Self {
            name: name.to_owned(),
            cipher: XChaCha20Poly1305::new(secret.expose().into()),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, digits) = line.split_once(' ')?;
        let mut secret = Zeroizing::new([0; 32]);
        if name.is_empty() || digits.len() != 64 || !digits.is_ascii() {
            return None;
        }
        for (byte, pair) in secret.iter_mut().zip(digits.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self::new(name, &Secret::new(*secret)))
    }

    /// Nonce (24 bytes), ciphertext (32 bytes), tag (16 bytes).
    fn wrap(
        &self,
        organization: OrganizationId,
        key: &Secret<[u8; 32]>,
    ) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; 24] = random()?;
        let mut body = Zeroizing::new(*key.expose());
        let tag = self
            .cipher
            .encrypt_inout_detached(
                &XNonce::from(nonce),
                &context(organization),
                body.as_mut_slice().into(),
            )
            .map_err(|_| SealError::Malformed)?;
        Ok([nonce.as_slice(), body.as_slice(), tag.as_slice()].concat())
    }

    fn unwrap(&self, organization: OrganizationId, sealed: &[u8]) -> Option<Secret<[u8; 32]>> {
        let (nonce, rest) = sealed.split_first_chunk::<24>()?;
        let (body, tag) = rest.split_last_chunk::<TAG>()?;
        let mut key = Zeroizing::new(<[u8; 32]>::try_from(body).ok()?);
        self.cipher
            .decrypt_inout_detached(
                &XNonce::from(*nonce),
                &context(organization),
                key.as_mut_slice().into(),
                &(*tag).into(),
            )
            .ok()?;
        Some(Secret::new(*key))
    }
}

fn context(organization: OrganizationId) -> [u8; 16] {
    organization.as_u128().to_be_bytes()
}

/// Makes the file, entirely or not at all.
fn create(path: &Path) -> io::Result<()> {
    let name: [u8; 4] = random().map_err(io::Error::other)?;
    let secret = Zeroizing::new(random::<32>().map_err(io::Error::other)?);
    let unfinished = path.with_extension("new");
    if unfinished.try_exists()? {
        fs::remove_file(&unfinished)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(&unfinished)?;
    write!(file, "local-{:08x} ", u32::from_be_bytes(name))?;
    secret
        .iter()
        .try_for_each(|byte| write!(file, "{byte:02x}"))?;
    writeln!(file)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    match path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn is_readable_by_others(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;

    const ACME: OrganizationId = OrganizationId::from_u128(1);

    fn master(name: &str, byte: u8) -> LocalKeys {
        LocalKeys::new(name, &Secret::new([byte; 32]))
    }

    #[test]
    fn a_wrapped_key_comes_back_for_its_organization_only() {
        let (master, key) = (master("default", 7), Secret::new([9; 32]));
        let wrapped = block_on(master.wrap(ACME, &key)).unwrap();
        assert_eq!(
            block_on(master.unwrap(ACME, &wrapped)).unwrap().expose(),
            key.expose()
        );
        assert!(block_on(master.unwrap(OrganizationId::from_u128(2), &wrapped)).is_err());
    }

    #[test]
    fn a_missing_or_wrong_master_key_is_named() {
        let wrapped = block_on(master("vault", 7).wrap(ACME, &Secret::new([9; 32]))).unwrap();
        let error = |master: LocalKeys| {
            block_on(master.unwrap(ACME, &wrapped))
                .err()
                .map(|error| error.to_string())
        };
        assert_eq!(
            error(master("default", 7)).as_deref(),
            Some("the master key \"vault\" is missing")
        );
        assert_eq!(
            error(master("vault", 8)).as_deref(),
            Some("the master key \"vault\" does not open this data key")
        );
    }

    #[test]
    fn the_file_is_made_once_and_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let key = Secret::new([9; 32]);
        let wrapped = block_on(LocalKeys::open(&path).unwrap().wrap(ACME, &key)).unwrap();
        let again = LocalKeys::open(&path).unwrap();
        assert_eq!(
            block_on(again.unwrap(ACME, &wrapped)).unwrap().expose(),
            key.expose()
        );
        assert!(!is_readable_by_others(&path).unwrap());
    }

    #[test]
    fn what_a_power_cut_left_of_a_new_file_is_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("master.new"), "local-0123").unwrap();
        let path = dir.path().join("master.key");
        LocalKeys::open(&path).unwrap();
        assert!(!is_readable_by_others(&path).unwrap());
        assert!(!dir.path().join("master.new").exists());
    }

    #[test]
    fn a_new_first_line_wraps_and_the_old_one_still_unwraps() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let wrapped = block_on(
            LocalKeys::open(&path)
                .unwrap()
                .wrap(ACME, &Secret::new([9; 32])),
        )
        .unwrap();
        let old = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("new {}\n{old}", "ab".repeat(32))).unwrap();
        let both = LocalKeys::open(&path).unwrap();
        assert!(block_on(both.unwrap(ACME, &wrapped)).is_ok());
        let rewrapped = block_on(both.wrap(ACME, &Secret::new([9; 32]))).unwrap();
        assert_eq!(rewrapped.master, "new");
    }

    #[test]
    fn debug_shows_names_only() {
        assert_eq!(format!("{:?}", master("default", 0xab)), "[\"default\"]");
    }
}
