//! What each command does: those of any state, and the way to the others.

use std::borrow::Cow;

use imap_codec::imap_types::auth::AuthMechanism;
use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::core::NonEmptyVec;
use imap_codec::imap_types::response::{Capability, Code, Data};
use imap_codec::imap_types::secret::Secret;
use wm_core::Timestamp;
use wm_core::model::{Origin, Protocol};
use wm_core::traits::{AuthError, Login as LoginName};

use super::append::Append;
use super::auth::Credentials;
use super::failure::Failure;
use super::flags::Marks;
use super::folders::{self, Folders};
use super::output::Reply;
use super::{End, Job, Login, Note, Session, Waiting};
use crate::codec::{Request, RequestBody};

/// What a command comes to.
pub(super) type Outcome = Result<Reply<'static>, Failure>;

/// Extensions that every connection has: RFC 2971, 2177, 7888, 2342, 4315, 6851, 3691, 3348, 6154.
const EXTENSIONS: [&str; 9] = [
    "ID",
    "IDLE",
    "LITERAL+",
    "NAMESPACE",
    "UIDPLUS",
    "MOVE",
    "UNSELECT",
    "CHILDREN",
    "SPECIAL-USE",
];

impl Session {
    pub(super) async fn command(&mut self, command: &[u8], now: Timestamp) {
        let request = match Request::parse(command) {
            Ok(request) => request,
            Err(error) => {
                let reply = Reply::bad("Unknown command or malformed arguments");
                return self.misunderstood(error.tag.as_deref(), reply);
            }
        };
        self.bad_commands = 0;
        let tag = request.tag.as_ref().to_owned();
        let outcome = match request.body {
            RequestBody::Imap(body) => return self.imap(tag, body, now).await,
            RequestBody::Id => {
                self.out.push(b"* ID (\"name\" \"wm\")\r\n");
                Ok(Reply::ok("ID completed"))
            }
            RequestBody::Namespace if self.login.is_none() => Err(Failure::NotLoggedIn),
            RequestBody::Namespace => {
                folders::namespace(&mut self.out);
                Ok(Reply::ok("NAMESPACE completed"))
            }
            RequestBody::UidExpunge(set) => self.expunge(Some(&set), now).await,
        };
        self.finish(tag, outcome, true);
    }

    async fn imap(&mut self, tag: String, body: CommandBody<'_>, now: Timestamp) {
        let name = body.name();
        // Not while the client counts on sequence numbers (RFC 3501 §7.4.1).
        let expunges = !matches!(
            body,
            CommandBody::Fetch { uid: false, .. }
                | CommandBody::Store { uid: false, .. }
                | CommandBody::Search { uid: false, .. }
        );
        let outcome = match body {
            CommandBody::Capability => {
                self.out.data(Data::Capability(self.capabilities()));
                Ok(done(name))
            }
            CommandBody::Noop => Ok(done(name)),
            CommandBody::Logout => {
                self.bye("Logging out");
                return self.out.status(Some(&tag), done(name));
            }
            CommandBody::StartTLS => return self.start_tls(&tag),
            CommandBody::Login { username, password } => {
                let password = password.declassify().as_ref();
                let credentials = Credentials::new(username.as_ref(), password);
                return self.log_in(&tag, Some(credentials), now).await;
            }
            CommandBody::Authenticate {
                mechanism,
                initial_response,
            } => {
                return self
                    .authenticate(tag, &mechanism, initial_response, now)
                    .await;
            }
            CommandBody::Enable { .. }
            | CommandBody::Compress { .. }
            | CommandBody::GetQuota { .. }
            | CommandBody::GetQuotaRoot { .. }
            | CommandBody::SetQuota { .. } => {
                return self.misunderstood(Some(&tag), Reply::bad("Unknown command"));
            }
            _ if self.login.is_none() => Err(Failure::NotLoggedIn),
            CommandBody::Idle => {
                self.out.continuation("idling");
                self.framer.expect_line();
                self.waiting = Waiting::Idle { tag };
                return self.look();
            }
            body @ (CommandBody::Select { .. }
            | CommandBody::Examine { .. }
            | CommandBody::Create { .. }
            | CommandBody::Delete { .. }
            | CommandBody::Rename { .. }
            | CommandBody::Subscribe { .. }
            | CommandBody::Unsubscribe { .. }
            | CommandBody::List { .. }
            | CommandBody::Lsub { .. }
            | CommandBody::Status { .. }) => self.on_mailboxes(body, now).await,
            body => self.on_messages(body, now).await,
        };
        self.finish(tag, outcome, expunges);
    }

