//! A store with two people in it, and clients of theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::executor::block_on;
use wm_core::access::{MailboxSession, Mailboxes};
use wm_core::content::Structure;
use wm_core::contract::audit;
use wm_core::model::{
    Flags, FolderRole, ItemClass, Names, Origin, Principal, PrincipalRole, Protocol, UserRole,
};
use wm_core::traits::{
    BodyWriter, DirectoryAdmin, DirectoryChange, IdSource, ItemContent, MailboxStore, Mode,
    NewItem, NewOrganization, NewUser, Operation,
};
use wm_core::{
    AccountId, ConversationId, EmailAddress, Limits, OrganizationId, Secret, Timestamp, UserId,
};
use wm_imap::session::{Config, Event, Note, Services, Session};
use wm_store::directory::{DirectoryOptions, StoredDirectory};
use wm_store::{Store, StoreParts};

pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub(crate) const PASSWORD: &str = "Zebra crossing 1";
const ORGANIZATION: OrganizationId = OrganizationId::from_u128(0xac);
const ALICE: UserId = UserId::from_u128(1);
const BOB: UserId = UserId::from_u128(2);

/// An organization with Alice and Bob.
pub(crate) struct House {
    pub(crate) store: Arc<Store>,
    pub(crate) config: Config,
    services: Services,
}

struct Numbers(AtomicU64);

impl IdSource for Numbers {
    fn fresh(&self) -> u128 {
        self.0.fetch_add(1, Ordering::Relaxed).into()
    }
}

impl House {
    pub(crate) fn new() -> Self {
        let store = Arc::new(Store::open(StoreParts::in_memory().unwrap()).unwrap());
        let mut options = DirectoryOptions::default();
        options.cost.memory = 8;
        options.cost.passes = 1;
        let directory = Arc::new(block_on(StoredDirectory::open(&store, options)).unwrap());
        let organization = NewOrganization {
            id: ORGANIZATION,
            account: AccountId::from_u64(42).unwrap(),
            alias: "acme".parse().unwrap(),
            test_domain: address("any").domain().clone(),
            at: NOW,
        };
        let made = directory.create_organization(organization, audit("CreateOrganization"));
        block_on(made).unwrap();
        for (id, name) in [(ALICE, "alice"), (BOB, "bob")] {
            let new = NewUser {
                id,
                name: name.into(),
                names: Names::default(),
                role: UserRole::User,
                password: Some(Secret::new(PASSWORD.into())),
                at: NOW,
            };
            let enable = DirectoryChange::Enable(id.into(), address(name));
            for change in [DirectoryChange::CreateUser(new), enable] {
                block_on(directory.change(ORGANIZATION, change, audit("Change"))).unwrap();
            }
        }
        let services = Services {
            mailboxes: Mailboxes::new(store.clone(), directory.clone()),
            directory,
            ids: Arc::new(Numbers(AtomicU64::new(1))),
        };
        Self {
            store,
            config: Config::new(&Limits::default()),
            services,
        }
    }

    /// A new connection, its greeting read.
    pub(crate) fn connect(&self, tls: bool) -> Client {
        let mut client = Client {
            session: self.session(tls),
            now: NOW,
            notes: Vec::new(),
            closed: false,
        };
        let greeting = client.hear();
        assert!(greeting.starts_with("* OK "), "{greeting}");
        client
    }

    pub(crate) fn session(&self, tls: bool) -> Session {
        let config = Arc::new(self.config.clone());
        Session::new(config, self.services.clone(), "test", tls, NOW)
    }

    /// A connection on which Alice has logged in.
    pub(crate) fn alice(&self) -> Client {
        let mut client = self.connect(true);
        client.ok(&format!("LOGIN alice \"{PASSWORD}\""));
        client
    }

    /// A connection on which Alice has selected her inbox.
    pub(crate) fn inbox(&self) -> Client {
        let mut client = self.alice();
        client.ok("SELECT INBOX");
        client
    }

