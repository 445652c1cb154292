//! One IMAP connection, seen from the server (RFC 3501).

mod append;
mod auth;
mod commands;
mod config;
mod failure;
mod fetch;
mod flags;
mod folders;
mod items;
mod output;
mod search;
mod selected;
mod update;
mod view;

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use imap_codec::imap_types::response::Data;
use wm_core::Timestamp;
use wm_core::access::MailboxSession;
use wm_core::model::Principal;
use wm_core::traits::StoreError;

pub use config::{Config, Services};

use self::append::Append;
use self::failure::Failure;
use self::fetch::{Fetch, Progress};
use self::output::{Output, Reply};
use self::view::View;
use crate::codec::{Frame, Framer, tag_of};

/// Responses are handed out when the client's input is used up, or when this many octets have gathered.
const FLUSH_AT: usize = 16 * 1024;
const UNREADABLE: &str = "The selected mailbox cannot be read";

/// One IMAP connection, seen from the server: octets in, [`Event`]s out.
///
/// It does no I/O and reads no clock. The caller repeats: [`poll`](Self::poll) until it gives `None`, doing
/// what each event says; then wait for whichever comes first, input to pass to
/// [`receive`](Self::receive), news for a client in IDLE ([`changed`](Self::changed)), or the
/// [`deadline`](Self::deadline).
///
/// Work is done as its results are taken: a large FETCH reads from the store as fast as the client reads
/// from the caller, and holds a piece of a message at a time.
pub struct Session {
    config: Arc<Config>,
    services: Services,
    client: String,
    tls: bool,
    login: Option<Login>,
    waiting: Waiting,
    jobs: VecDeque<Job>,
    /// Why the command being answered fails.
    failure: Option<Failure>,
    notes: VecDeque<Note>,
    framer: Framer,
    input: Bytes,
    out: Output,
    end: End,
    deadline: Timestamp,
    heard: bool,
    shutting_down: bool,
    auth_failures: u32,
    /// Since the last one that was understood.
    bad_commands: u32,
}

/// What a [`Session`] wants done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Write this to the client.
    Send(Bytes),
    /// Something has happened that may be worth a record.
    Note(Note),
    /// Make the connection TLS, then call [`Session::tls_established`]. What the client sent in the clear
    /// behind STARTTLS has been discarded.
    StartTls,
    /// Close the connection. Nothing comes after this.
    Close,
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
    /// Something was refused because a part of this system failed.
    Failed {
        /// What happened.
        cause: Box<dyn Error + Send + Sync>,
    },
}

/// Somebody who has logged in.
struct Login {
    mailbox: MailboxSession,
    selected: Option<View>,
}

/// What the client is expected to send.
enum Waiting {
    Command,
    /// The answer to a SASL challenge.
    Sasl {
        tag: String,
    },
    /// The end of IDLE.
    Idle {
        tag: String,
    },
    /// A message; after a failure, what is left of it.
    Append {
        tag: String,
        append: Result<Box<Append>, Failure>,
    },
}

/// What is being answered.
enum Job {
    Fetch(Box<Fetch>),
    /// Tell flags that others have changed.
    Flags(Box<Fetch>),
    /// Tell the news, then that the command is done.
    Finish {
        tag: String,
        reply: Reply<'static>,
        expunges: bool,
    },
    /// Tell that the command is done.
    Answer {
        tag: String,
        reply: Reply<'static>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    StartTls,
    Handshake,
    Closing,
    Closed,
}

impl Session {
    /// A connection that has just been made; `tls` if it began with a TLS handshake (RFC 8314 §3.2). `client`
    /// names the connection as the origin of the changes it makes.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        services: Services,
        client: impl Into<String>,
        tls: bool,
        now: Timestamp,
    ) -> Self {
        let mut session = Self {
            services,
            client: client.into(),
            tls,
            login: None,
            waiting: Waiting::Command,
            jobs: VecDeque::new(),
            failure: None,
            notes: VecDeque::new(),
            framer: Framer::new(config.command_size),
            input: Bytes::new(),
            out: Output::default(),
            end: End::Open,
            deadline: now.plus(config.login_timeout),
            heard: false,
            shutting_down: false,
            auth_failures: 0,
            bad_commands: 0,
            config,
        };
        let greeting = Reply::ok("IMAP4rev1 ready").with(session.capability_code());
        session.out.status(None, greeting);
        session
    }

