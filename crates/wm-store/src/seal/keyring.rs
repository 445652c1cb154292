use super::{KeySet, SealError, TAG, random};
use crate::{segment::Files, workers::Workers};
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fmt, io,
    sync::{Arc, PoisonError, RwLock},
};
use wm_core::{
    OrganizationId, Secret,
    traits::{KeyError, KeyService, WrappedKey},
};
use zeroize::Zeroizing;

/// First bytes of a key file; the last is the format version. A CRC-32 of the rest and the postcard
/// of a [`KeyFile`] follow.
const MAGIC: [u8; 4] = *b"wmk\x01";

/// The key sets of all organizations: wrapped in files of their own, unwrapped in memory.
///
/// They are not in the engine so that they outlive its damage, and so that destroying a set leaves
/// no copy in an engine's old pages.
#[derive(Clone)]
pub(crate) struct Keyring {
    files: Arc<dyn Files>,
    service: Arc<dyn KeyService>,
    workers: Arc<Workers>,
    unwrapped: Arc<RwLock<HashMap<OrganizationId, Arc<KeySet>>>>,
}

/// A key set sealed under a key made for this one file, and that key wrapped by the service: one
/// call to the service opens a set, and a new data key needs nothing from it but a wrapping.
#[derive(Serialize, Deserialize)]
struct KeyFile {
    wrapped: WrappedKey,
    nonce: [u8; 24],
    sealed: Vec<u8>,
}

/// Why an organization's keys cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// There is data of this organization and no key set.
    #[error("the keys of {0} are missing")]
    Missing(OrganizationId),
    /// The key set does not open, or is not the one that the organization's data was sealed with.
    #[error("the keys of {0} are damaged or not its own")]
    Damaged(OrganizationId),
    /// The key service refused.
    #[error("the keys of {organization} cannot be wrapped or unwrapped")]
    Service {
        /// Whose keys.
        organization: OrganizationId,
        /// Why not.
        source: KeyError,
    },
    /// No randomness.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The operating system refused a file operation.
    #[error("cannot read or write the keys of {organization}")]
    Io {
        /// Whose keys.
        organization: OrganizationId,
        /// Why not.
        source: io::Error,
    },
}

impl Keyring {
    /// The key sets in `files`, wrapped by `service`. Files are read and written on `workers`.
    pub(crate) fn new(
        files: Arc<dyn Files>,
        service: Arc<dyn KeyService>,
        workers: Arc<Workers>,
    ) -> Self {
        Self {
            files,
            service,
            workers,
            unwrapped: Arc::default(),
        }
    }

    /// The set of an organization if it was unwrapped before.
    pub(crate) fn unwrapped(&self, organization: OrganizationId) -> Option<Arc<KeySet>> {
        let sets = self
            .unwrapped
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        sets.get(&organization).cloned()
    }

    /// The set of an organization; `None` when there is no file of it. If its fingerprint is not
    /// `expected`, it is [`KeyringError::Damaged`].
    pub(crate) async fn load(
        &self,
        organization: OrganizationId,
        expected: Option<&[u8]>,
    ) -> Result<Option<Arc<KeySet>>, KeyringError> {
        if let Some(set) = self.unwrapped(organization) {
            return Ok(Some(set));
        }
        let read = move |files: &dyn Files| {
            // The newest whole file; one torn at a power cut was never used.
            let mut numbers = numbers(files, organization)?;
            numbers.sort_unstable();
            while let Some(number) = numbers.pop() {
                let file = decode(&read(files, &name(organization, number))?);
                if file.is_some() || numbers.is_empty() {
                    return Ok(Some(file));
                }
            }
            Ok(None)
        };
        let Some(file) = self.run(organization, read).await? else {
            return Ok(None);
        };
        let file = file.ok_or(KeyringError::Damaged(organization))?;
        let secret = self
            .service
            .unwrap(organization, &file.wrapped)
            .await
            .map_err(|source| KeyringError::Service {
                organization,
                source,
            })?;
        let set = open(organization, &secret, &file)
            .filter(|set| expected.is_none_or(|expected| set.fingerprint() == expected))
            .ok_or(KeyringError::Damaged(organization))?;
        Ok(Some(self.remember(set)))
    }

    /// Keeps a set: wraps it, makes its file durable, and from then on seals with it. The files it
    /// replaces are destroyed.
    pub(crate) async fn keep(&self, set: KeySet) -> Result<Arc<KeySet>, KeyringError> {
        let organization = set.organization();
        let secret = Secret::new(random()?);
        let wrapped = self
            .service
            .wrap(organization, &secret)
            .await
            .map_err(|source| KeyringError::Service {
                organization,
                source,
            })?;
        let file = encode(&seal(&set, &secret, wrapped)?);
        let write = move |files: &dyn Files| {
            let old = numbers(files, organization)?;
            let number = old
                .iter()
                .max()
                .map_or(1, |newest| newest.saturating_add(1));
            let new = files.create(&name(organization, number))?;
            new.write_at(&file, 0)?;
            new.sync()?;
            files.sync()?;
            old.iter()
                .try_for_each(|&number| destroy(files, &name(organization, number)))?;
            files.sync()
        };
        self.run(organization, write).await?;
        Ok(self.remember(set))
    }

