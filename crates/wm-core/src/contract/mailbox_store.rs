//! What every [`MailboxStore`] has to do. Use [`mailbox_store_contract!`](crate::mailbox_store_contract).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed check is a failed test"
)]
#![allow(missing_docs, reason = "each check's name says what it checks")]

use futures::{StreamExt, TryStreamExt, future};

use super::fixture::{INBOX, item, mailbox, operation_at, organization, write_body};
use crate::model::{
    ChangeMask, EventId, EventKind, Flags, Folder, FolderClass, FolderRole, Item, PropertyName,
    PropertySet, PropertyValue,
};
use crate::traits::{
    Applied, Changeset, Expect, FolderUpdate, ItemContent, ItemList, ItemUpdate, LabelChange,
    ListBy, MailboxStore, Mode, NewFolder, Operation, Outcome, StoreError,
};
use crate::{FolderId, ItemId, MailboxRef, ModSeq, Timestamp, Uid};

/// Makes a test of every check, for the store that the expression makes.
#[macro_export]
macro_rules! mailbox_store_contract {
    ($make:expr) => {
        $crate::contract_cases!(mailbox_store, $make;
            a_new_mailbox_has_its_well_known_folders,
            creating_a_mailbox_again_changes_nothing,
            reading_a_mailbox_that_is_not_there_finds_nothing,
            an_item_is_read_as_it_was_written,
            a_body_that_nobody_finished_cannot_be_referred_to,
            every_commit_takes_the_next_number,
            uids_rise_and_are_never_given_twice,
            one_refused_operation_refuses_all,
            operations_on_their_own_are_refused_alone,
            later_operations_see_earlier_ones,
            a_change_of_nothing_is_no_commit,
            flags_set_by_two_clients_are_both_kept,
            an_expectation_that_fails_changes_nothing,
            stamps_tell_what_changed,
            a_new_content_takes_the_place_of_the_old,
            a_moved_item_keeps_its_id_and_gets_a_new_uid,
            a_copy_is_an_item_of_its_own,
            a_deleted_item_leaves_a_tombstone,
            folders_count_what_is_in_them,
            folders_are_made_renamed_moved_and_deleted,
            folders_refuse_what_makes_no_sense,
            a_deleted_folder_takes_its_items_along,
            pages_follow_each_other_without_gap_or_overlap,
            received_ranges_select_what_ages_out,
            changes_bring_any_state_up_to_date,
            changes_never_divide_a_commit,
            every_page_of_changes_is_a_whole_state,
            a_state_before_the_horizon_is_refused,
            the_event_log_tells_what_happened_and_who_did_it,
            watchers_wake_after_the_commit_is_visible,
            concurrent_writers_lose_nothing,
            a_full_mailbox_refuses,
            properties_are_kept_without_loss,
            mailboxes_share_nothing,
            organizations_share_nothing,
            a_removed_mailbox_is_gone,
        );
    };
}

const T0: i64 = 1_800_000_000;

pub async fn a_new_mailbox_has_its_well_known_folders(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let folders = store.folders(mailbox).await.unwrap();
    assert_eq!(folders.len(), FolderRole::ALL.len());
    for role in FolderRole::ALL {
        let folder = folders.iter().find(|f| f.role == Some(role)).unwrap();
        assert_eq!(folder.name, role.default_name());
        assert_eq!(folder.class, role.class());
        assert_eq!(
            (folder.parent, folder.total, folder.unread, folder.size),
            (None, 0, 0, 0)
        );
        assert_eq!(store.folder(mailbox, folder.id).await.unwrap(), *folder);
    }
}

pub async fn creating_a_mailbox_again_changes_nothing(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let placed = deliver(store, mailbox, b"body", T0).await;
    let before = store.mailbox(mailbox).await.unwrap();
    store
        .create(mailbox, Timestamp::from_seconds(T0 + 9))
        .await
        .unwrap();
    assert_eq!(store.mailbox(mailbox).await.unwrap(), before);
    assert!(store.item(mailbox, placed.item).await.is_ok());
}

pub async fn reading_a_mailbox_that_is_not_there_finds_nothing(store: &dyn MailboxStore) {
    new_mailbox(store, 1).await;
    let absent = mailbox(2);
    let error = store.mailbox(absent).await.unwrap_err();
    assert!(
        matches!(error, StoreError::NoSuchMailbox(m) if m == absent),
        "{error}"
    );
    assert!(matches!(
        store.folders(absent).await,
        Err(StoreError::NoSuchMailbox(_))
    ));
}