    /// What to do next; `None` when the session waits. Once begun, it has to be awaited to its end: dropping it half way
    /// loses what it was doing.
    pub async fn poll(&mut self, now: Timestamp) -> Option<Event> {
        while self.out.len() < FLUSH_AT && self.step(now).await {}
        if let Some(note) = self.notes.pop_front() {
            return Some(Event::Note(note));
        }
        if let Some(octets) = self.out.pop() {
            return Some(Event::Send(octets));
        }
        match self.end {
            End::Open => {}
            End::StartTls => {
                self.end = End::Handshake;
                return Some(Event::StartTls);
            }
            End::Closing => {
                self.end = End::Closed;
                return Some(Event::Close);
            }
            End::Handshake | End::Closed => return None,
        }
        if std::mem::take(&mut self.heard) && self.login.is_some() {
            self.deadline = now.plus(self.config.timeout);
        }
        if now < self.deadline {
            return None;
        }
        self.bye("Silent for too long");
        self.out.pop().map(Event::Send)
    }

    /// What the client has sent. Nothing of it is looked at before the next [`poll`](Self::poll).
    pub fn receive(&mut self, octets: impl Into<Bytes>) {
        let octets = octets.into();
        self.heard |= !octets.is_empty();
        self.input = match self.input.is_empty() {
            true => octets,
            false => [self.input.as_ref(), octets.as_ref()].concat().into(),
        };
    }

    /// Waits until there may be news for a client in IDLE; for ever if it is not. May be dropped at any time.
    pub async fn changed(&mut self) {
        match (
            &self.waiting,
            self.login
                .as_mut()
                .and_then(|login| login.selected.as_mut()),
        ) {
            (Waiting::Idle { .. }, Some(view)) => view.wait().await,
            _ => std::future::pending().await,
        }
    }

    /// Whether the client is sending the message of APPEND: more is to be expected at once than a command.
    #[must_use]
    pub fn in_message(&self) -> bool {
        matches!(self.waiting, Waiting::Append { .. })
    }

    /// When to call [`poll`](Self::poll) even if nothing happens.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// TLS has been established, as [`Event::StartTls`] asked.
    pub fn tls_established(&mut self) {
        if self.end == End::Handshake {
            self.end = End::Open;
            self.tls = true;
            self.input = Bytes::new();
            self.framer.clear();
        }
    }

    /// The server is going down: what is being answered is answered, then the client is sent away.
    pub fn shut_down(&mut self) {
        self.shutting_down = true;
    }

    /// Does a bounded part of what there is to do; whether there was anything.
    async fn step(&mut self, now: Timestamp) -> bool {
        if self.end != End::Open {
            return false;
        }
        if let Some(job) = self.jobs.pop_front() {
            // A client that reads a long answer is not silent.
            self.heard |= !matches!(self.waiting, Waiting::Idle { .. });
            self.work(job, now).await;
            return true;
        }
        if self.shutting_down {
            self.bye("Shutting down");
            return true;
        }
        if matches!(self.waiting, Waiting::Idle { .. }) && self.has_news() {
            self.tell_news(true).await;
            return true;
        }
        let input = self.input.clone();
        let mut rest = input.as_ref();
        let frame = self.framer.next(&mut rest);
        self.input.advance(input.len() - rest.len());
        let Some(frame) = frame else { return false };
        self.take(frame, &input, now).await;
        true
    }

