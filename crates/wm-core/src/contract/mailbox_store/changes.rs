//! What changed since a state, the event log, and waking for both.

use crate::contract::fixture::{INBOX, item, operation_at, write_body};
use crate::model::{ChangeMask, EventId, EventKind, Flags, FolderRole, Item};
use crate::traits::{Expect, ItemUpdate, LabelChange, ListBy, MailboxStore, Operation, StoreError};
use crate::{ItemId, ModSeq, Timestamp, Uid};
use futures::StreamExt;

use super::support::{
    T0, delete, deliver, flags, inbox, list_all, new_mailbox, place_of, role, set_flags, update,
};

pub async fn stamps_tell_what_changed(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let placed = deliver(store, mailbox, b"body", T0).await;
    let mut state = store.mailbox(mailbox).await.unwrap().highest_modseq;
    let keyword = ItemUpdate {
        keywords: LabelChange::Edit {
            add: ["$Label1".parse().unwrap()].into(),
            remove: [].into(),
        },
        ..ItemUpdate::default()
    };
    let category = ItemUpdate {
        categories: LabelChange::Replace(["Red".into()].into()),
        ..ItemUpdate::default()
    };
    let archive = role(store, mailbox, FolderRole::Archive).await.id;
    let steps = [
        (update(placed.item, flags(Flags::READ)), ChangeMask::READ),
        (
            update(placed.item, flags(Flags::FLAGGED | Flags::ANSWERED)),
            ChangeMask::FLAGS,
        ),
        (update(placed.item, keyword), ChangeMask::LABELS),
        (update(placed.item, category), ChangeMask::LABELS),
        (
            Operation::MoveItem {
                item: placed.item,
                expect: Expect::default(),
                to: archive.into(),
            },
            ChangeMask::FOLDER,
        ),
    ];
    for (operation, expected) in steps {
        let applied = store
            .apply(mailbox, operation_at(T0 + 5, vec![operation]))
            .await
            .unwrap();
        let item = store.item(mailbox, placed.item).await.unwrap();
        assert_eq!(item.stamps.since(state), expected);
        assert_eq!(
            (item.modseq(), item.modified),
            (applied.modseq, Timestamp::from_seconds(T0 + 5))
        );
        state = applied.modseq;
    }
}

pub async fn changes_bring_any_state_up_to_date(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let folder = inbox(store, mailbox).await.id;
    let archive = role(store, mailbox, FolderRole::Archive).await.id;
    // A replica at every state that ever was, each brought to the end and compared.
    let mut replicas = vec![(ModSeq(0), Vec::new())];
    let mut live: Vec<ItemId> = Vec::new();
    for step in 0..24_usize {
        let target = live.get(step % live.len().max(1)).copied();
        match (step % 6, target) {
            (3, Some(item)) => {
                let mv = Operation::MoveItem {
                    item,
                    expect: Expect::default(),
                    to: archive.into(),
                };
                store
                    .apply(mailbox, operation_at(T0, vec![mv]))
                    .await
                    .unwrap();
                live.retain(|i| *i != item);
            }
            (4, Some(item)) => {
                store
                    .apply(
                        mailbox,
                        operation_at(T0, vec![set_flags(item, Flags::READ)]),
                    )
                    .await
                    .unwrap();
            }
            (5, Some(item)) => {
                delete(store, mailbox, item).await;
                live.retain(|i| *i != item);
            }
            _ => live.push(
                deliver(store, mailbox, b"body", T0 + step as i64)
                    .await
                    .item,
            ),
        }
        let state = store.mailbox(mailbox).await.unwrap().highest_modseq;
        let by = ListBy::Uid {
            from: Uid::new(1).unwrap(),
            to: None,
        };
        replicas.push((
            state,
            list_all(store, mailbox, folder, &by, false, 50).await,
        ));
    }
    let (end, expected) = replicas.last().unwrap().clone();
    for (mut state, mut items) in replicas {
        loop {
            let changes = store.changes(mailbox, folder, state, 2).await.unwrap();
            let touched = |id| {
                changes.items.iter().any(|i| i.id == id)
                    || changes.gone.iter().any(|t| t.item == id)
            };
            items.retain(|i: &Item| !touched(i.id));
            items.extend(changes.items.iter().cloned());
            assert!(changes.upto > state || !changes.more);
            state = changes.upto;
            if !changes.more {
                break;
            }
        }
        items.sort_by_key(|i| i.uid);
        assert_eq!(state, end);
        assert_eq!(items, expected);
    }
}

pub async fn changes_never_divide_a_commit(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let folder = inbox(store, mailbox).await.id;
    let state = store.mailbox(mailbox).await.unwrap().highest_modseq;
    let body = write_body(
        store.body_writer(mailbox.organization).await.unwrap(),
        b"body",
    )
    .await;
    let five =
        (0..5).map(|n| Operation::AddItem(item(body, Timestamp::from_seconds(T0 + n), INBOX)));
    store
        .apply(mailbox, operation_at(T0, five.collect()))
        .await
        .unwrap();
    deliver(store, mailbox, b"other", T0).await;
    let first = store.changes(mailbox, folder, state, 2).await.unwrap();
    assert_eq!(
        (first.items.len(), first.more, first.upto),
        (5, true, state.next())
    );
    let second = store.changes(mailbox, folder, first.upto, 2).await.unwrap();
    assert_eq!((second.items.len(), second.more), (1, false));
}