pub async fn an_item_is_read_as_it_was_written(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    for size in [0, 1, 1000, 65_535, 65_536, 65_537, 300_000] {
        let octets: Vec<u8> = (0..size).map(|i: u32| (i % 251) as u8).collect();
        let body = write_body(
            store.body_writer(mailbox.organization).await.unwrap(),
            &octets,
        )
        .await;
        assert_eq!(body.size, u64::from(size));
        let new = item(body, Timestamp::from_seconds(T0), INBOX);
        let content = [new.content.prefix.clone(), octets].concat();
        let placed = place_of(
            store
                .apply(mailbox, operation_at(T0, vec![Operation::AddItem(new)]))
                .await,
        );
        let stored = store.item(mailbox, placed.item).await.unwrap();
        assert_eq!(stored.size, content.len() as u64);

        let end = content.len() as u64;
        for range in [
            0..end,
            0..u64::MAX,
            10..40,
            35..36,
            end / 2..end,
            end..end + 5,
            65_500..65_700,
        ] {
            let from = usize::try_from(range.start.min(end)).unwrap();
            let to = usize::try_from(range.end.min(end)).unwrap().max(from);
            let read = read(store, mailbox, placed.item, range.clone()).await;
            assert!(read == content[from..to], "octets {range:?} of {end}");
        }
    }
}

pub async fn a_body_that_nobody_finished_cannot_be_referred_to(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let mut writer = store.body_writer(mailbox.organization).await.unwrap();
    writer
        .write(bytes::Bytes::from_static(b"never finished"))
        .await
        .unwrap();
    drop(writer);
    let invented = crate::traits::Body {
        id: crate::BodyId([7; 32]),
        size: 14,
    };
    let new = item(invented, Timestamp::from_seconds(T0), INBOX);
    let refused = store
        .apply(mailbox, operation_at(T0, vec![Operation::AddItem(new)]))
        .await;
    assert!(matches!(refused, Err(StoreError::NoSuchBody(_))));
    assert_eq!(inbox(store, mailbox).await.total, 0);
}

pub async fn every_commit_takes_the_next_number(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let start = store.mailbox(mailbox).await.unwrap().highest_modseq;
    for n in 1..=3 {
        deliver(store, mailbox, b"body", T0).await;
        let now = store.mailbox(mailbox).await.unwrap().highest_modseq;
        assert_eq!(now, ModSeq(start.0 + n));
        assert_eq!(inbox(store, mailbox).await.highest_modseq, now);
    }
}

pub async fn uids_rise_and_are_never_given_twice(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let mut last = None;
    for _ in 0..4 {
        let placed = deliver(store, mailbox, b"body", T0).await;
        assert!(Some(placed.uid) > last);
        assert!(inbox(store, mailbox).await.uid_next > placed.uid);
        last = Some(placed.uid);
        delete(store, mailbox, placed.item).await;
    }
    assert_eq!(inbox(store, mailbox).await.total, 0);
}

pub async fn one_refused_operation_refuses_all(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let placed = deliver(store, mailbox, b"body", T0).await;
    let before = snapshot(store, mailbox).await;
    let refused = store
        .apply(
            mailbox,
            operation_at(
                T0,
                vec![
                    set_flags(placed.item, Flags::READ),
                    set_flags(ItemId(999), Flags::READ),
                ],
            ),
        )
        .await;
    assert!(matches!(refused, Err(StoreError::NoSuchItem(ItemId(999)))));
    assert_eq!(snapshot(store, mailbox).await, before);
}

pub async fn operations_on_their_own_are_refused_alone(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let placed = deliver(store, mailbox, b"body", T0).await;
    let operations = vec![
        set_flags(ItemId(999), Flags::READ),
        set_flags(placed.item, Flags::READ),
    ];
    let changes = Changeset {
        mode: Mode::EachOnItsOwn,
        ..operation_at(T0, operations)
    };
    let applied = store.apply(mailbox, changes).await.unwrap();
    assert!(matches!(
        applied.outcomes[0],
        Outcome::Refused(StoreError::NoSuchItem(_))
    ));
    assert!(matches!(applied.outcomes[1], Outcome::Item { item, .. } if item == placed.item));
    assert_eq!(
        store.item(mailbox, placed.item).await.unwrap().flags,
        Flags::READ
    );
}

pub async fn later_operations_see_earlier_ones(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let placed = deliver(store, mailbox, b"body", T0).await;
    let archive = role(store, mailbox, FolderRole::Archive).await;
    let in_archive = Expect {
        folder: Some(archive.id),
        ..Expect::default()
    };
    let operations = vec![
        Operation::MoveItem {
            item: placed.item,
            expect: Expect::default(),
            to: archive.id.into(),
        },
        Operation::UpdateItem {
            item: placed.item,
            expect: in_archive,
            update: flags(Flags::READ),
        },
    ];
    store
        .apply(mailbox, operation_at(T0, operations))
        .await
        .unwrap();
    let item = store.item(mailbox, placed.item).await.unwrap();
    assert_eq!((item.folder, item.flags), (archive.id, Flags::READ));
}