    /// Adds a data key to a set and keeps it.
    pub(crate) async fn rotate(&self, set: &KeySet) -> Result<(), KeyringError> {
        let organization = set.organization();
        let same = KeySet::from_bytes(organization, &set.to_bytes());
        let same = same.ok_or(KeyringError::Damaged(organization))?;
        self.keep(same.rotate()?).await.map(drop)
    }

    /// Destroys the keys of an organization: nothing sealed under them can be read again.
    pub(crate) async fn shred(&self, organization: OrganizationId) -> Result<(), KeyringError> {
        self.unwrapped
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&organization);
        let shred = move |files: &dyn Files| {
            for number in numbers(files, organization)? {
                destroy(files, &name(organization, number))?;
            }
            files.sync()
        };
        self.run(organization, shred).await
    }

    fn remember(&self, set: KeySet) -> Arc<KeySet> {
        let set = Arc::new(set);
        let mut sets = self
            .unwrapped
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        sets.insert(set.organization(), set.clone());
        set
    }

    async fn run<T: Send + 'static>(
        &self,
        organization: OrganizationId,
        job: impl FnOnce(&dyn Files) -> io::Result<T> + Send + 'static,
    ) -> Result<T, KeyringError> {
        let files = self.files.clone();
        let closed = || Err(io::Error::other("the store is closed"));
        let result = self
            .workers
            .run(move || job(&*files))
            .await
            .unwrap_or_else(|_| closed());
        result.map_err(|source| KeyringError::Io {
            organization,
            source,
        })
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").finish_non_exhaustive()
    }
}

fn seal(
    set: &KeySet,
    secret: &Secret<[u8; 32]>,
    wrapped: WrappedKey,
) -> Result<KeyFile, SealError> {
    let nonce = random()?;
    let mut body = set.to_bytes();
    let tag = XChaCha20Poly1305::new(secret.expose().into())
        .encrypt_inout_detached(
            &XNonce::from(nonce),
            &set.organization().as_u128().to_be_bytes(),
            body.as_mut_slice().into(),
        )
        .map_err(|_| SealError::Malformed)?;
    Ok(KeyFile {
        wrapped,
        nonce,
        sealed: [body.as_slice(), tag.as_slice()].concat(),
    })
}

fn open(organization: OrganizationId, secret: &Secret<[u8; 32]>, file: &KeyFile) -> Option<KeySet> {
    let (body, tag) = file.sealed.split_last_chunk::<TAG>()?;
    let mut body = Zeroizing::new(body.to_vec());
    XChaCha20Poly1305::new(secret.expose().into())
        .decrypt_inout_detached(
            &XNonce::from(file.nonce),
            &organization.as_u128().to_be_bytes(),
            body.as_mut_slice().into(),
            &(*tag).into(),
        )
        .ok()?;
    KeySet::from_bytes(organization, &body)
}

fn encode(file: &KeyFile) -> Vec<u8> {
    // Serialising into memory fails for types that this is not.
    let body = postcard::to_stdvec(file).unwrap_or_default();
    [&MAGIC[..], &crc32fast::hash(&body).to_le_bytes(), &body].concat()
}

fn decode(bytes: &[u8]) -> Option<KeyFile> {
    let (sum, body) = bytes.strip_prefix(&MAGIC)?.split_first_chunk()?;
    (u32::from_le_bytes(*sum) == crc32fast::hash(body)).then_some(())?;
    postcard::from_bytes(body).ok()
}

fn name(organization: OrganizationId, number: u32) -> String {
    format!("{:032x}-{number:08x}.wmk", organization.as_u128())
}

fn numbers(files: &dyn Files, organization: OrganizationId) -> io::Result<Vec<u32>> {
    let prefix = format!("{:032x}-", organization.as_u128());
    let number = |name: &String| {
        let digits = name.strip_prefix(&prefix)?.strip_suffix(".wmk")?;
        u32::from_str_radix(digits, 16).ok()
    };
    Ok(files.names()?.iter().filter_map(number).collect())
}

fn read(files: &dyn Files, name: &str) -> io::Result<Vec<u8>> {
    let file = files.open(name, false)?;
    let mut bytes = vec![0; usize::try_from(file.size()?).map_err(io::Error::other)?];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Overwrites a file before it is removed.
fn destroy(files: &dyn Files, name: &str) -> io::Result<()> {
    let file = files.open(name, true)?;
    file.write_at(
        &vec![0; usize::try_from(file.size()?).map_err(io::Error::other)?],
        0,
    )?;
    file.sync()?;
    files.remove(name)
}
