//! What each command does (RFC 5321 §4.1, §4.3.2).

use wm_core::Secret;

use super::super::sasl::{Exchange, Progress};
use super::{Client, Event, Question, Session, State, Step};
use crate::codec::{
    Command, CommandError, HeloName, MailFrom, Mechanism, RcptTo, Reply, ReplyCode,
};
use crate::server::{Role, replies};

impl Session {
    pub(super) fn command(&mut self, command: Command) -> Step {
        match command {
            Command::Ehlo(name) => self.hello(name, true),
            Command::Helo(name) => self.hello(name, false),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(rcpt) => self.rcpt(rcpt),
            Command::Data => self.begin_data(),
            Command::Bdat { size, last } => self.begin_chunk(size, last),
            Command::Rset => {
                self.reply(&replies::DONE);
                self.reset()
            }
            Command::Noop => self.answer(&replies::DONE),
            Command::Help => self.answer(&replies::HELP),
            Command::Vrfy | Command::Expn => self.answer(&replies::CANNOT_VERIFY),
            Command::StartTls => self.start_tls(),
            Command::Auth { mechanism, initial } => self.begin_auth(mechanism, initial.as_ref()),
            Command::Quit => {
                self.reply(&replies::CLOSING);
                self.close();
                Step::Again
            }
        }
    }

    pub(super) fn command_error(&mut self, error: CommandError) -> Step {
        let unframed = error == CommandError::ChunkSize;
        let step = self.fault(error.into());
        if unframed {
            self.close();
        }
        step
    }

    fn hello(&mut self, name: HeloName, extended: bool) -> Step {
        let mut text = format!("{} greets {name}", self.config.host);
        if extended {
            self.extensions().for_each(|keyword| {
                text.push('\n');
                text.push_str(&keyword);
            });
        }
        self.reply(&Reply::plain(ReplyCode::OK, "").with_text(text));
        self.client = Some(Client { name, extended });
        self.reset()
    }

    /// What EHLO announces.
    fn extensions(&self) -> impl Iterator<Item = String> {
        let auth = self.auth_offered().then(|| {
            let names = Mechanism::ALL.map(|mechanism| mechanism.to_string());
            format!("AUTH {}", names.join(" "))
        });
        let starttls = (self.config.starttls && !self.tls).then(|| "STARTTLS".to_owned());
        let always = [
            "PIPELINING",
            "8BITMIME",
            "ENHANCEDSTATUSCODES",
            "CHUNKING",
            "SMTPUTF8",
        ]
        .map(String::from);
        let size = format!("SIZE {}", self.config.message_size);
        [size].into_iter().chain(always).chain(starttls).chain(auth)
    }

    fn mail(&mut self, mail: MailFrom) -> Step {
        if self.client.is_none() {
            return self.fault(replies::HELLO_FIRST);
        }
        if self.config.role == Role::Submission && !self.authenticated {
            return self.fault(match self.auth_offered() {
                true => replies::AUTHENTICATION_REQUIRED,
                false => replies::STARTTLS_FIRST,
            });
        }
        if self.transaction.is_some() {
            return self.fault(replies::NESTED_MAIL);
        }
        if mail
            .size
            .is_some_and(|size| size > self.config.message_size)
        {
            return self.answer(&replies::MESSAGE_TOO_BIG);
        }
        if !mail.smtputf8 && !mail.path.to_string().is_ascii() {
            return self.answer(&replies::NEEDS_SMTPUTF8);
        }
        self.ask(
            Question::Mail {
                smtputf8: mail.smtputf8,
            },
            Event::Mail(mail),
        )
    }

    fn rcpt(&mut self, rcpt: RcptTo) -> Step {
        let Some(transaction) = &self.transaction else {
            return self.fault(replies::MAIL_FIRST);
        };
        if transaction.body.is_some() {
            return self.fault(replies::CHUNKS_BEGUN);
        }
        if transaction.recipients >= self.config.recipients {
            return self.answer(&replies::TOO_MANY_RECIPIENTS);
        }
        if !transaction.smtputf8 && !rcpt.path.to_string().is_ascii() {
            return self.answer(&replies::NEEDS_SMTPUTF8);
        }
        self.ask(Question::Recipient, Event::Recipient(rcpt))
    }

    fn start_tls(&mut self) -> Step {
        if self.tls {
            return self.fault(replies::ALREADY_TLS);
        }
        if !self.config.starttls {
            return self.fault(replies::NOT_IMPLEMENTED);
        }
        self.reply(&replies::READY_FOR_TLS);
        // Whatever stands behind STARTTLS was not protected by TLS: CVE-2011-0411.
        self.input.clear();
        self.state = State::StartTls;
        self.reset()
    }

    fn auth_offered(&self) -> bool {
        self.config.role == Role::Submission && (self.tls || self.config.cleartext_auth)
    }

    fn begin_auth(&mut self, mechanism: Mechanism, initial: Option<&Secret<String>>) -> Step {
        if self.config.role == Role::Mx {
            return self.fault(replies::NOT_IMPLEMENTED);
        }
        if !self.auth_offered() {
            return self.fault(replies::ENCRYPTION_REQUIRED);
        }
        if self.client.is_none() {
            return self.fault(replies::HELLO_FIRST);
        }
        if self.authenticated {
            return self.fault(replies::ALREADY_AUTHENTICATED);
        }
        self.authentication(Exchange::begin(mechanism, initial))
    }

    pub(super) fn authentication(&mut self, progress: Result<Progress, Reply>) -> Step {
        match progress {
            Err(reply) => self.fault(reply),
            Ok(Progress::Challenge(exchange, challenge)) => {
                self.state = State::Auth(exchange);
                self.answer(&Reply::plain(ReplyCode::CHALLENGE, challenge))
            }
            Ok(Progress::Complete(credentials)) => {
                self.ask(Question::Authenticate, Event::Authenticate(credentials))
            }
        }
    }
}