    /// Answers once what has happened meanwhile has been told.
    fn finish(&mut self, tag: String, outcome: Outcome, expunges: bool) {
        let reply = outcome.unwrap_or_else(|failure| self.refusal(failure));
        self.jobs.push_back(Job::Finish {
            tag,
            reply,
            expunges,
        });
    }

    /// What to tell the client of a failure, which is noted if it is one of this system's.
    pub(super) fn refusal(&mut self, failure: Failure) -> Reply<'static> {
        let reply = failure.reply();
        if let Some(cause) = failure.into_fault() {
            self.notes.push_back(Note::Failed {
                cause: Box::new(cause),
            });
        }
        reply
    }

    /// Answers what is no command; a client that says nothing else is sent away.
    pub(super) fn misunderstood(&mut self, tag: Option<&str>, reply: Reply<'_>) {
        self.out.status(tag, reply);
        self.bad_commands += 1;
        if self.bad_commands >= self.config.bad_commands {
            self.bye("Too many bad commands");
        }
    }

    fn capabilities(&self) -> NonEmptyVec<Capability<'static>> {
        let mut capabilities = NonEmptyVec::from(Capability::Imap4Rev1).into_inner();
        if self.login.is_none() {
            capabilities.push(Capability::SaslIr);
            match self.may_log_in() {
                true => capabilities.push(Capability::Auth(AuthMechanism::Plain)),
                false => capabilities.push(Capability::LoginDisabled),
            }
            if self.config.starttls && !self.tls {
                capabilities.push(Capability::StartTls);
            }
        }
        let extensions = EXTENSIONS
            .iter()
            .filter_map(|name| Capability::try_from(*name).ok());
        capabilities.extend(extensions);
        NonEmptyVec::try_from(capabilities)
            .unwrap_or_else(|_| NonEmptyVec::from(Capability::Imap4Rev1))
    }

    pub(super) fn capability_code(&self) -> Code<'static> {
        Code::Capability(self.capabilities())
    }

    fn start_tls(&mut self, tag: &str) {
        if self.tls || self.login.is_some() || !self.config.starttls {
            return self
                .out
                .status(Some(tag), Reply::bad("STARTTLS is not possible now"));
        }
        self.out.status(Some(tag), Reply::ok("Begin TLS"));
        self.end = End::StartTls;
    }

    fn may_log_in(&self) -> bool {
        self.tls || self.config.cleartext_auth
    }

    async fn authenticate(
        &mut self,
        tag: String,
        mechanism: &AuthMechanism<'_>,
        initial_response: Option<Secret<Cow<'_, [u8]>>>,
        now: Timestamp,
    ) {
        let reply = match (mechanism, initial_response) {
            // Before the client is asked for a password.
            _ if self.login.is_some() || !self.may_log_in() => {
                return self.log_in(&tag, None, now).await;
            }
            (AuthMechanism::Plain, Some(message)) => {
                let credentials = Credentials::plain(message.declassify());
                return self.log_in(&tag, credentials, now).await;
            }
            (AuthMechanism::Plain, None) => {
                self.out.continuation("");
                self.framer.expect_line();
                self.waiting = Waiting::Sasl { tag };
                return;
            }
            _ => Reply::no("Unknown mechanism").with_code("CANNOT"),
        };
        self.out.status(Some(&tag), reply);
    }

    pub(super) async fn sasl_answer(&mut self, tag: &str, line: &[u8], now: Timestamp) {
        self.log_in(tag, Credentials::plain_line(line), now).await;
    }

    /// Logs somebody in; without credentials there was nothing that could be understood as such.
    async fn log_in(&mut self, tag: &str, credentials: Option<Credentials>, now: Timestamp) {
        let reply = if self.login.is_some() {
            Reply::bad("Logged in already")
        } else if !self.may_log_in() {
            Reply::no("Not without TLS").with_code("PRIVACYREQUIRED")
        } else if let Some(credentials) = credentials {
            self.check(credentials, now).await
        } else {
            Reply::bad("Cancelled, or not a message of this mechanism")
        };
        self.out.status(Some(tag), reply);
        if self.login.is_none() && self.auth_failures >= self.config.auth_failures {
            self.bye("Too many failed log-ins");
        }
    }

    async fn check(&mut self, credentials: Credentials, now: Timestamp) -> Reply<'static> {
        let Credentials { name, password } = credentials;
        let login = LoginName::new(name.clone());
        let principal = match self
            .services
            .directory
            .authenticate(&login, &password)
            .await
        {
            Ok(principal) => principal,
            Err(AuthError::Unavailable(cause)) => {
                self.notes.push_back(Note::Failed {
                    cause: Box::new(cause),
                });
                return Reply::no("Try again later").with_code("UNAVAILABLE");
            }
            Err(_) => {
                self.auth_failures += 1;
                self.notes.push_back(Note::AuthenticationFailed { name });
                return Reply::no("Wrong user name or password").with_code("AUTHENTICATIONFAILED");
            }
        };
        let origin = Origin::new(Protocol::Imap, self.client.clone());
        let mailboxes = &self.services.mailboxes;
        let opened = mailboxes
            .open(&principal, principal.mailbox(), origin, now)
            .await;
        match opened {
            Ok(mailbox) => {
                self.notes.push_back(Note::Authenticated(principal));
                self.deadline = now.plus(self.config.timeout);
                self.login = Some(Login {
                    mailbox,
                    selected: None,
                });
                Reply::ok("Logged in").with(self.capability_code())
            }
            Err(error) => self.refusal(error.into()),
        }
    }

    pub(super) fn end_idle(&mut self, tag: String, line: &[u8]) {
        let ended = line.trim_ascii().eq_ignore_ascii_case(b"DONE");
        let reply = match ended {
            true => Reply::ok("IDLE completed"),
            false => Reply::bad("Expected DONE"),
        };
        self.finish(tag, Ok(reply), true);
    }

    /// Begins to take in a message; whether the client may send it.
    pub(super) async fn begin_append(&mut self, command: &[u8], size: u64, now: Timestamp) -> bool {
        let Ok(Request {
            tag,
            body: RequestBody::Imap(body),
        }) = Request::parse(command)
        else {
            return false;
        };
        let tag = tag.as_ref().to_owned();
        match self.append(body, size, now).await {
            Ok(append) => {
                let append = Ok(Box::new(append));
                self.waiting = Waiting::Append { tag, append };
                true
            }
            Err(failure) => {
                self.finish(tag, Err(failure), true);
                false
            }
        }
    }

    async fn append(
        &mut self,
        body: CommandBody<'_>,
        size: u64,
        now: Timestamp,
    ) -> Result<Append, Failure> {
        let mailbox = self.login.as_ref().map(|login| &login.mailbox);
        let mailbox = mailbox.ok_or(Failure::NotLoggedIn)?;
        let CommandBody::Append {
            mailbox: name,
            flags,
            date,
            ..
        } = body
        else {
            return Err(Failure::Cannot);
        };
        if size > self.config.message_size {
            return Err(Failure::TooBig);
        }
        let folders = Folders::load(mailbox).await?;
        let folder = folders.find(&name).map_err(Failure::of_target)?.clone();
        let received = date.map_or(now, |date| {
            Timestamp::from_seconds(date.as_ref().timestamp())
        });
        Append::begin(mailbox, folder, Marks::of(&flags), received).await
    }

    pub(super) async fn end_append(&mut self, well_formed: bool, now: Timestamp) {
        let Waiting::Append { tag, append } =
            std::mem::replace(&mut self.waiting, Waiting::Command)
        else {
            return;
        };
        let Some(mailbox) = self.login.as_ref().map(|login| &login.mailbox) else {
            return;
        };
        let outcome = match append {
            Err(failure) => Err(failure),
            Ok(_) if !well_formed => Ok(Reply::bad("Unexpected octets after the message")),
            Ok(append) => append
                .finish(mailbox, &*self.services.ids, now)
                .await
                .map(|code| Reply::ok("APPEND completed").with_code(code)),
        };
        self.look();
        self.finish(tag, outcome, true);
    }

    /// Sees to it that the selected mailbox is looked at before anything is told of it.
    fn look(&mut self) {
        if let Some(view) = self
            .login
            .as_mut()
            .and_then(|login| login.selected.as_mut())
        {
            view.expect_news();
        }
    }
}

/// The reply to a command that has done what it says.
pub(super) fn done(name: &str) -> Reply<'static> {
    Reply::ok(format!("{name} completed"))
}