    /// Alice's mailbox, as another protocol sees it.
    pub(crate) fn mailbox(&self) -> MailboxSession {
        let principal = Principal {
            organization: ORGANIZATION,
            user: ALICE,
            address: address("alice"),
            role: PrincipalRole::User,
        };
        let origin = Origin::new(Protocol::WebMail, "test");
        let mailboxes = &self.services.mailboxes;
        block_on(mailboxes.open(&principal, principal.mailbox(), origin, NOW)).unwrap()
    }

    /// Puts a message into a folder of Alice's, as delivery does.
    pub(crate) fn deliver(&self, folder: FolderRole, prefix: &str, message: &[u8]) {
        let mailbox = self.mailbox();
        block_on(async {
            let mut writer: Box<dyn BodyWriter> =
                MailboxStore::body_writer(&*self.store, ORGANIZATION)
                    .await
                    .unwrap();
            writer.write(Bytes::copy_from_slice(message)).await.unwrap();
            let content = ItemContent {
                prefix: prefix.into(),
                body: writer.finish().await.unwrap(),
                summary: Structure::of(message).summary(),
            };
            let item = NewItem {
                folder: folder.into(),
                delivered: true,
                class: ItemClass::default(),
                content,
                received: NOW,
                flags: Flags::NONE,
                keywords: [].into(),
                categories: [].into(),
                conversation: ConversationId(7),
                creator: None,
                properties: [].into(),
            };
            let operations = vec![Operation::AddItem(item)];
            mailbox
                .apply(Mode::AllOrNothing, operations, NOW)
                .await
                .unwrap();
        });
    }
}

/// A client: what it says is answered at once.
pub(crate) struct Client {
    pub(crate) session: Session,
    pub(crate) now: Timestamp,
    pub(crate) notes: Vec<Note>,
    pub(crate) closed: bool,
}

impl Client {
    /// What the server has to say.
    pub(crate) fn hear(&mut self) -> String {
        String::from_utf8(self.hear_octets()).unwrap()
    }

    pub(crate) fn hear_octets(&mut self) -> Vec<u8> {
        let mut heard = Vec::new();
        while let Some(event) = block_on(self.session.poll(self.now)) {
            match event {
                Event::Send(octets) => heard.extend_from_slice(&octets),
                Event::Note(note) => self.notes.push(note),
                Event::StartTls => self.session.tls_established(),
                Event::Close => self.closed = true,
                other => panic!("{other:?}"),
            }
        }
        heard
    }

    /// Sends this and reads what comes.
    pub(crate) fn send(&mut self, text: impl AsRef<[u8]>) -> String {
        self.session.receive(text.as_ref().to_vec());
        self.hear()
    }

    /// Gives a command, tagged `t`.
    pub(crate) fn say(&mut self, command: &str) -> String {
        self.send(format!("t {command}\r\n"))
    }

    /// Gives a command that succeeds; its untagged responses.
    pub(crate) fn ok(&mut self, command: &str) -> String {
        self.ends(command, "t OK ")
    }

    /// Gives a command whose tagged response begins so; its untagged responses.
    pub(crate) fn ends(&mut self, command: &str, with: &str) -> String {
        let heard = self.say(command);
        let (untagged, tagged) = heard.split_at(heard.rfind("t ").map_or(0, |_| last_line(&heard)));
        assert!(tagged.starts_with(with), "{command}: {heard}");
        untagged.to_owned()
    }

    /// Appends a message and reads what comes.
    pub(crate) fn append(&mut self, mailbox: &str, message: &[u8]) -> String {
        let head = format!("t APPEND {mailbox} {{{}+}}\r\n", message.len());
        self.send([head.as_bytes(), message, b"\r\n"].concat())
    }
}

fn last_line(text: &str) -> usize {
    text.trim_end().rfind('\n').map_or(0, |at| at + 1)
}

fn address(name: &str) -> EmailAddress {
    format!("{name}@acme.wm.localhost").parse().unwrap()
}
