use crate::{
    fault::Fault,
    seal::{SealError, random},
    workers::Workers,
};
use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::{
    collections::HashMap,
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use wm_core::{
    OrganizationId, Secret, UserId,
    traits::{DirectoryError, PasswordFault},
};

/// What a password has to be (USR-6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PasswordPolicy {
    /// Characters at least; 8.
    pub min_length: usize,
    /// Characters at most; 256.
    pub max_length: usize,
    /// Of lower case, upper case, digits and symbols, how many kinds at least; 3.
    pub kinds: usize,
}

/// What one check of a password costs, us and an attacker: argon2id (RFC 9106) with one lane.
///
/// Passwords keep the cost they were set with. A log-in with an unknown name takes as long as one
/// at the present cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PasswordCost {
    /// Memory in KiB; 19 MiB.
    pub memory: u32,
    /// Passes over it; 2.
    pub passes: u32,
    /// Checks at the same time; 2. Others wait.
    pub threads: usize,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self {
            min_length: 8,
            max_length: 256,
            kinds: 3,
        }
    }
}

impl Default for PasswordCost {
    fn default() -> Self {
        Self {
            memory: 19 << 10,
            passes: 2,
            threads: 2,
        }
    }
}

impl PasswordPolicy {
    /// Whether a password will do for the user of this name.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn check(&self, password: &str, user_name: &str) -> Result<(), PasswordFault> {
        let length = password.chars().count();
        if length < self.min_length {
            return Err(PasswordFault::TooShort(self.min_length));
        }
        if length > self.max_length {
            return Err(PasswordFault::TooLong(self.max_length));
        }
        if !password.chars().all(|c| matches!(c, '\u{20}'..='\u{ff}')) {
            return Err(PasswordFault::Character);
        }
        if kinds(password) < self.kinds {
            return Err(PasswordFault::TooUniform(self.kinds));
        }
        // A name of a letter or two is in half of all passwords.
        let name = user_name.to_lowercase();
        if name.chars().count() > 2 && password.to_lowercase().contains(&name) {
            return Err(PasswordFault::ContainsName);
        }
        Ok(())
    }
}

fn kinds(password: &str) -> usize {
    let kinds: [fn(char) -> bool; 4] = [
        char::is_lowercase,
        char::is_uppercase,
        |c| c.is_ascii_digit(),
        |c| !c.is_alphanumeric(),
    ];
    kinds
        .iter()
        .filter(|kind| password.chars().any(kind))
        .count()
}

/// Hashes and verifies passwords on threads of its own.
pub(super) struct Passwords {
    workers: Workers,
    waiting: Arc<AtomicUsize>,
    argon2: Argon2<'static>,
    /// The hash of no password, verified in place of one that is not there.
    nobodys: String,
    recent: Recent,
}

impl Passwords {
    pub(super) fn start(cost: PasswordCost) -> io::Result<Self> {
        let params = Params::new(cost.memory, cost.passes, 1, None);
        let params = params
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobodys = hash(&argon2, &random::<32>().map_err(io::Error::other)?)?;
        Ok(Self {
            workers: Workers::start("wm-password", cost.threads)?,
            waiting: Arc::default(),
            argon2,
            nobodys,
            recent: Recent::new().map_err(io::Error::other)?,
        })
    }

    /// The hash to keep of a password, as a PHC string.
    pub(super) async fn hash(&self, password: Secret<String>) -> Result<String, DirectoryError> {
        let argon2 = self.argon2.clone();
        let hash = self
            .run(move || hash(&argon2, password.expose().as_bytes()))
            .await?;
        hash.map_err(|error| DirectoryError::Unavailable {
            reason: "a password could not be hashed".into(),
            source: Some(error.into()),
        })
    }

