mod body;
mod commands;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::sasl::Exchange;
use super::{Config, Credentials, replies};
use crate::codec::{
    BareNewline, BodyDecoder, Command, HeloName, Line, LineReader, MailFrom, RcptTo, Reply,
    ReplyCode, is_bdat,
};

/// Replies are handed out when the client's input is used up, or when this many octets of them have
/// gathered (RFC 2920 §3.2).
const FLUSH_AT: usize = 4096;

/// One SMTP connection, seen from the server: bytes and answers in, [`Event`]s out.
///
/// It does no I/O, reads no clock and holds no more than one line of input beside the piece it was
/// last given. The caller repeats: [`poll`](Self::poll) until it gives `None`, doing what each event
/// says; then read from the connection, for as long as [`deadline`](Self::deadline) allows, and pass
/// on what came with [`receive`](Self::receive). Commands are answered in the order they came, also
/// when they came all at once (PIPELINING).
///
/// ```
/// use std::{sync::Arc, time::Instant};
/// use wm_core::Limits;
/// use wm_smtp::server::{Config, Event, Role, Session};
///
/// let config = Config::new("mx.example.org".parse()?, Role::Mx, &Limits::default());
/// let now = Instant::now();
/// let mut session = Session::new(Arc::new(config), false, now);
/// session.receive("EHLO client.example\r\nMAIL FROM:<a@example.com>\r\n".into());
/// let mut sent = Vec::new();
/// while let Some(event) = session.poll(now) {
///     match event {
///         Event::Send(bytes) => sent.extend_from_slice(&bytes),
///         Event::Mail(mail) => session.accept(),
///         other => panic!("{other:?}"),
///     }
/// }
/// assert!(sent.ends_with(b"\r\n250 2.1.0 Sender OK\r\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    tls: bool,
    client: Option<Client>,
    authenticated: bool,
    transaction: Option<Transaction>,
    state: State,
    input: Bytes,
    lines: LineReader,
    out: BytesMut,
    deadline: Instant,
    progressed: bool,
    shutting_down: bool,
    errors: u32,
    refusals: u32,
    auth_failures: u32,
}

/// What a [`Session`] wants done.
///
/// Four of them are questions: nothing but pending replies comes out of the session until
/// [`Session::accept`] or [`Session::refuse`] has answered.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Write this to the client.
    Send(Bytes),
    /// Make the connection TLS, then call [`Session::tls_established`]. What the client sent in the
    /// clear behind STARTTLS has been discarded.
    StartTls,
    /// Question: are these credentials good? A refusal does not say which half is wrong.
    Authenticate(Credentials),
    /// Question: is this sender welcome? Acceptance begins a transaction.
    Mail(MailFrom),
    /// Question: is there such a recipient?
    Recipient(RcptTo),
    /// The next octets of the message.
    Body(Bytes),
    /// Question: that was the message; is it accepted? Acceptance promises that it will not be lost.
    /// Either answer ends the transaction.
    EndOfData,
    /// The transaction is over without a message: forget its sender, recipients and body.
    Reset,
    /// Close the connection. Nothing comes after this.
    Close,
}

#[derive(Debug)]
struct Client {
    name: HeloName,
    extended: bool,
}

#[derive(Debug)]
enum State {
    Command,
    Auth(Exchange),
    Data,
    Chunk(Chunk),
    Asking(Question),
    StartTls,
    Handshake,
    Closing,
    Closed,
}

#[derive(Debug, Clone, Copy)]
enum Question {
    Authenticate,
    Mail { smtputf8: bool },
    Recipient,
    EndOfData,
}

/// A BDAT chunk being read.
#[derive(Debug)]
struct Chunk {
    size: u64,
    left: u64,
    last: bool,
    refusal: Option<Reply>,
}

#[derive(Debug)]
struct Transaction {
    smtputf8: bool,
    recipients: usize,
    /// Octets of the message so far.
    size: u64,
    /// From DATA or the first BDAT on.
    body: Option<BodyDecoder>,
}

enum Step {
    /// For the caller to do.
    Event(Event),
    /// There may be more to do at once.
    Again,
    /// Nothing can be done without the caller.
    Stuck,
}

