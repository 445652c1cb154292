//! Finding items by property and by text, without an index.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{NOW, mailbox, message};
use futures::executor::block_on;
use std::time::Duration;
use wm_core::{
    FolderId, ItemId, MailboxRef, Timestamp,
    contract::operation_at,
    model::{Flags, FolderRole, Item, ItemClass},
    traits::{
        MailboxSearch, MailboxStore, NewItem, Operation, Outcome, SearchQuery, StoreError, Term,
    },
};
use wm_store::Store;

const LUNCH: &str = "From: Zoë Quine <zoe@acme.example>\r\nTo: bob@acme.example\r\n\
    Cc: =?utf-8?q?R=C3=B6sti?= <roesti@acme.example>\r\nSubject: Lunch\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n\
    TWVldCBhdCB0aGUgQ0FGw4kgYXQgbm9vbi4=\r\n";
const REPORT: &str = "From: bob@acme.example\r\nSender: office@acme.example\r\n\
    To: zoe@acme.example\r\nSubject: Report\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/alternative; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain\r\n\r\nfigures\r\n\
    --b\r\nContent-Type: text/html\r\n\r\n<p>fig<b>ures</b> <i>enclosed</i></p>\r\n--b--\r\n";

#[test]
fn items_are_found_by_what_they_say() {
    let (store, mailbox) = (common::memory(), mailbox(1));
    block_on(async {
        let lunch = put(&store, mailbox, LUNCH, 1).await;
        let report = put(&store, mailbox, REPORT, 2).await;
        let both = vec![report, lunch];
        let text = |text: &str| vec![Term::Text(text.into())];
        for (terms, found) in [
            (vec![Term::Subject("LUNCH".into())], vec![lunch]),
            (vec![Term::From("ZOË".into())], vec![lunch]),
            (vec![Term::From("office@".into())], vec![report]),
            (vec![Term::To("zoe@".into())], vec![report]),
            (vec![Term::To("rösti".into())], vec![lunch]),
            (vec![Term::Body("café".into())], vec![lunch]),
            (vec![Term::Body("figures enclosed".into())], vec![report]),
            (vec![Term::Body("report".into())], vec![]),
            (text("report"), vec![report]),
            (text("zoe"), both.clone()),
            (text("acme.example"), both.clone()),
            (vec![], both.clone()),
            (
                vec![Term::Not(Box::new(Term::Body("noon".into())))],
                vec![report],
            ),
            (
                vec![Term::Any(vec![
                    Term::Body("noon".into()),
                    Term::Subject("report".into()),
                ])],
                both.clone(),
            ),
            (
                vec![Term::Text("zoe".into()), Term::Body("noon".into())],
                vec![lunch],
            ),
            (vec![Term::Any(vec![])], vec![]),
        ] {
            let what = format!("{terms:?}");
            assert_eq!(
                search(&store, mailbox, vec![], terms, 9).await,
                found,
                "{what}"
            );
        }
    });
}

#[test]
fn items_are_found_by_flag_and_time_and_folder_newest_first() {
    let (store, mailbox) = (common::memory(), mailbox(1));
    block_on(async {
        let mut items = Vec::new();
        for day in 0..300 {
            items.push(put(&store, mailbox, "Subject: one of many\r\n\r\n", day).await);
        }
        let changes = (0..300).step_by(3).map(|nth| Operation::UpdateItem {
            item: items[nth],
            expect: Default::default(),
            update: wm_core::traits::ItemUpdate {
                set: Flags::READ,
                ..Default::default()
            },
        });
        store
            .apply(mailbox, operation_at(0, changes.collect()))
            .await
            .unwrap();
        let archive = role(&store, mailbox, FolderRole::Archive).await;
        let moves = (0..300)
            .filter(|nth| nth % 2 == 1)
            .map(|nth| Operation::MoveItem {
                item: items[nth],
                expect: Default::default(),
                to: archive.into(),
            });
        store
            .apply(mailbox, operation_at(0, moves.collect()))
            .await
            .unwrap();
        let expected = |wanted: &dyn Fn(usize) -> bool| -> Vec<ItemId> {
            (0..300)
                .rev()
                .filter(|nth| wanted(*nth))
                .map(|nth| items[nth])
                .collect()
        };

        let all = search(&store, mailbox, vec![], vec![], 999).await;
        assert_eq!(all, expected(&|_| true), "over both folders in one order");
        let few = search(&store, mailbox, vec![], vec![], 5).await;
        assert_eq!(few, &all[..5]);
        let read = vec![Term::Has(Flags::READ), Term::ReceivedBefore(days(100))];
        let read = search(&store, mailbox, vec![], read, 999).await;
        assert_eq!(read, expected(&|nth| nth % 3 == 0 && nth < 100));
        let between = vec![
            Term::ReceivedFrom(days(10)),
            Term::ReceivedFrom(days(20)),
            Term::ReceivedBefore(days(200)),
            Term::Lacks(Flags::READ),
        ];
        let between = search(&store, mailbox, vec![archive], between, 999).await;
        let wanted =
            |nth: usize| nth % 2 == 1 && !nth.is_multiple_of(3) && (20..200).contains(&nth);
        assert_eq!(between, expected(&wanted));
        let none = vec![Term::ReceivedFrom(days(9)), Term::ReceivedBefore(days(9))];
        assert!(search(&store, mailbox, vec![], none, 9).await.is_empty());
    });
}