pub async fn a_change_of_nothing_is_no_commit(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let placed = deliver(store, mailbox, b"body", T0).await;
    store
        .apply(
            mailbox,
            operation_at(T0, vec![set_flags(placed.item, Flags::READ)]),
        )
        .await
        .unwrap();
    let before = snapshot(store, mailbox).await;
    let applied = store
        .apply(
            mailbox,
            operation_at(T0 + 1, vec![set_flags(placed.item, Flags::READ)]),
        )
        .await
        .unwrap();
    assert_eq!((applied.modseq, applied.committed), (before.0, false));
    assert_eq!(snapshot(store, mailbox).await, before);
}

pub async fn flags_set_by_two_clients_are_both_kept(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let placed = deliver(store, mailbox, b"body", T0).await;
    let one = store.apply(
        mailbox,
        operation_at(T0, vec![set_flags(placed.item, Flags::READ)]),
    );
    let other = store.apply(
        mailbox,
        operation_at(T0, vec![set_flags(placed.item, Flags::FLAGGED)]),
    );
    let (one, other) = future::join(one, other).await;
    assert_ne!(one.unwrap().modseq, other.unwrap().modseq);
    let item = store.item(mailbox, placed.item).await.unwrap();
    assert_eq!(item.flags, Flags::READ | Flags::FLAGGED);
}

pub async fn an_expectation_that_fails_changes_nothing(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let placed = deliver(store, mailbox, b"body", T0).await;
    let seen = store.item(mailbox, placed.item).await.unwrap().modseq();
    store
        .apply(
            mailbox,
            operation_at(T0, vec![set_flags(placed.item, Flags::READ)]),
        )
        .await
        .unwrap();
    let before = snapshot(store, mailbox).await;

    let stale = Expect {
        unchanged_since: Some(seen),
        ..Expect::default()
    };
    let elsewhere = role(store, mailbox, FolderRole::Junk).await.id;
    let moved = Expect {
        folder: Some(elsewhere),
        ..Expect::default()
    };
    let unmarked = Expect {
        flags: Flags::DELETED,
        ..Expect::default()
    };
    for (expect, changed) in [(stale, true), (moved, false), (unmarked, true)] {
        let operations = vec![Operation::DeleteItem {
            item: placed.item,
            expect,
        }];
        let error = store
            .apply(mailbox, operation_at(T0, operations))
            .await
            .unwrap_err();
        match error {
            StoreError::Changed { item, now } => {
                assert!(changed && item == placed.item && now > seen, "{expect:?}");
            }
            StoreError::NoSuchItem(item) => assert!(!changed && item == placed.item, "{expect:?}"),
            other => panic!("{expect:?}: {other}"),
        }
    }
    assert_eq!(snapshot(store, mailbox).await, before);
}

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

pub async fn a_new_content_takes_the_place_of_the_old(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let placed = deliver(store, mailbox, b"first draft", T0).await;
    let body = write_body(
        store.body_writer(mailbox.organization).await.unwrap(),
        b"second",
    )
    .await;
    let content = ItemContent {
        prefix: vec![],
        body,
        summary: crate::model::Summary::default(),
    };
    let new = ItemUpdate {
        content: Some(content),
        ..ItemUpdate::default()
    };
    store
        .apply(mailbox, operation_at(T0, vec![update(placed.item, new)]))
        .await
        .unwrap();
    let item = store.item(mailbox, placed.item).await.unwrap();
    assert_eq!((item.size, item.uid), (6, placed.uid));
    assert_eq!(inbox(store, mailbox).await.size, 6);
    assert_eq!(store.mailbox(mailbox).await.unwrap().size, 6);
    assert_eq!(read(store, mailbox, placed.item, 0..99).await, b"second");
}

