//! Whatever a client sends, it is answered in responses that can be read and that are legal where they stand, and
//! never in more at a time than a piece of a message. The first octet chooses whether it has logged in and selected a
//! mailbox, the second the size of the pieces its input comes in.
#![no_main]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::executor::block_on;
use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder;
use imap_codec::imap_types::response::{Data, Response};
use libfuzzer_sys::fuzz_target;
use wm_core::access::Mailboxes;
use wm_core::contract::audit;
use wm_core::model::{Names, UserRole};
use wm_core::traits::{
    DirectoryAdmin, DirectoryChange, IdSource, MailboxStore, NewOrganization, NewUser,
};
use wm_core::{
    AccountId, EmailAddress, Limits, MailboxRef, OrganizationId, Secret, Timestamp, UserId,
};
use wm_imap::session::{Config, Event, Services, Session};
use wm_store::directory::{DirectoryOptions, StoredDirectory};
use wm_store::{Store, StoreParts};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const ORGANIZATION: OrganizationId = OrganizationId::from_u128(1);
const ALICE: UserId = UserId::from_u128(2);
/// After how many inputs everything is made anew, so that what they store does not pile up.
const RENEWED_AFTER: u32 = 2000;

static HOUSE: Mutex<Option<(u32, House)>> = Mutex::new(None);

fuzz_target!(|input: &[u8]| {
    let [settings, size, stream @ ..] = input else {
        return;
    };
    let mut house = HOUSE.lock().expect("not poisoned");
    let (used, house) = house.get_or_insert_with(|| (0, House::new()));
    house.serve(*settings, stream.chunks(usize::from(*size) + 1));
    *used += 1;
    if *used > RENEWED_AFTER {
        (*used, *house) = (0, House::new());
    }
});

struct House {
    store: Arc<Store>,
    services: Services,
    config: Arc<Config>,
}

struct Numbers(AtomicU64);

impl IdSource for Numbers {
    fn fresh(&self) -> u128 {
        self.0.fetch_add(1, Ordering::Relaxed).into()
    }
}

impl House {
    fn new() -> Self {
        let store = Store::open(StoreParts::in_memory().expect("randomness")).expect("a store");
        let store = Arc::new(store);
        let mut options = DirectoryOptions::default();
        options.cost.memory = 8;
        options.cost.passes = 1;
        let directory = block_on(StoredDirectory::open(&store, options)).expect("a directory");
        let directory = Arc::new(directory);
        let address: EmailAddress = "alice@acme.wm.localhost".parse().expect("an address");
        let organization = NewOrganization {
            id: ORGANIZATION,
            account: AccountId::from_u64(42).expect("an account"),
            alias: "acme".parse().expect("an alias"),
            test_domain: address.domain().clone(),
            at: NOW,
        };
        let made = directory.create_organization(organization, audit("CreateOrganization"));
        block_on(made).expect("an organization");
        let user = NewUser {
            id: ALICE,
            name: "alice".into(),
            names: Names::default(),
            role: UserRole::User,
            password: Some(Secret::new("Zebra+crossing1".into())),
            at: NOW,
        };
        let enable = DirectoryChange::Enable(ALICE.into(), address);
        for change in [DirectoryChange::CreateUser(user), enable] {
            let changed = directory.change(ORGANIZATION, change, audit("Change"));
            block_on(changed).expect("a user");
        }
        let limits = Limits { message_size: 2000, ..Limits::default() };
        Self {
            services: Services {
                mailboxes: Mailboxes::new(store.clone(), directory.clone()),
                directory,
                ids: Arc::new(Numbers(AtomicU64::new(1))),
            },
            store,
            config: Arc::new(Config { command_size: 300, ..Config::new(&limits) }),
        }
    }

    fn serve<'a>(&self, settings: u8, pieces: impl Iterator<Item = &'a [u8]>) {
        let mailbox = MailboxRef { organization: ORGANIZATION, mailbox: ALICE.into() };
        drop(block_on(self.store.remove(mailbox)));
        let session = Session::new(self.config.clone(), self.services.clone(), "fuzz", true, NOW);
        let mut client = Client { session, heard: Vec::new(), exists: 0 };
        client.hear();
        if settings & 1 != 0 {
            client.say(b"a LOGIN alice Zebra+crossing1\r\n");
        }
        if settings & 2 != 0 {
            for text in ["Subject: a\r\n\r\none\r\n", "Subject: b\r\n\r\ntwo\r\n"] {
                client.say(format!("b APPEND INBOX {{{}+}}\r\n{text}\r\n", text.len()).as_bytes());
            }
            client.say(b"c SELECT INBOX\r\n");
        }
        for piece in pieces {
            client.say(piece);
        }
    }
}

struct Client {
    session: Session,
    heard: Vec<u8>,
    exists: u32,
}

impl Client {
    fn say(&mut self, octets: &[u8]) {
        self.session.receive(octets.to_vec());
        self.hear();
    }

    fn hear(&mut self) {
        while let Some(event) = block_on(self.session.poll(NOW)) {
            match event {
                Event::Send(octets) => {
                    assert!(octets.len() < 100_000);
                    self.heard.extend_from_slice(&octets);
                }
                Event::StartTls => self.session.tls_established(),
                _ => {}
            }
        }
        let heard = std::mem::take(&mut self.heard);
        let mut rest = &heard[..];
        while !rest.is_empty() {
            // imap-codec does not know these.
            if rest.starts_with(b"* ID ") || rest.starts_with(b"* NAMESPACE ") {
                let end = rest.iter().position(|&b| b == b'\n').expect("a line");
                rest = &rest[end + 1..];
                continue;
            }
            match ResponseCodec::default().decode(rest) {
                Ok((left, response)) => {
                    rest = left;
                    self.check(&response);
                }
                // Nor deep body structures, nor NUL in a literal.
                Err(error) => {
                    let text = rest.escape_ascii().to_string();
                    let known = text.contains(" FETCH (") && (text.contains("BODY") || text.contains("RFC822"));
                    assert!(known, "{error:?}: {text}");
                    return;
                }
            }
        }
    }

    fn check(&mut self, response: &Response<'_>) {
        match response {
            Response::Data(Data::Exists(count)) => self.exists = *count,
            Response::Data(Data::Expunge(number)) => {
                assert!(number.get() <= self.exists);
                self.exists -= 1;
            }
            Response::Data(Data::Fetch { seq, .. }) => assert!(seq.get() <= self.exists),
            _ => {}
        }
    }
}
