//! A session with a client and a mail flow around it, in simulated time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use wm_core::Limits;
use wm_smtp::codec::{EnhancedCode, ForwardPath, Reply, ReplyCode};
use wm_smtp::server::{Config, Event, Role, Session};

pub(crate) fn config(role: Role) -> Config {
    let limits = Limits {
        message_size: 1000,
        recipients_per_message: 5,
        ..Limits::default()
    };
    Config::new("mx.example.org".parse().unwrap(), role, &limits)
}

/// Whoever `unknown` is does not exist, everybody's password is `secret`.
pub(crate) struct Peer {
    pub(crate) session: Session,
    pub(crate) now: Instant,
    /// What the mail flow was asked and told, without the bodies of lost messages.
    pub(crate) seen: Vec<String>,
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) closed: bool,
    /// The largest backlog of replies handed out at once.
    pub(crate) largest_send: usize,
    body: Vec<u8>,
}

impl Peer {
    pub(crate) fn new(config: Config, tls: bool) -> Self {
        let now = Instant::now();
        Self {
            session: Session::new(Arc::new(config), tls, now),
            now,
            seen: Vec::new(),
            messages: Vec::new(),
            closed: false,
            largest_send: 0,
            body: Vec::new(),
        }
    }

    /// A peer that has greeted and been greeted.
    pub(crate) fn greeted(config: Config, tls: bool) -> Self {
        let mut peer = Self::new(config, tls);
        peer.say(b"EHLO client.example\r\n");
        peer
    }

    /// Sends and gives what comes back.
    pub(crate) fn say(&mut self, text: &[u8]) -> String {
        if !text.is_empty() {
            self.session.receive(Bytes::copy_from_slice(text));
        }
        self.listen()
    }

    pub(crate) fn wait(&mut self, time: Duration) -> String {
        self.now += time;
        self.listen()
    }

    pub(crate) fn listen(&mut self) -> String {
        let mut heard = Vec::new();
        while let Some(event) = self.session.poll(self.now) {
            match event {
                Event::Send(bytes) => {
                    self.largest_send = self.largest_send.max(bytes.len());
                    heard.extend_from_slice(&bytes);
                }
                Event::StartTls => self.session.tls_established(),
                Event::Authenticate(credentials) => {
                    self.seen
                        .push(format!("auth {}", credentials.authentication));
                    match credentials.password.expose() == "secret" {
                        true => self.session.accept(),
                        false => self.session.refuse(Reply::new(
                            ReplyCode::CREDENTIALS_INVALID,
                            EnhancedCode::new(7, 8),
                            "Wrong",
                        )),
                    }
                }
                Event::Mail(mail) => {
                    self.seen.push(format!("from {}", mail.path));
                    self.session.accept();
                }
                Event::Recipient(rcpt) => {
                    self.seen.push(format!("to {}", rcpt.path));
                    match &rcpt.path {
                        ForwardPath::Mailbox(address)
                            if address.local_part().as_str() == "unknown" =>
                        {
                            self.session.refuse(Reply::new(
                                ReplyCode::MAILBOX_UNAVAILABLE,
                                EnhancedCode::new(1, 1),
                                "Unknown",
                            ));
                        }
                        _ => self.session.accept(),
                    }
                }
                Event::Body(octets) => self.body.extend_from_slice(&octets),
                Event::EndOfData => {
                    self.seen.push("message".into());
                    self.messages.push(std::mem::take(&mut self.body));
                    self.session.accept_as("Accepted");
                }
                Event::Reset => {
                    self.seen.push("reset".into());
                    self.body.clear();
                }
                Event::Close => self.closed = true,
                other => panic!("{other:?}"),
            }
        }
        String::from_utf8(heard).unwrap()
    }
}

/// The codes of replies: `250 2.1.0` or `250`, one for each reply.
pub(crate) fn codes(replies: &str) -> Vec<&str> {
    let finals = replies
        .lines()
        .filter(|line| line.as_bytes().get(3) == Some(&b' '));
    finals
        .map(|line| {
            let (code, text) = line.split_at(3);
            let status = text.split(' ').nth(1).unwrap_or_default();
            let enhanced = status.split('.').count() == 3 && status.starts_with(&code[..1]);
            if enhanced {
                &line[..4 + status.len()]
            } else {
                code
            }
        })
        .collect()
}
