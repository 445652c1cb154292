//! The flow of mail: from a connection, through the checks on its sender and recipients, into the
//! mailboxes of this installation.
//!
//! [`MailFlow`] is the service, [`Transaction`] one message on its way in, [`Connection`] a client
//! whose session and mail belong together. What is refused, and with which code, is a [`Refusal`].
//!
//! Mail for other domains is not taken yet, from nobody: 550 5.7.1.

mod connection;
mod originator;
mod refusal;
mod transaction;

use std::fmt;
use std::sync::Arc;

use wm_core::model::Principal;
use wm_core::traits::{AuthError, Clock, Directory, IdSource, Login, Spool};
use wm_core::{DomainName, EmailAddress};

pub use connection::{Action, Connection, Note};
pub use refusal::Refusal;
pub use transaction::{Receipt, Transaction};

use crate::server::Credentials;

/// Takes mail in, by the directory's word, into the spool.
#[derive(Clone)]
pub struct MailFlow {
    directory: Arc<dyn Directory>,
    spool: Arc<dyn Spool>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    host: DomainName,
    postmaster: Option<EmailAddress>,
}

impl MailFlow {
    /// The flow of a server of this name. Mail to `<Postmaster>` goes to `postmaster@` that name.
    #[must_use]
    pub fn new(
        directory: Arc<dyn Directory>,
        spool: Arc<dyn Spool>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
        host: DomainName,
    ) -> Self {
        let postmaster = "postmaster"
            .parse()
            .and_then(|local| EmailAddress::new(local, host.clone()));
        Self {
            directory,
            spool,
            clock,
            ids,
            host,
            postmaster: postmaster.ok(),
        }
    }

    /// Sends mail to `<Postmaster>` without a domain (RFC 5321 §4.5.1) to this address.
    #[must_use]
    pub fn with_postmaster(self, address: EmailAddress) -> Self {
        Self {
            postmaster: Some(address),
            ..self
        }
    }

    /// Checks credentials. Nobody may act as somebody else (PLAIN's authorization identity).
    ///
    /// # Errors
    /// 535 5.7.8, the same for every reason, or 454 4.7.0 when the directory cannot say.
    pub async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, Refusal> {
        let login = Login::new(&credentials.authentication);
        let principal = match self
            .directory
            .authenticate(&login, &credentials.password)
            .await
        {
            Ok(principal) => principal,
            Err(AuthError::Unavailable(error)) => {
                return Err(refusal::AUTHENTICATION_UNAVAILABLE.because(error));
            }
            Err(_) => return Err(refusal::CREDENTIALS_INVALID.into()),
        };
        match &credentials.authorization {
            Some(name) if *name != credentials.authentication => {
                Err(refusal::CREDENTIALS_INVALID.into())
            }
            _ => Ok(principal),
        }
    }
}

impl fmt::Debug for MailFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailFlow")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}