impl Session {
    /// A connection that has just been made; `tls` if it began with a TLS handshake (RFC 8314 §3.3).
    #[must_use]
    pub fn new(config: Arc<Config>, tls: bool, now: Instant) -> Self {
        let mut session = Self {
            tls,
            client: None,
            authenticated: false,
            transaction: None,
            state: State::Command,
            input: Bytes::new(),
            lines: LineReader::default(),
            out: BytesMut::new(),
            deadline: now + config.timeout,
            progressed: false,
            shutting_down: false,
            errors: 0,
            refusals: 0,
            auth_failures: 0,
            config,
        };
        let greeting = format!("{} ESMTP", session.config.host);
        session.reply(&Reply::plain(ReplyCode::READY, "").with_text(greeting));
        session
    }

    /// What to do next; `None` when the session waits for input, or for the answer to its question.
    pub fn poll(&mut self, now: Instant) -> Option<Event> {
        while self.out.len() < FLUSH_AT {
            match self.step() {
                Step::Event(event) => {
                    self.progressed = true;
                    return Some(event);
                }
                Step::Again => self.progressed = true,
                Step::Stuck => break,
            }
        }
        if std::mem::take(&mut self.progressed) {
            self.deadline = now + self.config.timeout;
        }
        if !self.out.is_empty() {
            return Some(Event::Send(self.out.split().freeze()));
        }
        match self.state {
            State::StartTls => {
                self.state = State::Handshake;
                return Some(Event::StartTls);
            }
            State::Closing => {
                self.state = State::Closed;
                return Some(Event::Close);
            }
            State::Asking(_) | State::Closed => return None,
            _ => {}
        }
        if now < self.deadline {
            return None;
        }
        if !matches!(self.state, State::Handshake) {
            self.reply(&replies::TIMEOUT);
        }
        self.state = State::Closing;
        self.poll(now)
    }