pub async fn a_moved_item_keeps_its_id_and_gets_a_new_uid(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let placed = deliver(store, mailbox, b"body", T0).await;
    let (from, to) = (
        inbox(store, mailbox).await,
        role(store, mailbox, FolderRole::Archive).await,
    );
    let mv = |to: FolderId| Operation::MoveItem {
        item: placed.item,
        expect: Expect::default(),
        to: to.into(),
    };
    let there = place_of(
        store
            .apply(mailbox, operation_at(T0, vec![mv(to.id)]))
            .await,
    );
    assert_eq!((there.item, there.folder), (placed.item, to.id));

    let left = store
        .changes(mailbox, from.id, from.highest_modseq, 10)
        .await
        .unwrap();
    assert_eq!((left.items.len(), left.gone.len()), (0, 1));
    let tombstone = left.gone[0];
    assert_eq!(
        (tombstone.item, tombstone.uid, tombstone.moved_to),
        (placed.item, placed.uid, Some(to.id))
    );
    let entered = store
        .changes(mailbox, to.id, to.highest_modseq, 10)
        .await
        .unwrap();
    assert_eq!(
        entered.items.iter().map(|i| i.id).collect::<Vec<_>>(),
        [placed.item]
    );

    let back = place_of(
        store
            .apply(mailbox, operation_at(T0, vec![mv(from.id)]))
            .await,
    );
    assert!(
        back.uid > placed.uid,
        "a UID of a folder that was left is not given out again"
    );
    let same = place_of(
        store
            .apply(mailbox, operation_at(T0, vec![mv(from.id)]))
            .await,
    );
    assert_eq!(
        same.uid, back.uid,
        "a move into its own folder changes nothing"
    );
}

pub async fn a_copy_is_an_item_of_its_own(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let original = deliver(store, mailbox, b"body", T0).await;
    let archive = role(store, mailbox, FolderRole::Archive).await.id;
    let copy = Operation::CopyItem {
        item: original.item,
        expect: Expect::default(),
        to: archive.into(),
    };
    let copy = place_of(store.apply(mailbox, operation_at(T0, vec![copy])).await);
    assert_ne!(copy.item, original.item);
    assert_eq!(copy.folder, archive);
    delete(store, mailbox, original.item).await;
    assert!(
        read(store, mailbox, copy.item, 0..999)
            .await
            .ends_with(b"body")
    );
}

pub async fn a_deleted_item_leaves_a_tombstone(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let placed = deliver(store, mailbox, b"body", T0).await;
    let before = inbox(store, mailbox).await;
    delete(store, mailbox, placed.item).await;
    assert!(matches!(
        store.item(mailbox, placed.item).await,
        Err(StoreError::NoSuchItem(_))
    ));
    assert!(matches!(
        store.read(mailbox, placed.item, 0..1).await,
        Err(StoreError::NoSuchItem(_))
    ));
    let changes = store
        .changes(mailbox, before.id, before.highest_modseq, 10)
        .await
        .unwrap();
    assert!(changes.items.is_empty());
    assert_eq!(
        (changes.gone[0].uid, changes.gone[0].moved_to),
        (placed.uid, None)
    );
    assert_eq!(store.uids(mailbox, before.id).await.unwrap().1, []);
}

pub async fn folders_count_what_is_in_them(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let mut items = Vec::new();
    for n in 0..3 {
        items.push(deliver(store, mailbox, b"0123456789", T0 + n).await.item);
    }
    let each = store.item(mailbox, items[0]).await.unwrap().size;
    let counts = |folder: Folder| (folder.total, folder.unread, folder.size);
    assert_eq!(counts(inbox(store, mailbox).await), (3, 3, 3 * each));
    store
        .apply(
            mailbox,
            operation_at(T0, vec![set_flags(items[0], Flags::READ)]),
        )
        .await
        .unwrap();
    assert_eq!(counts(inbox(store, mailbox).await), (3, 2, 3 * each));
    let archive = role(store, mailbox, FolderRole::Archive).await.id;
    let mv = Operation::MoveItem {
        item: items[0],
        expect: Expect::default(),
        to: archive.into(),
    };
    store
        .apply(mailbox, operation_at(T0, vec![mv]))
        .await
        .unwrap();
    assert_eq!(counts(inbox(store, mailbox).await), (2, 2, 2 * each));
    assert_eq!(
        counts(role(store, mailbox, FolderRole::Archive).await),
        (1, 0, each)
    );
    delete(store, mailbox, items[1]).await;
    assert_eq!(counts(inbox(store, mailbox).await), (1, 1, each));
    assert_eq!(store.mailbox(mailbox).await.unwrap().size, 2 * each);
}