    async fn take(&mut self, frame: Frame<'_>, input: &Bytes, now: Timestamp) {
        match frame {
            Frame::Command(command) => self.command(&command, now).await,
            Frame::Continue => self.out.continuation("Ready for literal data"),
            Frame::Append {
                command,
                size,
                synchronising,
            } => {
                if self.begin_append(&command, size, now).await {
                    self.framer.accept();
                    if synchronising {
                        self.out.continuation("Ready for literal data");
                    }
                } else {
                    self.framer.refuse();
                }
            }
            Frame::Piece(piece) => {
                if let Waiting::Append { append, .. } = &mut self.waiting
                    && let Ok(message) = append
                    && let Err(failure) = message.write(input.slice_ref(piece)).await
                {
                    *append = Err(failure);
                }
            }
            Frame::AppendEnd { well_formed } => self.end_append(well_formed, now).await,
            Frame::Line(line) => match std::mem::replace(&mut self.waiting, Waiting::Command) {
                Waiting::Sasl { tag } => self.sasl_answer(&tag, &line, now).await,
                Waiting::Idle { tag } => self.end_idle(tag, &line),
                other => self.waiting = other,
            },
            Frame::Oversized { beginning } => {
                let tag = match std::mem::replace(&mut self.waiting, Waiting::Command) {
                    Waiting::Sasl { tag } | Waiting::Idle { tag } => Some(tag),
                    _ => tag_of(&beginning).map(|tag| tag.as_ref().to_owned()),
                };
                let reply = Reply::bad("Too long").with_code("LIMIT");
                self.misunderstood(tag.as_deref(), reply);
            }
        }
    }

    async fn work(&mut self, job: Job, now: Timestamp) {
        match job {
            Job::Answer { tag, reply } => self.out.status(Some(&tag), reply),
            Job::Finish {
                tag,
                reply,
                expunges,
            } => {
                let reply = match self.failure.take() {
                    Some(failure) => self.refusal(failure),
                    None => reply,
                };
                self.jobs.push_front(Job::Answer { tag, reply });
                self.tell_news(expunges).await;
            }
            Job::Fetch(mut fetch) => match self.fetch(&mut fetch, now).await {
                Progress::More => self.jobs.push_front(Job::Fetch(fetch)),
                Progress::Done(result) => self.failure = result.err(),
                Progress::Broken(error) => self.break_off(error),
            },
            Job::Flags(mut fetch) => match self.fetch(&mut fetch, now).await {
                Progress::More => self.jobs.push_front(Job::Flags(fetch)),
                Progress::Done(Ok(())) => {}
                // They would not be told again.
                Progress::Done(Err(failure)) => {
                    self.refusal(failure);
                    self.bye(UNREADABLE);
                }
                Progress::Broken(error) => self.break_off(error),
            },
        }
    }

    async fn fetch(&mut self, fetch: &mut Fetch, now: Timestamp) -> Progress {
        match &mut self.login {
            Some(Login {
                mailbox,
                selected: Some(view),
            }) => fetch.step(mailbox, view, now, &mut self.out).await,
            _ => Progress::Done(Ok(())),
        }
    }

    /// Closes the connection in the middle of a literal.
    fn break_off(&mut self, error: StoreError) {
        self.refusal(error.into());
        self.jobs.clear();
        self.end = End::Closing;
    }

    fn has_news(&self) -> bool {
        let view = self
            .login
            .as_ref()
            .and_then(|login| login.selected.as_ref());
        view.is_some_and(View::is_stale)
    }

    /// Tells what has happened in the selected mailbox.
    async fn tell_news(&mut self, expunges: bool) {
        let Some(Login {
            mailbox,
            selected: Some(view),
        }) = &mut self.login
        else {
            return;
        };
        match view.refresh(mailbox).await {
            Ok(()) => {}
            // Better no news than no answer; they come with the next command.
            Err(error) if error.is_transient() && !matches!(self.waiting, Waiting::Idle { .. }) => {
                return;
            }
            Err(StoreError::NoSuchFolder(_)) => return self.bye("The selected mailbox is gone"),
            Err(error) => {
                self.refusal(error.into());
                return self.bye(UNREADABLE);
            }
        }
        let news = view.tell(expunges);
        for number in news.expunged {
            self.out.data(Data::Expunge(number));
        }
        if let Some(count) = news.exists {
            self.out.data(Data::Exists(count));
        }
        if !news.changed.is_empty() {
            self.jobs
                .push_front(Job::Flags(Box::new(Fetch::flags(news.changed))));
        }
    }

    fn bye(&mut self, text: &str) {
        self.out.status(None, Reply::bye(text));
        self.jobs.clear();
        self.end = End::Closing;
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("client", &self.client)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}