    /// When to call [`poll`](Self::poll) even if the client sends nothing; `None` while the caller,
    /// not the client, is waited for.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Asking(_) | State::Closed => None,
            _ => Some(self.deadline),
        }
    }

    /// Takes what the client sent. To be called when [`poll`](Self::poll) has given `None` and no
    /// question is open; then the session never holds more than this one piece.
    pub fn receive(&mut self, input: Bytes) {
        match self.state {
            State::StartTls | State::Handshake | State::Closing | State::Closed => {}
            _ if self.input.is_empty() => self.input = input,
            _ => self.input = [&self.input[..], &input[..]].concat().into(),
        }
    }

    /// The client has closed its side. A message that is not complete is lost, as it has to be.
    pub fn receive_end(&mut self) {
        self.close();
    }

    /// Answers the open question: yes.
    pub fn accept(&mut self) {
        self.accept_as(format_args!("OK"));
    }

    /// Answers the open question: yes, and tells the client the name the message got. Names belong
    /// to [`Event::EndOfData`]; the others are answered as by [`accept`](Self::accept).
    pub fn accept_as(&mut self, name: impl fmt::Display) {
        let Some(question) = self.answered() else {
            return;
        };
        match question {
            Question::Authenticate => {
                self.authenticated = true;
                self.reply(&replies::AUTHENTICATED);
            }
            Question::Mail { smtputf8 } => {
                self.transaction = Some(Transaction {
                    smtputf8,
                    recipients: 0,
                    size: 0,
                    body: None,
                });
                self.reply(&replies::SENDER_OK);
            }
            Question::Recipient => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.recipients += 1;
                }
                self.reply(&replies::RECIPIENT_OK);
            }
            Question::EndOfData => self.reply(&replies::DONE.with_text(name.to_string())),
        }
    }

    /// Answers the open question: no, for this reason. A reply that is not a refusal (4yz, 5yz)
    /// would lie to the client, and is sent as 451 instead. After 421 the connection closes.
    pub fn refuse(&mut self, reply: Reply) {
        let Some(question) = self.answered() else {
            return;
        };
        let code = reply.code();
        if !code.is_transient() && !code.is_permanent() {
            return self.reply(&replies::LOCAL_ERROR);
        }
        self.reply(&reply);
        if code == ReplyCode::NOT_AVAILABLE {
            return self.close();
        }
        if !code.is_permanent() {
            return;
        }
        let (count, limit) = match question {
            Question::Authenticate => (&mut self.auth_failures, self.config.auth_failures),
            _ => (&mut self.refusals, self.config.refusals),
        };
        *count += 1;
        if *count >= limit {
            self.give_up();
        }
    }

    /// The TLS handshake that [`Event::StartTls`] asked for is done: the connection starts afresh
    /// (RFC 3207 §4.2).
    pub fn tls_established(&mut self) {
        self.tls = true;
        self.client = None;
        self.authenticated = false;
        self.state = State::Command;
        self.progressed = true;
    }

    /// Closes the connection at the next occasion: between commands, or after the message that is
    /// being sent.
    pub fn shut_down(&mut self) {
        self.shutting_down = true;
    }

    /// How messages arrive over this connection, as a Received field says it (RFC 3848, and RFC 6531
    /// §4.3 for those sent with SMTPUTF8).
    #[must_use]
    pub fn protocol(&self, smtputf8: bool) -> &'static str {
        let extended = self.client.as_ref().is_some_and(|client| client.extended);
        match (smtputf8, extended, self.tls, self.authenticated) {
            (false, false, false, false) => "SMTP",
            (false, _, false, false) => "ESMTP",
            (false, _, true, false) => "ESMTPS",
            (false, _, false, true) => "ESMTPA",
            (false, _, true, true) => "ESMTPSA",
            (true, _, false, false) => "UTF8SMTP",
            (true, _, true, false) => "UTF8SMTPS",
            (true, _, false, true) => "UTF8SMTPA",
            (true, _, true, true) => "UTF8SMTPSA",
        }
    }

    /// The name the client gave itself.
    #[must_use]
    pub fn client_name(&self) -> Option<&HeloName> {
        self.client.as_ref().map(|client| &client.name)
    }

    /// Whether a large read buffer pays: a message is being sent.
    #[must_use]
    pub const fn in_body(&self) -> bool {
        matches!(self.state, State::Data | State::Chunk(_))
    }

    fn step(&mut self) -> Step {
        match &self.state {
            State::Command | State::Auth(_) if self.shutting_down => {
                self.reply(&replies::SHUTTING_DOWN);
                self.close();
                Step::Again
            }
            State::Command | State::Auth(_) => self.line(),
            State::Data => self.data(),
            State::Chunk(_) => self.chunk(),
            State::Closing if self.transaction.take().is_some() => Step::Event(Event::Reset),
            State::Asking(_)
            | State::StartTls
            | State::Handshake
            | State::Closing
            | State::Closed => Step::Stuck,
        }
    }

    fn line(&mut self) -> Step {
        let in_auth = matches!(self.state, State::Auth(_));
        let limit = if in_auth {
            self.config.auth_line
        } else {
            self.config.command_line
        };
        let Some(line) = self.lines.next(&mut self.input, limit) else {
            return Step::Stuck;
        };
        let state = std::mem::replace(&mut self.state, State::Command);
        let line = match line {
            Line::Complete(line) => line,
            Line::BareLf(line) if self.config.bare_newline == BareNewline::Normalize => line,
            Line::BareLf(line) => {
                let step = self.fault(replies::BARE_LINE_FEED);
                if !in_auth && is_bdat(&line) {
                    self.close();
                }
                return step;
            }
            Line::TooLong if in_auth => return self.fault(replies::AUTH_LINE_TOO_LONG),
            Line::TooLong => return self.fault(replies::LINE_TOO_LONG),
        };
        match state {
            State::Auth(exchange) => self.authentication(exchange.respond(&line)),
            _ => match Command::parse(&line) {
                Ok(command) => self.command(command),
                Err(error) => self.command_error(error),
            },
        }
    }

    fn ask(&mut self, question: Question, event: Event) -> Step {
        self.state = State::Asking(question);
        Step::Event(event)
    }

    fn answered(&mut self) -> Option<Question> {
        let State::Asking(question) = self.state else {
            return None;
        };
        self.state = State::Command;
        self.progressed = true;
        Some(question)
    }

    fn reply(&mut self, reply: &Reply) {
        reply.write(&mut self.out);
    }

    fn answer(&mut self, reply: &Reply) -> Step {
        self.reply(reply);
        Step::Again
    }

    /// Answers a command that is wrong in itself, which not even a probing client sends often.
    fn fault(&mut self, reply: Reply) -> Step {
        self.reply(&reply);
        self.errors += 1;
        if self.errors >= self.config.errors {
            self.give_up();
        }
        Step::Again
    }

    fn give_up(&mut self) {
        self.reply(&replies::TOO_MANY_ERRORS);
        self.close();
    }

    /// Ends the transaction.
    fn reset(&mut self) -> Step {
        match self.transaction.take() {
            Some(_) => Step::Event(Event::Reset),
            None => Step::Again,
        }
    }

    fn close(&mut self) {
        self.input.clear();
        if !matches!(self.state, State::Closed) {
            self.state = State::Closing;
        }
    }
}
