//! A random history of a mailbox, watched by several clients: each is told a legal sequence of responses, and what
//! it believes after NOOP is what is there.

use std::collections::{BTreeMap, BTreeSet};

use futures::executor::block_on;
use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder;
use imap_codec::imap_types::fetch::MessageDataItem;
use imap_codec::imap_types::flag::FlagFetch;
use imap_codec::imap_types::response::{Code, Data, Response, Status};
use proptest::prelude::*;
use wm_core::access::MailboxSession;
use wm_core::model::{Flags, FolderRole, Item, Keyword};
use wm_core::traits::{
    Expect, ItemList, ItemUpdate, LabelChange, ListBy, MailboxStore, Mode, Operation,
};
use wm_core::{FolderId, ItemId, ModSeq, Uid};
use wm_imap::session::Event;

use crate::house::{Client, House, NOW};

const FOLDERS: [(&str, FolderRole); 2] = [
    ("INBOX", FolderRole::Inbox),
    ("Archive", FolderRole::Archive),
];
const CLIENTS: usize = 3;
const FLAGS: [&str; 5] = ["\\seen", "\\deleted", "\\flagged", "$forwarded", "$label1"];

/// A step of a history. Messages are chosen by number, of all that there are or that the client knows.
#[derive(Debug, Clone)]
enum Step {
    Deliver(usize),
    /// Changes made through another protocol.
    Flag(usize, usize, bool),
    Move(usize, usize),
    Copy(usize, usize),
    Delete(usize),
    MoveThereAndBack(usize, usize),
    /// Forget deletions up to some commits ago.
    Truncate(u64),
    Client(usize, Act),
}