pub async fn every_page_of_changes_is_a_whole_state(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let folder = inbox(store, mailbox).await.id;
    let start = store.mailbox(mailbox).await.unwrap().highest_modseq;
    let first = deliver(store, mailbox, b"body", T0).await.item;
    for flag in [Flags::FLAGGED, Flags::READ] {
        deliver(store, mailbox, b"body", T0).await;
        let change = operation_at(T0, vec![set_flags(first, flag)]);
        store.apply(mailbox, change).await.unwrap();
    }
    deliver(store, mailbox, b"body", T0).await;

    let (mut state, mut known) = (start, Vec::<Item>::new());
    loop {
        let changes = store.changes(mailbox, folder, state, 1).await.unwrap();
        for item in changes.items {
            let before = known.iter().position(|known| known.id == item.id);
            if item.stamps.entered <= state {
                let before = &known[before.unwrap_or_else(|| panic!("{} is unknown", item.id))];
                let told = item.stamps.since(state);
                let same = before.flags & !Flags::READ == item.flags & !Flags::READ;
                assert!(
                    same || told.contains(ChangeMask::FLAGS),
                    "{told:?} is not all"
                );
            }
            before.map(|before| known.remove(before));
            known.push(item);
        }
        state = changes.upto;
        if !changes.more {
            break;
        }
    }
    known.sort_by_key(|item| item.uid);
    let by = ListBy::Uid {
        from: Uid::new(1).unwrap(),
        to: None,
    };
    assert_eq!(
        known,
        list_all(store, mailbox, folder, &by, false, 50).await
    );
}

pub async fn a_state_before_the_horizon_is_refused(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let folder = inbox(store, mailbox).await.id;
    let early = store.mailbox(mailbox).await.unwrap().highest_modseq;
    let placed = deliver(store, mailbox, b"body", T0).await;
    delete(store, mailbox, placed.item).await;
    let horizon = store.mailbox(mailbox).await.unwrap().highest_modseq;
    store.truncate(mailbox, horizon).await.unwrap();
    assert_eq!(store.mailbox(mailbox).await.unwrap().horizon, horizon);

    let old = store.changes(mailbox, folder, early, 10).await;
    assert!(matches!(old, Err(StoreError::StateTooOld { horizon: h }) if h == horizon));
    assert!(matches!(
        store.folder_changes(mailbox, early).await,
        Err(StoreError::StateTooOld { .. })
    ));
    let position = EventId {
        modseq: early,
        index: 0,
    };
    assert!(matches!(
        store.events(mailbox, position, 10).await,
        Err(StoreError::StateTooOld { .. })
    ));
    assert!(
        store.changes(mailbox, folder, horizon, 10).await.is_ok(),
        "the horizon itself is a known state"
    );
    assert!(
        store.changes(mailbox, folder, ModSeq(0), 10).await.is_ok(),
        "zero starts afresh"
    );
}

pub async fn the_event_log_tells_what_happened_and_who_did_it(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let start = EventId {
        modseq: store.mailbox(mailbox).await.unwrap().highest_modseq,
        index: u32::MAX,
    };
    let (folder, archive) = (
        inbox(store, mailbox).await.id,
        role(store, mailbox, FolderRole::Archive).await.id,
    );
    let item = deliver(store, mailbox, b"body", T0).await.item;
    let expect = Expect::default();
    let copy = place_of(
        store
            .apply(
                mailbox,
                operation_at(
                    T0,
                    vec![
                        set_flags(item, Flags::READ),
                        Operation::CopyItem {
                            item,
                            expect,
                            to: archive.into(),
                        },
                    ],
                ),
            )
            .await,
    );
    let rest = vec![
        Operation::MoveItem {
            item,
            expect,
            to: archive.into(),
        },
        Operation::DeleteItem {
            item: copy.item,
            expect,
        },
    ];
    store
        .apply(mailbox, operation_at(T0 + 1, rest))
        .await
        .unwrap();

    let events = store.events(mailbox, start, 100).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|e| e.kind).collect();
    assert_eq!(
        kinds,
        [
            EventKind::Delivered { item, folder },
            EventKind::Changed {
                item,
                folder,
                what: ChangeMask::READ
            },
            EventKind::Copied {
                item: copy.item,
                folder: archive,
                of: item,
                from: folder
            },
            EventKind::Moved {
                item,
                from: folder,
                to: archive
            },
            EventKind::Deleted {
                item: copy.item,
                folder: archive
            },
        ]
    );
    assert!(events.is_sorted_by(|a, b| a.id < b.id));
    assert_eq!(events[1].origin, operation_at(0, vec![]).origin);
    assert_eq!(events[4].at, Timestamp::from_seconds(T0 + 1));
    let resumed = store.events(mailbox, events[1].id, 2).await.unwrap();
    assert_eq!(resumed, events[2..4]);
}

pub async fn watchers_wake_after_the_commit_is_visible(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let mut watch = store.watch(mailbox);
    let other = new_mailbox(store, 2).await;
    deliver(store, other, b"elsewhere", T0).await;
    let folder = inbox(store, mailbox).await.id;
    for n in 0..3 {
        let placed = deliver(store, mailbox, b"body", T0 + n).await;
        let modseq = store.item(mailbox, placed.item).await.unwrap().modseq();
        loop {
            let seen = watch.next().await.unwrap();
            let listed = store
                .changes(mailbox, folder, ModSeq(seen.0 - 1), 10)
                .await
                .unwrap();
            assert!(
                !listed.items.is_empty(),
                "what a watcher is told of can be read"
            );
            assert!(seen <= modseq);
            if seen == modseq {
                break;
            }
        }
    }
}