    /// Whether the password is the user's whose hash this is. Without a hash the answer is no, after
    /// the same work.
    ///
    /// A password that was right for this hash before is known again without that work: clients
    /// that log in with every request could not be served otherwise. What is kept for that is a
    /// digest under a key that never leaves the process, and it goes with the hash.
    pub(super) async fn verify(
        &self,
        user: Option<(OrganizationId, UserId, String)>,
        password: Secret<String>,
    ) -> Result<bool, DirectoryError> {
        let (hash, digest) = match &user {
            Some((_, _, hash)) => (hash.clone(), self.recent.digest(hash, &password)),
            None => (
                self.nobodys.clone(),
                self.recent.digest(&self.nobodys, &password),
            ),
        };
        if let Some((organization, user, _)) = &user
            && self.recent.holds((*organization, *user), &digest)
        {
            return Ok(true);
        }
        let argon2 = self.argon2.clone();
        let right = self.run(move || verify(&argon2, &hash, &password)).await?;
        match user {
            Some((organization, user, _)) if right => {
                self.recent.remember((organization, user), digest);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, DirectoryError> {
        /// So many that the last of them waits some seconds.
        const MAX_WAITING: usize = 256;
        let place = Place::take(&self.waiting);
        if place.ahead >= MAX_WAITING {
            return Err(DirectoryError::Unavailable {
                reason: "too many passwords to check at once".into(),
                source: None,
            });
        }
        let job = move || {
            let result = job();
            drop(place);
            result
        };
        self.workers
            .run(job)
            .await
            .map_err(|_| Fault::Closed.into())
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

/// A place among those that wait, given up when dropped.
struct Place {
    waiting: Arc<AtomicUsize>,
    ahead: usize,
}

impl Place {
    fn take(waiting: &Arc<AtomicUsize>) -> Self {
        Self {
            ahead: waiting.fetch_add(1, Ordering::Relaxed),
            waiting: waiting.clone(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The last right password of each user, as a digest.
struct Recent {
    secret: Secret<[u8; 32]>,
    digests: Mutex<HashMap<(OrganizationId, UserId), Digest>>,
}

type Digest = Hmac<Sha256>;

impl Recent {
    fn new() -> Result<Self, SealError> {
        Ok(Self {
            secret: Secret::new(random()?),
            digests: Mutex::default(),
        })
    }

    /// Of the password together with the hash it is right for, so that another hash forgets it.
    fn digest(&self, hash: &str, password: &Secret<String>) -> Digest {
        let mut block = [0; 64];
        block[..32].copy_from_slice(self.secret.expose());
        let mut digest = Digest::new(&block.into());
        digest.update(hash.as_bytes());
        digest.update(&[0]);
        digest.update(password.expose().as_bytes());
        digest
    }

    fn holds(&self, user: (OrganizationId, UserId), digest: &Digest) -> bool {
        let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = digests.get(&user) else {
            return false;
        };
        // Compares in constant time.
        held.clone().finalize() == digest.clone().finalize()
    }

    fn remember(&self, user: (OrganizationId, UserId), digest: Digest) {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.insert(user, digest);
    }
}

fn hash(argon2: &Argon2<'_>, password: &[u8]) -> io::Result<String> {
    let hash = argon2
        .hash_password(password)
        .map_err(|error| io::Error::other(error.to_string()))?;
    Ok(hash.to_string())
}

fn verify(argon2: &Argon2<'_>, hash: &str, password: &Secret<String>) -> bool {
    let password = password.expose().as_bytes();
    PasswordHash::new(hash).is_ok_and(|hash| argon2.verify_password(password, &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, executor::block_on, future::join_all};
    use std::sync::mpsc;

    const CHEAP: PasswordCost = PasswordCost {
        memory: 8,
        passes: 1,
        threads: 1,
    };

    fn user(hash: &str) -> Option<(OrganizationId, UserId, String)> {
        Some((
            OrganizationId::from_u128(1),
            UserId::from_u128(2),
            hash.to_owned(),
        ))
    }

    /// Keeps the one thread busy until the sender is dropped.
    fn occupy(passwords: &Passwords) -> mpsc::Sender<()> {
        let (release, wait) = mpsc::channel::<()>();
        drop(passwords.workers.run(move || wait.recv()));
        release
    }

    #[test]
    fn an_unknown_user_waits_for_the_same_work_as_a_known_one() {
        let passwords = Passwords::start(CHEAP).unwrap();
        let hash = block_on(passwords.hash("right".into())).unwrap();
        let busy = occupy(&passwords);
        let mut checks: Vec<_> = [(user(&hash), "wrong"), (None, "wrong"), (None, "")]
            .into_iter()
            .map(|(user, password)| Box::pin(passwords.verify(user, password.into())))
            .collect();
        assert!(
            checks
                .iter_mut()
                .all(|check| check.now_or_never().is_none())
        );
        drop(busy);
        assert!(
            block_on(join_all(checks))
                .into_iter()
                .all(|right| !right.unwrap())
        );
        let cost = |hash: &str| PasswordHash::new(hash).unwrap().params.to_string();
        assert_eq!(cost(&passwords.nobodys), cost(&hash));
    }

    #[test]
    fn a_right_password_is_known_again_until_it_is_changed() {
        let passwords = Passwords::start(CHEAP).unwrap();
        let [old, new] = ["old", "new"].map(|it| block_on(passwords.hash(it.into())).unwrap());
        assert!(block_on(passwords.verify(user(&old), "old".into())).unwrap());

        let busy = occupy(&passwords);
        let again = Box::pin(passwords.verify(user(&old), "old".into())).now_or_never();
        assert!(again.unwrap().unwrap());
        let mut wrong = Box::pin(passwords.verify(user(&old), "new".into()));
        let mut changed = Box::pin(passwords.verify(user(&new), "old".into()));
        assert!(wrong.as_mut().now_or_never().is_none());
        assert!(changed.as_mut().now_or_never().is_none());
        drop(busy);
        assert!(!block_on(wrong).unwrap() && !block_on(changed).unwrap());
    }

    #[test]
    fn a_flood_of_logins_is_turned_away_and_not_queued() {
        let passwords = Passwords::start(CHEAP).unwrap();
        let busy = occupy(&passwords);
        let (mut waiting, mut errors) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            let mut check = Box::pin(passwords.verify(None, "wrong".into()));
            match check.as_mut().now_or_never() {
                Some(turned_away) => errors.push(turned_away.unwrap_err()),
                None => waiting.push(check),
            }
        }
        assert_eq!((waiting.len(), errors.len()), (256, 44));
        assert!(errors.iter().all(DirectoryError::is_transient));
        drop(busy);
        assert!(
            block_on(join_all(waiting))
                .into_iter()
                .all(|right| !right.unwrap())
        );
        assert!(!block_on(passwords.verify(None, "wrong".into())).unwrap());
    }
}