pub async fn folders_are_made_renamed_moved_and_deleted(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let start = store.mailbox(mailbox).await.unwrap().highest_modseq;
    let top = make_folder(store, mailbox, None, "Projects").await.unwrap();
    let below = make_folder(store, mailbox, Some(top), "2026")
        .await
        .unwrap();
    let rename = FolderUpdate {
        name: Some("Work".into()),
        ..FolderUpdate::default()
    };
    update_folder(store, mailbox, top, rename).await.unwrap();
    let to_top = FolderUpdate {
        parent: Some(None),
        ..FolderUpdate::default()
    };
    update_folder(store, mailbox, below, to_top).await.unwrap();

    let changes = store.folder_changes(mailbox, start).await.unwrap();
    let seen: Vec<_> = changes
        .folders
        .iter()
        .map(|f| (f.id, f.parent, f.name.as_str()))
        .collect();
    assert!(
        seen.contains(&(top, None, "Work"))
            && seen.contains(&(below, None, "2026"))
            && seen.len() == 2
    );
    assert_eq!(
        changes.upto,
        store.mailbox(mailbox).await.unwrap().highest_modseq
    );

    store
        .apply(
            mailbox,
            operation_at(T0, vec![Operation::DeleteFolder { folder: below }]),
        )
        .await
        .unwrap();
    let gone = store.folder_changes(mailbox, changes.upto).await.unwrap();
    assert_eq!((gone.folders.len(), gone.gone), (0, vec![below]));
    assert!(matches!(
        store.folder(mailbox, below).await,
        Err(StoreError::NoSuchFolder(_))
    ));

    let again = make_folder(store, mailbox, None, "2026").await.unwrap();
    assert_ne!(again, below);
    let validity =
        |folders: &[Folder], id| folders.iter().find(|f| f.id == id).unwrap().uid_validity;
    let folders = store.folders(mailbox).await.unwrap();
    assert!(
        validity(&folders, again) > validity(&changes.folders, below),
        "a new incarnation"
    );
}

pub async fn folders_refuse_what_makes_no_sense(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let outer = make_folder(store, mailbox, None, "Outer").await.unwrap();
    let inner = make_folder(store, mailbox, Some(outer), "Inner")
        .await
        .unwrap();
    let before = snapshot(store, mailbox).await;

    assert!(matches!(
        make_folder(store, mailbox, None, "oUTER").await,
        Err(StoreError::FolderExists { .. })
    ));
    for name in ["", " ", "a\u{0}b", "line\nbreak", &"x".repeat(5000)] {
        let refused = make_folder(store, mailbox, None, name).await;
        assert!(
            matches!(refused, Err(StoreError::InvalidFolder { .. })),
            "{name:?}"
        );
    }
    let absent = make_folder(store, mailbox, Some(FolderId(999)), "x").await;
    assert!(matches!(
        absent,
        Err(StoreError::NoSuchFolder(FolderId(999)))
    ));
    let into_itself = FolderUpdate {
        parent: Some(Some(inner)),
        ..FolderUpdate::default()
    };
    let refused = update_folder(store, mailbox, outer, into_itself).await;
    assert!(matches!(refused, Err(StoreError::InvalidFolder { .. })));

    let inbox = inbox(store, mailbox).await.id;
    let refused = store
        .apply(
            mailbox,
            operation_at(T0, vec![Operation::DeleteFolder { folder: inbox }]),
        )
        .await;
    assert!(matches!(refused, Err(StoreError::InvalidFolder { .. })));
    let moved = FolderUpdate {
        parent: Some(Some(outer)),
        ..FolderUpdate::default()
    };
    let refused = update_folder(store, mailbox, inbox, moved).await;
    assert!(matches!(refused, Err(StoreError::InvalidFolder { .. })));
    assert_eq!(snapshot(store, mailbox).await, before);
}

pub async fn a_deleted_folder_takes_its_items_along(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let outer = make_folder(store, mailbox, None, "Outer").await.unwrap();
    let inner = make_folder(store, mailbox, Some(outer), "Inner")
        .await
        .unwrap();
    let placed = deliver(store, mailbox, b"body", T0).await;
    let mv = Operation::MoveItem {
        item: placed.item,
        expect: Expect::default(),
        to: inner.into(),
    };
    store
        .apply(mailbox, operation_at(T0, vec![mv]))
        .await
        .unwrap();
    store
        .apply(
            mailbox,
            operation_at(T0, vec![Operation::DeleteFolder { folder: outer }]),
        )
        .await
        .unwrap();
    assert!(matches!(
        store.item(mailbox, placed.item).await,
        Err(StoreError::NoSuchItem(_))
    ));
    assert!(matches!(
        store.folder(mailbox, inner).await,
        Err(StoreError::NoSuchFolder(_))
    ));
    assert_eq!(store.mailbox(mailbox).await.unwrap().size, 0);
}

