use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use wm_core::model::Principal;

use super::refusal::{self, Refusal};
use super::{MailFlow, Receipt, Transaction};
use crate::codec::{MailFrom, Reply};
use crate::server::{Config, Credentials, Event, Session};
use crate::trace::Hop;

/// A client's connection: its [`Session`], with every question answered by the [`MailFlow`]. What is
/// left for a driver is to move bytes.
///
/// The driver repeats: [`next`](Self::next) until it gives `None`, doing each [`Action`]; then it
/// reads, for as long as [`deadline`](Self::deadline) allows, and passes on what came.
pub struct Connection {
    session: Session,
    flow: Arc<MailFlow>,
    peer: IpAddr,
    principal: Option<Principal>,
    transaction: Option<Transaction>,
}

/// What a driver has to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Action {
    /// Write this.
    Send(Bytes),
    /// Make the connection TLS, then call [`Connection::tls_established`].
    StartTls,
    /// Close the connection; nothing follows.
    Close,
    /// Nothing: something that happened, for the log.
    Note(Note),
}

/// Something that happened on a connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Note {
    /// Somebody has logged in.
    Authenticated(Principal),
    /// Somebody has not.
    AuthenticationFailed {
        /// The name that was given.
        name: String,
    },
    /// A message was accepted.
    Accepted(Receipt),
    /// A sender, recipient or message was refused.
    Refused(Reply),
    /// Something was refused because a part of this system failed.
    Failed {
        /// What the client was told.
        reply: Reply,
        /// What happened.
        cause: Box<dyn Error + Send + Sync>,
    },
}

impl Connection {
    /// A connection from `peer` that has just been made; `tls` if it began with a TLS handshake.
    #[must_use]
    pub fn new(
        flow: Arc<MailFlow>,
        config: Arc<Config>,
        peer: IpAddr,
        tls: bool,
        now: Instant,
    ) -> Self {
        let session = Session::new(config, tls, now);
        Self {
            session,
            flow,
            peer,
            principal: None,
            transaction: None,
        }
    }

    /// What to do next; `None` when the client is to be heard.
    pub async fn next(&mut self, now: Instant) -> Option<Action> {
        while let Some(event) = self.session.poll(now) {
            let note = match event {
                Event::Send(bytes) => return Some(Action::Send(bytes)),
                Event::StartTls => return Some(Action::StartTls),
                Event::Close => return Some(Action::Close),
                Event::Authenticate(credentials) => Some(self.authenticate(credentials).await),
                Event::Mail(mail) => {
                    let begun = self.begin(mail).await;
                    self.answer(begun)
                }
                Event::Recipient(rcpt) => {
                    let known = match &mut self.transaction {
                        Some(transaction) => transaction.recipient(&rcpt.path).await,
                        None => Err(refusal::LOCAL_ERROR.into()),
                    };
                    self.answer(known)
                }
                Event::Body(octets) => {
                    if let Some(transaction) = &mut self.transaction {
                        transaction.body(octets).await;
                    }
                    None
                }
                Event::EndOfData => Some(self.end_of_data().await),
                Event::Reset => {
                    self.transaction = None;
                    None
                }
            };
            if let Some(note) = note {
                return Some(Action::Note(note));
            }
        }
        None
    }

    /// When to call [`next`](Self::next) even if the client sends nothing.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.session.deadline()
    }

    /// Takes what the client sent; see [`Session::receive`].
    pub fn receive(&mut self, input: Bytes) {
        self.session.receive(input);
    }

    /// The client has closed its side.
    pub fn receive_end(&mut self) {
        self.session.receive_end();
    }

    /// The TLS handshake is done.
    pub fn tls_established(&mut self) {
        self.principal = None;
        self.session.tls_established();
    }

    /// Closes the connection at the next occasion; see [`Session::shut_down`].
    pub fn shut_down(&mut self) {
        self.session.shut_down();
    }

    /// Whether a large read buffer pays: a message is being sent.
    #[must_use]
    pub const fn in_body(&self) -> bool {
        self.session.in_body()
    }

    async fn authenticate(&mut self, credentials: Credentials) -> Note {
        match self.flow.authenticate(&credentials).await {
            Ok(principal) => {
                self.principal = Some(principal.clone());
                self.session.accept();
                Note::Authenticated(principal)
            }
            Err(refusal) => match self.refuse(refusal) {
                Note::Refused(_) => Note::AuthenticationFailed {
                    name: credentials.authentication,
                },
                failed => failed,
            },
        }
    }

    async fn begin(&mut self, mail: MailFrom) -> Result<(), Refusal> {
        let hop = Hop {
            client: self
                .session
                .client_name()
                .cloned()
                .ok_or(refusal::LOCAL_ERROR)?,
            peer: self.peer,
            protocol: self.session.protocol(mail.smtputf8),
        };
        self.transaction = Some(
            self.flow
                .begin(hop, self.principal.clone(), mail.path)
                .await?,
        );
        Ok(())
    }

    async fn end_of_data(&mut self) -> Note {
        let accepted = match self.transaction.take() {
            Some(transaction) => transaction.accept().await,
            None => Err(refusal::LOCAL_ERROR.into()),
        };
        match accepted {
            Ok(receipt) => {
                self.session
                    .accept_as(format_args!("Accepted as {}", receipt.id));
                Note::Accepted(receipt)
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn answer(&mut self, answer: Result<(), Refusal>) -> Option<Note> {
        match answer {
            Ok(()) => {
                self.session.accept();
                None
            }
            Err(refusal) => Some(self.refuse(refusal)),
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> Note {
        let (reply, cause) = refusal.into_parts();
        self.session.refuse(reply.clone());
        match cause {
            Some(cause) => Note::Failed { reply, cause },
            None => Note::Refused(reply),
        }
    }
}