/// What a client does.
#[derive(Debug, Clone)]
enum Act {
    /// Looks whether it believes what is there.
    Look,
    Noop,
    Select(usize),
    Examine(usize),
    Fetch(Set, &'static str),
    /// The answer to this is not read at once.
    FetchSlowly(Set),
    Store(Set, &'static str, usize, bool),
    Search(bool),
    Copy(Set, usize),
    Move(Set, usize),
    Append(usize),
    Expunge,
    UidExpunge(Set),
    Idle,
    Close,
}

/// Some neighbouring messages, named by number or by UID.
#[derive(Debug, Clone, Copy)]
struct Set {
    from: usize,
    count: usize,
    uid: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let (folder, nth, flag) = (|| 0..2_usize, || 0..100_usize, || 0..FLAGS.len());
    prop_oneof![
        5 => folder().prop_map(Step::Deliver),
        6 => (nth(), flag(), any::<bool>()).prop_map(|(n, flag, on)| Step::Flag(n, flag, on)),
        2 => (nth(), folder()).prop_map(|(n, to)| Step::Move(n, to)),
        1 => (nth(), folder()).prop_map(|(n, to)| Step::Copy(n, to)),
        2 => nth().prop_map(Step::Delete),
        1 => (nth(), folder()).prop_map(|(n, by)| Step::MoveThereAndBack(n, by)),
        1 => (0..6_u64).prop_map(Step::Truncate),
        20 => (0..CLIENTS, act()).prop_map(|(client, act)| Step::Client(client, act)),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let (folder, flag) = (|| 0..2_usize, || 0..FLAGS.len());
    let items = prop_oneof![Just("(FLAGS UID)"), Just("UID"), Just("BODY[TEXT]")];
    let kind = prop_oneof![Just("+"), Just("-"), Just("")];
    prop_oneof![
        3 => Just(Act::Look),
        2 => Just(Act::Noop),
        1 => folder().prop_map(Act::Select),
        1 => folder().prop_map(Act::Examine),
        3 => (set(), items).prop_map(|(set, items)| Act::Fetch(set, items)),
        2 => set().prop_map(Act::FetchSlowly),
        8 => (set(), kind, flag(), any::<bool>())
            .prop_map(|(set, kind, flag, silent)| Act::Store(set, kind, flag, silent)),
        1 => any::<bool>().prop_map(Act::Search),
        1 => (set(), folder()).prop_map(|(set, to)| Act::Copy(set, to)),
        1 => (set(), folder()).prop_map(|(set, to)| Act::Move(set, to)),
        1 => folder().prop_map(Act::Append),
        2 => Just(Act::Expunge),
        1 => set().prop_map(Act::UidExpunge),
        2 => Just(Act::Idle),
        1 => Just(Act::Close),
    ]
}

fn set() -> impl Strategy<Value = Set> {
    (0..100_usize, 0..6_usize, any::<bool>()).prop_map(|(from, count, uid)| Set {
        from,
        count,
        uid,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_client_is_told_a_legal_sequence_and_knows_the_mailbox_after_noop(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        let mut history = History::new();
        for step in steps {
            history.take(step);
        }
        for client in 0..CLIENTS {
            history.act(client, Act::Look);
        }
    }
}

struct History {
    house: House,
    mailbox: MailboxSession,
    folders: [FolderId; 2],
    clients: Vec<Reader>,
    written: u32,
    /// Which message has ever had a UID.
    named: BTreeMap<(usize, u32), String>,
}

/// A client and what it believes.
struct Reader {
    client: Client,
    folder: Option<usize>,
    messages: Vec<Belief>,
    command: Command,
    heard: Vec<u8>,
}

/// What a client knows of a message.
#[derive(Debug, Clone, Default)]
struct Belief {
    uid: Option<u32>,
    flags: Option<BTreeSet<String>>,
}

/// The command in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    None,
    /// Sequence numbers must not change meanwhile.
    Numbered,
    Other,
    Idle,
}

impl History {
    fn new() -> Self {
        let house = House::new();
        let mailbox = house.mailbox();
        let folders = block_on(mailbox.folders()).unwrap();
        let folders = FOLDERS.map(|(_, role)| {
            let found = folders.iter().find(|folder| folder.role == Some(role));
            found.unwrap().id
        });
        let clients = (0..CLIENTS)
            .map(|_| Reader {
                client: house.alice(),
                folder: None,
                messages: Vec::new(),
                command: Command::None,
                heard: Vec::new(),
            })
            .collect();
        let mut history = Self {
            house,
            mailbox,
            folders,
            clients,
            written: 0,
            named: BTreeMap::new(),
        };
        for _ in 0..3 {
            history.take(Step::Deliver(0));
        }
        for client in 0..CLIENTS {
            history.act(client, Act::Select(0));
        }
        history
    }

    fn take(&mut self, step: Step) {
        let expect = Expect::default();
        let operations = match step {
            Step::Client(client, act) => return self.act(client, act),
            Step::Deliver(folder) => {
                let message = self.message();
                self.house
                    .deliver(FOLDERS[folder].1, "", message.as_bytes());
                vec![]
            }
            Step::Flag(nth, flag, on) => {
                let update = update(FLAGS[flag], on);
                let change = |item| Operation::UpdateItem {
                    item,
                    expect,
                    update,
                };
                self.nth(nth).map(change).into_iter().collect()
            }
            Step::Move(nth, to) => {
                let to = self.folders[to].into();
                let change = |item| Operation::MoveItem { item, expect, to };
                self.nth(nth).map(change).into_iter().collect()
            }
            Step::MoveThereAndBack(nth, by) => {
                let Some(item) = self.nth(nth) else { return };
                let to = |folder: usize| self.folders[folder].into();
                let change = |folder| Operation::MoveItem {
                    item,
                    expect,
                    to: to(folder),
                };
                vec![change(by), change(1 - by)]
            }
            Step::Copy(nth, to) => {
                let to = self.folders[to].into();
                let change = |item| Operation::CopyItem { item, expect, to };
                self.nth(nth).map(change).into_iter().collect()
            }
            Step::Delete(nth) => {
                let change = |item| Operation::DeleteItem { item, expect };
                self.nth(nth).map(change).into_iter().collect()
            }
            Step::Truncate(ago) => {
                let (store, mailbox) = (&self.house.store, self.mailbox.mailbox_ref());
                let now = block_on(store.mailbox(mailbox)).unwrap().highest_modseq;
                let horizon = ModSeq(now.0.saturating_sub(ago));
                block_on(store.truncate(mailbox, horizon)).unwrap();
                vec![]
            }
        };
        if !operations.is_empty() {
            block_on(self.mailbox.apply(Mode::AllOrNothing, operations, NOW)).unwrap();
        }
        // What is told to those who did not ask.
        for client in &mut self.clients {
            if client.command == Command::Idle {
                client.hear();
                client.understand(&mut self.named);
            } else if client.command == Command::None {
                assert_eq!(client.client.hear(), "", "nothing was asked");
            }
        }
    }

    /// A message that can be told from all others, and is too large to be fetched in one go.
    fn message(&mut self) -> String {
        self.written += 1;
        format!(
            "X-Number: {}\r\n\r\n{}\r\n",
            self.written,
            "x".repeat(20_000)
        )
    }

    fn listed(&self, folder: usize) -> Vec<Item> {
        let list = ItemList {
            folder: self.folders[folder],
            by: ListBy::Uid {
                from: Uid::new(1).unwrap(),
                to: None,
            },
            descending: false,
            after: None,
            limit: 10_000,
        };
        block_on(self.mailbox.items(list)).unwrap().entries
    }

    fn nth(&self, nth: usize) -> Option<ItemId> {
        let all: Vec<Item> = (0..2).flat_map(|folder| self.listed(folder)).collect();
        (!all.is_empty()).then(|| all[nth % all.len()].id)
    }

    fn act(&mut self, number: usize, act: Act) {
        let client = &mut self.clients[number];
        client.end_command(&mut self.named);
        let needs_mailbox = !matches!(
            act,
            Act::Noop | Act::Look | Act::Select(_) | Act::Examine(_) | Act::Append(_) | Act::Idle
        );
        if needs_mailbox && client.folder.is_none() {
            return;
        }
        let named = &mut self.named;
        match act {
            Act::Look => self.look(number),
            Act::Noop => drop(client.give("NOOP", Command::Other, named)),
            Act::Select(folder) => client.select("SELECT", folder, named),
            Act::Examine(folder) => client.select("EXAMINE", folder, named),
            Act::Fetch(set, items) => client.on(set, "FETCH", items, named),
            Act::FetchSlowly(set) => {
                if let Some((command, in_progress)) = client.command_on(set, "FETCH", "BODY[]") {
                    client.command = in_progress;
                    client.client.session.receive(format!("t {command}\r\n"));
                    if let Some(Event::Send(octets)) = block_on(client.client.session.poll(NOW)) {
                        client.heard.extend_from_slice(&octets);
                    }
                }
            }
            Act::Store(set, kind, flag, silent) => client.store(set, kind, flag, silent, named),
            Act::Search(uid) => {
                let known = client.messages.len();
                let command = if uid { "UID SEARCH ALL" } else { "SEARCH ALL" };
                let in_progress = if uid {
                    Command::Other
                } else {
                    Command::Numbered
                };
                let data = client.give(command, in_progress, named);
                if !uid {
                    let all: Vec<u32> = (1..=known as u32).collect();
                    assert!(all.starts_with(&data.found), "{data:?}");
                }
            }
            Act::Copy(set, to) => client.on(set, "COPY", FOLDERS[to].0, named),
            Act::Move(set, to) => client.on(set, "MOVE", FOLDERS[to].0, named),
            Act::Append(to) => {
                let message = self.message();
                let client = &mut self.clients[number];
                let command = format!(
                    "APPEND {} (\\Flagged) {{{}+}}\r\n{message}",
                    FOLDERS[to].0,
                    message.len()
                );
                let data = client.give(&command, Command::Other, &mut self.named);
                assert!(data.ok);
            }
            Act::Expunge => drop(client.give("EXPUNGE", Command::Other, named)),
            Act::UidExpunge(set) => {
                client.on(Set { uid: true, ..set }, "EXPUNGE", "", named);
            }
            Act::Idle => {
                client.client.session.receive("t IDLE\r\n");
                client.command = Command::Idle;
                client.hear();
                client.understand(named);
            }
            Act::Close => {
                let data = client.give("CLOSE", Command::Other, named);
                assert!(data.ok);
                client.folder = None;
                client.messages.clear();
            }
        }
    }

    /// NOOP, then a look at what is new: the client believes what is in the store.
    fn look(&mut self, number: usize) {
        let client = &mut self.clients[number];
        client.give("NOOP", Command::Other, &mut self.named);
        client.ask_for_unknown(&mut self.named);
        let Some(folder) = client.folder else { return };
        let believed: Vec<_> = client
            .messages
            .iter()
            .map(|belief| (belief.uid.unwrap(), belief.flags.clone().unwrap()))
            .collect();
        let listed: Vec<_> = self
            .listed(folder)
            .into_iter()
            .map(|item| (item.uid.as_u32(), flags_of(&item)))
            .collect();
        assert_eq!(believed, listed, "client {number}");
    }
}

/// What came of a command, beside what is believed of messages.
#[derive(Debug, Default)]
struct Told {
    ok: bool,
    found: Vec<u32>,
    uid_next: Option<u32>,
}

impl Reader {
    /// Reads the rest of what an earlier command is answered.
    fn end_command(&mut self, named: &mut BTreeMap<(usize, u32), String>) {
        if self.command == Command::Idle {
            self.client.session.receive("DONE\r\n");
        }
        if self.command != Command::None {
            self.hear();
            self.understand(named);
        }
        assert_eq!(self.command, Command::None);
    }

    fn hear(&mut self) {
        let octets = self.client.hear_octets();
        self.heard.extend(octets);
        assert!(!self.client.closed);
        let notes = &self.client.notes;
        assert!(notes.len() == 1, "only the log-in: {notes:?}");
    }

    fn give(
        &mut self,
        command: &str,
        kind: Command,
        named: &mut BTreeMap<(usize, u32), String>,
    ) -> Told {
        self.command = kind;
        self.client.session.receive(format!("t {command}\r\n"));
        self.hear();
        let told = self.understand(named);
        assert_eq!(self.command, Command::None, "{command} was not answered");
        told
    }

    fn select(&mut self, command: &str, folder: usize, named: &mut BTreeMap<(usize, u32), String>) {
        self.messages.clear();
        self.folder = Some(folder);
        let told = self.give(
            &format!("{command} {}", FOLDERS[folder].0),
            Command::Other,
            named,
        );
        assert!(told.ok);
        self.ask_for_unknown(named);
        let last = self.messages.last().map_or(0, |belief| belief.uid.unwrap());
        assert!(told.uid_next.unwrap() > last);
    }

    /// The command on a set of messages, if it names any.
    fn command_on(&self, set: Set, command: &str, rest: &str) -> Option<(String, Command)> {
        let known = self.messages.len();
        let from = set.from % known.max(1);
        let to = (from + set.count).min(known.checked_sub(1)?);
        let rest = if rest.is_empty() {
            String::new()
        } else {
            format!(" {rest}")
        };
        if set.uid {
            let uid = |place: usize| self.messages[place].uid;
            let (from, to) = (uid(from)?, uid(to)?);
            return Some((format!("UID {command} {to}:{from}{rest}"), Command::Other));
        }
        let numbered = matches!(command, "FETCH" | "STORE" | "SEARCH");
        let kind = if numbered {
            Command::Numbered
        } else {
            Command::Other
        };
        Some((format!("{command} {}:{}{rest}", from + 1, to + 1), kind))
    }

    fn on(
        &mut self,
        set: Set,
        command: &str,
        rest: &str,
        named: &mut BTreeMap<(usize, u32), String>,
    ) {
        if let Some((command, kind)) = self.command_on(set, command, rest) {
            self.give(&command, kind, named);
        }
    }

    fn store(
        &mut self,
        set: Set,
        kind: &str,
        flag: usize,
        silent: bool,
        named: &mut BTreeMap<(usize, u32), String>,
    ) {
        let known = self.messages.len();
        let flag = FLAGS[flag];
        let silent_item = if silent { ".SILENT" } else { "" };
        let rest = format!("{kind}FLAGS{silent_item} ({flag})");
        let Some((command, in_progress)) = self.command_on(set, "STORE", &rest) else {
            return;
        };
        let from = set.from % known;
        let places = from..=(from + set.count).min(known - 1);
        let before = self.messages.clone();
        if silent {
            // A client takes its change for done.
            for belief in &mut self.messages[places.clone()] {
                let Some(flags) = &mut belief.flags else {
                    continue;
                };
                match kind {
                    "+" => drop(flags.insert(flag.to_owned())),
                    "-" => drop(flags.remove(flag)),
                    _ => *flags = [flag.to_owned()].into(),
                }
            }
        }
        let told = self.give(&command, in_progress, named);
        if silent && !told.ok {
            // Read-only, or some were gone: what became of the others has to be asked.
            let uids: BTreeSet<u32> = before[places]
                .iter()
                .filter_map(|belief| belief.uid)
                .collect();
            for belief in &mut self.messages {
                if belief.uid.is_some_and(|uid| uids.contains(&uid)) {
                    belief.flags = None;
                }
            }
        }
    }

    fn ask_for_unknown(&mut self, named: &mut BTreeMap<(usize, u32), String>) {
        for _ in 0..10 {
            let unknown = |belief: &Belief| belief.uid.is_none() || belief.flags.is_none();
            let Some(first) = self.messages.iter().position(unknown) else {
                return;
            };
            let command = format!(
                "FETCH {}:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (X-Number)])",
                first + 1
            );
            self.give(&command, Command::Numbered, named);
            // Messages that are gone cannot be fetched; the server says so as soon as it may.
            self.give("NOOP", Command::Other, named);
        }
        panic!("some messages remain unknown: {:?}", self.messages);
    }

    /// Takes in what has been heard.
    fn understand(&mut self, named: &mut BTreeMap<(usize, u32), String>) -> Told {
        let mut told = Told::default();
        let heard = std::mem::take(&mut self.heard);
        let mut rest = &heard[..];
        while !rest.is_empty() {
            let (left, response) = ResponseCodec::default().decode(rest).unwrap();
            rest = left;
            match response {
                Response::Data(data) => self.data(data, &mut told, named),
                Response::Status(status) => {
                    if let Some(Code::UidNext(uid)) = status.code() {
                        told.uid_next = Some(uid.get());
                    }
                    assert!(
                        !matches!(status, Status::Bad { .. } | Status::Bye { .. }),
                        "{status:?}"
                    );
                    if status.tag().is_some() {
                        told.ok = matches!(status, Status::Ok { .. });
                        self.command = Command::None;
                        assert!(rest.is_empty(), "nothing follows the tagged response");
                    }
                }
                Response::CommandContinuationRequest(_) => assert_eq!(self.command, Command::Idle),
            }
        }
        told
    }

    fn data(
        &mut self,
        data: Data<'_>,
        told: &mut Told,
        named: &mut BTreeMap<(usize, u32), String>,
    ) {
        assert_ne!(
            self.command,
            Command::None,
            "{data:?} when nothing was asked"
        );
        match data {
            Data::Exists(count) => {
                let count = count as usize;
                assert!(count >= self.messages.len(), "EXISTS never shrinks");
                self.messages.resize_with(count, Belief::default);
            }
            Data::Expunge(number) => {
                assert_ne!(self.command, Command::Numbered, "numbers are in use");
                let place = number.get() as usize - 1;
                assert!(place < self.messages.len(), "{number} is no message");
                self.messages.remove(place);
            }
            Data::Fetch { seq, items } => {
                let place = seq.get() as usize - 1;
                assert!(place < self.messages.len(), "{seq} is no message");
                self.fetched(place, items.as_ref(), named);
            }
            Data::Search(found) => told.found = found.iter().map(|n| n.get()).collect(),
            Data::Flags(_) | Data::Recent(0) => {}
            other => panic!("{other:?}"),
        }
    }

    fn fetched(
        &mut self,
        place: usize,
        items: &[MessageDataItem<'_>],
        named: &mut BTreeMap<(usize, u32), String>,
    ) {
        for item in items {
            match item {
                MessageDataItem::Uid(uid) => {
                    let uid = uid.get();
                    let belief = &mut self.messages[place];
                    assert_eq!(*belief.uid.get_or_insert(uid), uid, "a UID never changes");
                    let before = self.messages[..place].iter().rev().find_map(|b| b.uid);
                    let after = self.messages[place + 1..].iter().find_map(|b| b.uid);
                    assert!(before.is_none_or(|other| other < uid), "UIDs rise");
                    assert!(after.is_none_or(|other| uid < other), "UIDs rise");
                }
                MessageDataItem::Flags(flags) => {
                    let name = |flag: &FlagFetch<'_>| match flag {
                        FlagFetch::Flag(flag) => flag.to_string().to_lowercase(),
                        FlagFetch::Recent => panic!("no message is recent"),
                    };
                    self.messages[place].flags = Some(flags.iter().map(name).collect());
                }
                MessageDataItem::BodyExt {
                    section: Some(section),
                    data,
                    ..
                } if format!("{section:?}").contains("HeaderFields") => {
                    let text =
                        String::from_utf8(data.0.as_ref().unwrap().as_ref().to_vec()).unwrap();
                    let uid = self.messages[place].uid.unwrap();
                    let first = named
                        .entry((self.folder.unwrap(), uid))
                        .or_insert(text.clone());
                    assert_eq!(*first, text, "no UID is given to two messages");
                }
                _ => {}
            }
        }
    }
}

fn update(flag: &str, on: bool) -> ItemUpdate {
    let known = match flag {
        "\\seen" => Flags::READ,
        "\\deleted" => Flags::DELETED,
        "\\flagged" => Flags::FLAGGED,
        "$forwarded" => Flags::FORWARDED,
        keyword => {
            let (keyword, none): (Keyword, _) = (keyword.parse().unwrap(), BTreeSet::new());
            let keywords = match on {
                true => LabelChange::Edit {
                    add: [keyword].into(),
                    remove: none,
                },
                false => LabelChange::Edit {
                    add: none,
                    remove: [keyword].into(),
                },
            };
            return ItemUpdate {
                keywords,
                ..ItemUpdate::default()
            };
        }
    };
    match on {
        true => ItemUpdate {
            set: known,
            ..ItemUpdate::default()
        },
        false => ItemUpdate {
            clear: known,
            ..ItemUpdate::default()
        },
    }
}

fn flags_of(item: &Item) -> BTreeSet<String> {
    let known = [
        (Flags::READ, FLAGS[0]),
        (Flags::DELETED, FLAGS[1]),
        (Flags::FLAGGED, FLAGS[2]),
        (Flags::FORWARDED, FLAGS[3]),
    ];
    let system = known.iter().filter(|(flag, _)| item.flags.contains(*flag));
    let keywords = item
        .keywords
        .iter()
        .map(|keyword| keyword.as_str().to_lowercase());
    system
        .map(|(_, name)| (*name).to_owned())
        .chain(keywords)
        .collect()
}