pub async fn pages_follow_each_other_without_gap_or_overlap(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    // Several with one received time, so that the order needs more than that.
    let times = [5, 1, 3, 3, 3, 9, 7];
    let mut placed = Vec::new();
    for time in times {
        placed.push(deliver(store, mailbox, b"body", T0 + time).await.item);
    }
    let folder = inbox(store, mailbox).await.id;
    let uid_one = Uid::new(1).unwrap();
    let by_uid = ListBy::Uid {
        from: uid_one,
        to: None,
    };
    let by_received = ListBy::Received {
        from: None,
        until: None,
    };
    for (by, descending) in [
        (by_uid.clone(), false),
        (by_uid, true),
        (by_received.clone(), false),
        (by_received, true),
    ] {
        for limit in [1, 2, 3, 50] {
            let items = list_all(store, mailbox, folder, &by, descending, limit).await;
            assert_eq!(items.len(), times.len(), "{by:?} by {limit}");
            let keys: Vec<_> = items
                .iter()
                .map(|i| match by {
                    ListBy::Uid { .. } => i64::from(i.uid.as_u32()),
                    ListBy::Received { .. } => i.received.as_millis(),
                })
                .collect();
            let ordered = if descending {
                keys.is_sorted_by(|a, b| a >= b)
            } else {
                keys.is_sorted()
            };
            assert!(ordered, "{by:?} descending {descending}: {keys:?}");
            let mut ids: Vec<_> = items.iter().map(|i| i.id).collect();
            ids.sort();
            assert_eq!(ids, placed, "each once");
        }
    }
    let second = store.item(mailbox, placed[1]).await.unwrap().uid;
    let fourth = store.item(mailbox, placed[3]).await.unwrap().uid;
    let range = ListBy::Uid {
        from: second,
        to: Some(fourth),
    };
    let ids: Vec<_> = list_all(store, mailbox, folder, &range, false, 50)
        .await
        .iter()
        .map(|i| i.id)
        .collect();
    assert_eq!(ids, placed[1..4]);
}

