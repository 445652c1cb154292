//! Items: content, moves, copies, deletion, properties, listings.

use crate::contract::fixture::{INBOX, item, operation_at, write_body};
use crate::model::{ChangeMask, FolderRole, PropertyName, PropertySet, PropertyValue};
use crate::traits::{Expect, ItemContent, ItemUpdate, ListBy, MailboxStore, Operation, StoreError};
use crate::{FolderId, Timestamp, Uid};

use super::support::{
    T0, delete, deliver, inbox, list_all, new_mailbox, place_of, read, role, update,
};

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