#[test]
fn what_is_no_message_is_searched_as_text() {
    let (store, mailbox) = (common::memory(), mailbox(1));
    block_on(async {
        let body = common::write(&store, b"BEGIN:VCARD\r\nFN:Ada Lovelace\r\nEND:VCARD\r\n").await;
        let mut card = message(body.unwrap(), "");
        card.class = ItemClass::new(ItemClass::CONTACT);
        card.folder = FolderRole::Contacts.into();
        let card = add(&store, mailbox, card).await;
        let found = search(
            &store,
            mailbox,
            vec![],
            vec![Term::Text("ada love".into())],
            9,
        );
        assert_eq!(found.await, [card]);
    });
}

#[test]
fn a_query_that_is_nested_without_end_or_names_no_folder_is_refused() {
    let (store, mailbox) = (common::memory(), mailbox(1));
    block_on(async {
        store.create(mailbox, NOW).await.unwrap();
        let nested = (0..10_000).fold(Term::Has(Flags::READ), |term, _| Term::Not(Box::new(term)));
        let query = SearchQuery {
            folders: vec![],
            terms: vec![nested],
        };
        let refused = store.search(mailbox, query, 9).await;
        assert!(
            matches!(refused, Err(StoreError::TooMany { limit: 32, .. })),
            "{refused:?}"
        );
        let query = SearchQuery {
            folders: vec![FolderId(999)],
            terms: vec![],
        };
        let refused = store.search(mailbox, query, 9).await;
        assert!(
            matches!(refused, Err(StoreError::NoSuchFolder(_))),
            "{refused:?}"
        );
    });
}

async fn search(
    store: &Store,
    mailbox: MailboxRef,
    folders: Vec<FolderId>,
    terms: Vec<Term>,
    limit: usize,
) -> Vec<ItemId> {
    let query = SearchQuery { folders, terms };
    let hits = store.search(mailbox, query, limit).await.unwrap();
    for hit in &hits {
        let Item { folder, .. } = store.item(mailbox, hit.item).await.unwrap();
        assert_eq!(folder, hit.folder);
    }
    hits.into_iter().map(|hit| hit.item).collect()
}

async fn put(store: &Store, mailbox: MailboxRef, content: &str, day: u64) -> ItemId {
    let body = common::write(store, content.as_bytes()).await.unwrap();
    let mut item = message(body, "");
    item.content.prefix.clear();
    item.content.summary = wm_core::content::summarize(content.as_bytes());
    item.received = days(day);
    add(store, mailbox, item).await
}

async fn add(store: &Store, mailbox: MailboxRef, item: NewItem) -> ItemId {
    let changes = operation_at(NOW.as_seconds(), vec![Operation::AddItem(item)]);
    let added = store.apply(mailbox, changes).await.unwrap();
    match added.outcomes[..] {
        [Outcome::Item { item, .. }] => item,
        ref other => panic!("{other:?}"),
    }
}

async fn role(store: &Store, mailbox: MailboxRef, role: FolderRole) -> FolderId {
    let folders = store.folders(mailbox).await.unwrap();
    folders
        .iter()
        .find(|folder| folder.role == Some(role))
        .unwrap()
        .id
}

fn days(days: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(days * 24 * 60 * 60))
}