pub async fn received_ranges_select_what_ages_out(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    for time in [10, 20, 30] {
        deliver(store, mailbox, b"body", T0 + time).await;
    }
    let folder = inbox(store, mailbox).await.id;
    let range = ListBy::Received {
        from: Some(Timestamp::from_seconds(T0 + 10)),
        until: Some(Timestamp::from_seconds(T0 + 30)),
    };
    let received: Vec<_> = list_all(store, mailbox, folder, &range, false, 50)
        .await
        .iter()
        .map(|i| i.received.as_seconds() - T0)
        .collect();
    assert_eq!(received, [10, 20]);
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

pub async fn concurrent_writers_lose_nothing(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let writers = (0..16).map(|n| async move {
        let mut placed = Vec::new();
        for m in 0..8 {
            placed.push(deliver(store, mailbox, format!("{n}/{m}").as_bytes(), T0 + m).await);
        }
        placed
    });
    let placed: Vec<_> = future::join_all(writers)
        .await
        .into_iter()
        .flatten()
        .collect();
    let mut uids: Vec<_> = placed.iter().map(|p| (p.uid, p.item)).collect();
    uids.sort();
    let folder = inbox(store, mailbox).await;
    assert_eq!(folder.total, 128);
    let (state, listed) = store.uids(mailbox, folder.id).await.unwrap();
    assert_eq!((state, listed), (folder.highest_modseq, uids));
}

pub async fn a_full_mailbox_refuses(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    store.set_quota(mailbox, 200).await.unwrap();
    assert_eq!(store.mailbox(mailbox).await.unwrap().quota, 200);
    let body = write_body(
        store.body_writer(mailbox.organization).await.unwrap(),
        &[b'x'; 100],
    )
    .await;
    let add = || Operation::AddItem(item(body, Timestamp::from_seconds(T0), INBOX));
    let first = place_of(store.apply(mailbox, operation_at(T0, vec![add()])).await);
    let before = snapshot(store, mailbox).await;
    let refused = store.apply(mailbox, operation_at(T0, vec![add()])).await;
    assert!(matches!(
        refused,
        Err(StoreError::OverQuota { quota: 200, .. })
    ));
    assert_eq!(snapshot(store, mailbox).await, before);
    delete(store, mailbox, first.item).await;
    store
        .apply(mailbox, operation_at(T0, vec![add()]))
        .await
        .unwrap();
}

pub async fn properties_are_kept_without_loss(store: &dyn MailboxStore) {
    let mailbox = new_mailbox(store, 1).await;
    let placed = deliver(store, mailbox, b"body", T0).await;
    let named = PropertyName::Name(PropertySet::PUBLIC_STRINGS, "Größe".into());
    let values = [
        (PropertyName::Tag(0x3591), PropertyValue::Integer(i32::MIN)),
        (
            PropertyName::Id(PropertySet::COMMON, 0x8503),
            PropertyValue::Boolean(true),
        ),
        (
            named.clone(),
            PropertyValue::Many(vec![
                PropertyValue::Double(0.1),
                PropertyValue::Double(-0.0),
            ]),
        ),
        (PropertyName::Tag(1), PropertyValue::Binary(vec![0; 5000])),
    ];
    let set = values
        .iter()
        .cloned()
        .map(|(name, value)| (name, Some(value)))
        .collect();
    let set = ItemUpdate {
        properties: set,
        ..ItemUpdate::default()
    };
    let seen = store.mailbox(mailbox).await.unwrap().highest_modseq;
    store
        .apply(mailbox, operation_at(T0, vec![update(placed.item, set)]))
        .await
        .unwrap();
    let stored = store.item(mailbox, placed.item).await.unwrap();
    assert_eq!(stored.properties, values.into_iter().collect());
    assert_eq!(stored.stamps.since(seen), ChangeMask::PROPERTIES);
    let unset = ItemUpdate {
        properties: vec![(named.clone(), None)],
        ..ItemUpdate::default()
    };
    store
        .apply(mailbox, operation_at(T0, vec![update(placed.item, unset)]))
        .await
        .unwrap();
    let stored = store.item(mailbox, placed.item).await.unwrap();
    assert_eq!(
        (
            stored.properties.len(),
            stored.properties.contains_key(&named)
        ),
        (3, false)
    );
}

pub async fn mailboxes_share_nothing(store: &dyn MailboxStore) {
    let (one, two) = (new_mailbox(store, 1).await, new_mailbox(store, 2).await);
    let placed = deliver(store, one, b"private", T0).await;
    assert!(matches!(
        store.item(two, placed.item).await,
        Err(StoreError::NoSuchItem(_))
    ));
    assert!(matches!(
        store.read(two, placed.item, 0..9).await,
        Err(StoreError::NoSuchItem(_))
    ));
    let refused = store
        .apply(
            two,
            operation_at(T0, vec![set_flags(placed.item, Flags::READ)]),
        )
        .await;
    assert!(matches!(refused, Err(StoreError::NoSuchItem(_))));
    assert_eq!(inbox(store, two).await.total, 0);
}

pub async fn organizations_share_nothing(store: &dyn MailboxStore) {
    let ours = new_mailbox(store, 1).await;
    let placed = deliver(store, ours, b"private", T0).await;
    let folder = inbox(store, ours).await.id;
    let theirs = MailboxRef {
        organization: organization(2),
        ..ours
    };

    let list = ItemList {
        folder,
        by: ListBy::Received {
            from: None,
            until: None,
        },
        descending: false,
        after: None,
        limit: 9,
    };
    let not_found = [
        store.mailbox(theirs).await.err(),
        store.folders(theirs).await.err(),
        store.folder(theirs, folder).await.err(),
        store.item(theirs, placed.item).await.err(),
        store.items(theirs, list).await.err(),
        store.uids(theirs, folder).await.err(),
        store.changes(theirs, folder, ModSeq(0), 9).await.err(),
        store.folder_changes(theirs, ModSeq(0)).await.err(),
        store.events(theirs, EventId::default(), 9).await.err(),
        store.truncate(theirs, ModSeq(0)).await.err(),
        store.read(theirs, placed.item, 0..9).await.err(),
        store.set_quota(theirs, 1).await.err(),
    ];
    for (n, error) in not_found.into_iter().enumerate() {
        assert!(
            matches!(error, Some(StoreError::NoSuchMailbox(m)) if m == theirs),
            "call {n}: {error:?}"
        );
    }
    // A body of the first organization cannot be referred to from the second.
    let body = write_body(
        store.body_writer(ours.organization).await.unwrap(),
        b"private",
    )
    .await;
    let add = Operation::AddItem(item(body, Timestamp::from_seconds(T0), INBOX));
    let refused = store.apply(theirs, operation_at(T0, vec![add])).await;
    assert!(matches!(refused, Err(StoreError::NoSuchBody(_))));
}

pub async fn a_removed_mailbox_is_gone(store: &dyn MailboxStore) {
    let (kept, removed) = (new_mailbox(store, 1).await, new_mailbox(store, 2).await);
    let body = deliver(store, kept, b"shared body", T0).await;
    let old = deliver(store, removed, b"shared body", T0).await;
    let old_validity = inbox(store, removed).await.uid_validity;
    store.remove(removed).await.unwrap();
    assert!(matches!(
        store.mailbox(removed).await,
        Err(StoreError::NoSuchMailbox(_))
    ));
    assert!(matches!(
        store.item(removed, old.item).await,
        Err(StoreError::NoSuchMailbox(_))
    ));
    assert!(
        read(store, kept, body.item, 0..99)
            .await
            .ends_with(b"shared body")
    );
    store
        .create(removed, Timestamp::from_seconds(T0 + 1))
        .await
        .unwrap();
    let fresh = inbox(store, removed).await;
    assert_eq!(fresh.total, 0);
    assert!(
        fresh.uid_validity > old_validity,
        "old UIDs mean nothing in a new mailbox"
    );
}

/// Where an item was put.
#[derive(Debug, Clone, Copy)]
struct Placed {
    item: ItemId,
    folder: FolderId,
    uid: Uid,
}

async fn new_mailbox(store: &dyn MailboxStore, n: u8) -> MailboxRef {
    let mailbox = mailbox(n);
    store
        .create(mailbox, Timestamp::from_seconds(T0))
        .await
        .unwrap();
    mailbox
}

async fn deliver(store: &dyn MailboxStore, mailbox: MailboxRef, body: &[u8], at: i64) -> Placed {
    let body = write_body(store.body_writer(mailbox.organization).await.unwrap(), body).await;
    let add = Operation::AddItem(item(body, Timestamp::from_seconds(at), INBOX));
    place_of(store.apply(mailbox, operation_at(at, vec![add])).await)
}

async fn delete(store: &dyn MailboxStore, mailbox: MailboxRef, item: ItemId) {
    let delete = Operation::DeleteItem {
        item,
        expect: Expect::default(),
    };
    store
        .apply(mailbox, operation_at(T0, vec![delete]))
        .await
        .unwrap();
}

async fn make_folder(
    store: &dyn MailboxStore,
    mailbox: MailboxRef,
    parent: Option<FolderId>,
    name: &str,
) -> Result<FolderId, StoreError> {
    let new = NewFolder {
        parent,
        name: name.into(),
        class: FolderClass::Mail,
    };
    let applied = store
        .apply(
            mailbox,
            operation_at(T0, vec![Operation::CreateFolder(new)]),
        )
        .await?;
    match applied.outcomes[..] {
        [Outcome::Folder(folder)] => Ok(folder),
        ref other => panic!("{other:?}"),
    }
}

async fn update_folder(
    store: &dyn MailboxStore,
    mailbox: MailboxRef,
    folder: FolderId,
    update: FolderUpdate,
) -> Result<Applied, StoreError> {
    store
        .apply(
            mailbox,
            operation_at(T0, vec![Operation::UpdateFolder { folder, update }]),
        )
        .await
}

async fn role(store: &dyn MailboxStore, mailbox: MailboxRef, role: FolderRole) -> Folder {
    let folders = store.folders(mailbox).await.unwrap();
    folders.into_iter().find(|f| f.role == Some(role)).unwrap()
}

async fn inbox(store: &dyn MailboxStore, mailbox: MailboxRef) -> Folder {
    role(store, mailbox, FolderRole::Inbox).await
}

/// Everything that a refused change must leave as it was.
async fn snapshot(
    store: &dyn MailboxStore,
    mailbox: MailboxRef,
) -> (ModSeq, Vec<Folder>, Vec<Item>) {
    let folders = store.folders(mailbox).await.unwrap();
    let by = ListBy::Uid {
        from: Uid::new(1).unwrap(),
        to: None,
    };
    let mut items = Vec::new();
    for folder in &folders {
        items.extend(list_all(store, mailbox, folder.id, &by, false, 50).await);
    }
    (
        store.mailbox(mailbox).await.unwrap().highest_modseq,
        folders,
        items,
    )
}

async fn list_all(
    store: &dyn MailboxStore,
    mailbox: MailboxRef,
    folder: FolderId,
    by: &ListBy,
    descending: bool,
    limit: usize,
) -> Vec<Item> {
    let mut items = Vec::new();
    let mut after = None;
    loop {
        let list = ItemList {
            folder,
            by: by.clone(),
            descending,
            after,
            limit,
        };
        let page = store.items(mailbox, list).await.unwrap();
        assert!(page.entries.len() <= limit);
        items.extend(page.entries);
        after = page.next;
        if after.is_none() {
            return items;
        }
    }
}

async fn read(
    store: &dyn MailboxStore,
    mailbox: MailboxRef,
    item: ItemId,
    range: std::ops::Range<u64>,
) -> Vec<u8> {
    let pieces: Vec<_> = store
        .read(mailbox, item, range)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    pieces.concat()
}

fn flags(set: Flags) -> ItemUpdate {
    ItemUpdate {
        set,
        ..ItemUpdate::default()
    }
}

fn update(item: ItemId, update: ItemUpdate) -> Operation {
    Operation::UpdateItem {
        item,
        expect: Expect::default(),
        update,
    }
}

fn set_flags(item: ItemId, set: Flags) -> Operation {
    update(item, flags(set))
}

/// Where the last operation put its item.
fn place_of(applied: Result<Applied, StoreError>) -> Placed {
    match applied.unwrap().outcomes.last().unwrap() {
        Outcome::Item {
            item, folder, uid, ..
        } => Placed {
            item: *item,
            folder: *folder,
            uid: *uid,
        },
        other => panic!("{other:?}"),
    }
}
