use super::*;
use crate::seal::{CHUNK, KeySet};
use futures::{StreamExt, TryStreamExt, executor::block_on};
use proptest::prelude::*;
use wm_core::OrganizationId;

fn keys(organization: u128) -> Arc<KeySet> {
    Arc::new(KeySet::generate(OrganizationId::from_u128(organization)).unwrap())
}

fn open(files: &FaultyFiles) -> Bodies {
    Bodies::open(Arc::new(files.clone()), MIN_SEGMENT_SIZE).unwrap()
}

/// Bytes that differ everywhere and between salts.
fn content(salt: u64, size: usize) -> Vec<u8> {
    let words = (0..size.div_ceil(8) as u64).flat_map(|n| {
        (n ^ salt << 32)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .to_be_bytes()
    });
    words.take(size).collect()
}

fn write(bodies: &Bodies, keys: &Arc<KeySet>, content: &[u8]) -> Result<StoredBody, SegmentError> {
    block_on(async {
        let mut writer = bodies.writer(keys.clone(), MAX_BODY)?;
        for piece in content.chunks(10_007) {
            writer.write(piece).await?;
        }
        writer.finish().await
    })
}

fn read_part(
    bodies: &Bodies,
    keys: &Arc<KeySet>,
    body: StoredBody,
    range: std::ops::Range<u64>,
) -> Result<Vec<u8>, SegmentError> {
    let pieces = bodies.read(keys.clone(), body, range);
    block_on(pieces.map_ok(|piece| piece.to_vec()).try_concat())
}

fn read(bodies: &Bodies, keys: &Arc<KeySet>, body: StoredBody) -> Result<Vec<u8>, SegmentError> {
    read_part(bodies, keys, body, 0..u64::MAX)
}

/// The bodies that a scan of all segments finds whole.
fn scan(bodies: &Bodies) -> Vec<StoredBody> {
    let mut found = Vec::new();
    for segment in bodies.log.segments().unwrap() {
        for entry in bodies.log.scan(segment).unwrap() {
            if let Ok((last, record)) = entry.unwrap()
                && let Some(facts) = record.place.last
            {
                let stream = record.place.stream;
                found.push(StoredBody {
                    id: facts.body,
                    size: facts.size,
                    stream,
                    last,
                });
            }
        }
    }
    found
}

#[test]
fn bodies_of_every_shape_come_back_whole() {
    let (bodies, keys) = (open(&FaultyFiles::new()), keys(1));
    for size in [
        0,
        1,
        CHUNK - 1,
        CHUNK,
        CHUNK + 1,
        2 * CHUNK,
        3 * CHUNK + 17,
        2_000_000,
    ] {
        let content = content(size as u64, size);
        let body = write(&bodies, &keys, &content).unwrap();
        assert_eq!(body.size, size as u64);
        assert!(
            read(&bodies, &keys, body).unwrap() == content,
            "{size} bytes"
        );
    }
}

#[test]
fn a_body_is_named_by_its_content_and_its_organization() {
    let bodies = open(&FaultyFiles::new());
    let (acme, other) = (keys(1), keys(2));
    let name = |keys, salt| write(&bodies, keys, &content(salt, 100_000)).unwrap().id;
    assert_eq!(name(&acme, 1), name(&acme, 1));
    assert_ne!(name(&acme, 1), name(&acme, 2));
    assert_ne!(name(&acme, 1), name(&other, 1));
}

#[test]
fn bodies_written_at_the_same_time_do_not_mix() {
    let (bodies, keys) = (open(&FaultyFiles::new()), keys(1));
    let contents: Vec<_> = (0..16).map(|n| content(n, 300_000 + n as usize)).collect();
    let stored = block_on(async {
        let mut writers: Vec<_> = (0..contents.len())
            .map(|_| bodies.writer(keys.clone(), MAX_BODY).unwrap())
            .collect();
        let longest = contents.iter().map(Vec::len).max().unwrap();
        for from in (0..longest).step_by(5_000) {
            for (writer, content) in writers.iter_mut().zip(&contents) {
                let to = content.len().min(from + 5_000);
                writer.write(&content[from.min(to)..to]).await.unwrap();
            }
        }
        futures::future::try_join_all(writers.into_iter().map(BodyWriter::finish))
            .await
            .unwrap()
    });
    assert!(
        bodies.log.segments().unwrap().len() > 1,
        "the segments were rolled over"
    );
    for (body, content) in stored.into_iter().zip(&contents) {
        assert!(read(&bodies, &keys, body).unwrap() == *content);
    }
}

#[test]
fn an_unfinished_body_is_found_by_nothing() {
    let (bodies, keys) = (open(&FaultyFiles::new()), keys(1));
    block_on(async {
        let mut writer = bodies.writer(keys.clone(), MAX_BODY).unwrap();
        writer.write(&content(1, 5 * CHUNK)).await.unwrap();
    });
    let whole = write(&bodies, &keys, b"whole").unwrap();
    assert_eq!(scan(&bodies), [whole]);
}

#[test]
fn a_body_over_its_limit_is_refused_for_good() {
    let (bodies, keys) = (open(&FaultyFiles::new()), keys(1));
    block_on(async {
        let mut writer = bodies.writer(keys, 10).unwrap();
        writer.write(b"0123456789").await.unwrap();
        let error = writer.write(b"x").await.unwrap_err();
        assert!(matches!(error, SegmentError::TooLarge { limit: 10 }));
        assert!(matches!(writer.finish().await, Err(SegmentError::GivenUp)));
    });
}

#[test]
fn an_index_can_be_rebuilt_by_scanning() {
    let files = FaultyFiles::new();
    let (bodies, keys) = (open(&files), keys(1));
    let mut stored: Vec<_> = [0, 10, 200_000, CHUNK, 1_500_000]
        .map(|size| write(&bodies, &keys, &content(9, size)).unwrap())
        .to_vec();
    let reopened = open(&files);
    assert_eq!(scan(&reopened), stored);
    stored.push(write(&reopened, &keys, b"one more").unwrap());
    assert_eq!(scan(&reopened), stored, "the last segment is gone on with");
    assert_eq!(
        reopened.log.segments().unwrap(),
        bodies.log.segments().unwrap()
    );
}

/// What power leaves of a segment when it goes right after it was made.
#[test]
fn a_segment_without_its_whole_head_is_gone_through_too() {
    for size in 0..u64::from(log::SEGMENT_HEAD) {
        let files = FaultyFiles::new();
        let torn = files.create("00000001.wms").unwrap();
        torn.write_at(&vec![0; size as usize], 0).unwrap();
        let (bodies, keys) = (open(&files), keys(1));
        assert_eq!(bodies.scan_all(&|_, _| ()).unwrap(), (size, size));
        let body = write(&bodies, &keys, b"content").unwrap();
        assert_eq!(scan(&bodies), [body]);
    }
}

#[test]
fn damage_is_reported_with_the_body_and_hurts_no_other() {
    let files = FaultyFiles::new();
    let (bodies, keys) = (open(&files), keys(1));
    let contents = [content(1, 100), content(2, 200_000), content(3, 100)];
    let stored = contents
        .each_ref()
        .map(|content| write(&bodies, &keys, content).unwrap());
    let second_chunk = files.dump()["00000001.wms"].len() - 100_000;
    files.corrupt("00000001.wms", second_chunk, 0x10);

    assert!(read(&bodies, &keys, stored[0]).unwrap() == contents[0]);
    assert!(read(&bodies, &keys, stored[2]).unwrap() == contents[2]);
    let error = read(&bodies, &keys, stored[1]).unwrap_err();
    assert!(error.is_damage());
    let SegmentError::Unreadable { body, chunk, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((body, chunk), (stored[1].id, 1));

    let first_chunk = read_part(&bodies, &keys, stored[1], 100..1_000).unwrap();
    assert!(
        first_chunk == contents[1][100..1_000],
        "what is whole of it can be read"
    );
    assert_eq!(scan(&bodies), stored, "a scan steps over the damage");
}

#[test]
fn no_single_flipped_bit_goes_unnoticed() {
    let files = FaultyFiles::new();
    let (bodies, keys) = (open(&files), keys(1));
    let body = write(&bodies, &keys, b"From: a@example.com\r\n\r\nhello").unwrap();
    let size = files.dump()["00000001.wms"].len();
    for bit in body.last.offset as usize * 8..size * 8 {
        files.corrupt("00000001.wms", bit / 8, 1 << (bit % 8));
        assert!(
            read(&bodies, &keys, body).unwrap_err().is_damage(),
            "bit {bit}"
        );
        files.corrupt("00000001.wms", bit / 8, 1 << (bit % 8));
    }
    assert!(read(&bodies, &keys, body).is_ok());
}

#[test]
fn one_body_is_never_read_as_another() {
    let (bodies, keys) = (open(&FaultyFiles::new()), keys(1));
    let (a, b) = (content(1, 200_000), content(2, 200_000));
    let (a, b) = (
        write(&bodies, &keys, &a).unwrap(),
        write(&bodies, &keys, &b).unwrap(),
    );
    for mixed in [
        StoredBody { last: b.last, ..a },
        StoredBody {
            stream: b.stream,
            ..a
        },
        StoredBody { id: b.id, ..a },
        StoredBody {
            size: a.size - 1,
            ..a
        },
        StoredBody {
            size: a.size - CHUNK as u64,
            ..a
        },
    ] {
        let result = read(&bodies, &keys, mixed);
        assert!(result.is_err_and(|error| error.is_damage()), "{mixed:?}");
    }
}

#[test]
fn what_was_synced_survives_every_power_cut() {
    let keys = keys(1);
    for seed in 0..50 {
        let files = FaultyFiles::new();
        let bodies = open(&files);
        let mut synced = Vec::new();
        for n in 0..6 {
            let content = content(seed * 100 + n, (n as usize * 37_813) % 300_000);
            let body = write(&bodies, &keys, &content).unwrap();
            if (seed + n) % 3 == 0 {
                bodies.sync(&[body]).unwrap();
                synced.push((body, content));
            } else if (seed + n) % 3 == 1 {
                let mut writer = bodies.writer(keys.clone(), MAX_BODY).unwrap();
                block_on(writer.write(&content)).unwrap();
            }
        }
        let files = files.power_cut(seed);
        let bodies = open(&files);
        let later = write(&bodies, &keys, b"written after the cut").unwrap();
        bodies.sync(&[later]).unwrap();
        synced.push((later, b"written after the cut".to_vec()));

        let bodies = open(&files.power_cut(seed));
        let found = scan(&bodies);
        for (body, content) in &synced {
            assert!(
                read(&bodies, &keys, *body).unwrap() == *content,
                "seed {seed}"
            );
            assert!(
                found.contains(body),
                "seed {seed}: the scan stopped before {body:?}"
            );
        }
    }
}

#[test]
fn without_syncs_a_power_cut_is_noticed() {
    let keys = keys(1);
    let lost = (0..50).filter(|&seed| {
        let files = FaultyFiles::new();
        files.set_fault(Some(Fault::SyncIgnored));
        let bodies = open(&files);
        let body = write(&bodies, &keys, &content(seed, 1_000)).unwrap();
        bodies.sync(&[body]).unwrap();
        read(&open(&files.power_cut(seed)), &keys, body).is_err()
    });
    assert!(lost.count() > 10);
}

#[test]
fn a_sync_that_has_nothing_to_do_does_nothing() {
    let files = FaultyFiles::new();
    let (bodies, keys) = (open(&files), keys(1));
    let first = write(&bodies, &keys, b"first").unwrap();
    let second = write(&bodies, &keys, b"second").unwrap();
    bodies.sync(&[second]).unwrap();
    let syncs = files.syncs();
    assert_eq!(syncs, 2, "the segment and its directory");
    bodies.sync(&[first, second]).unwrap();
    assert_eq!(files.syncs(), syncs);
    let third = write(&bodies, &keys, b"third").unwrap();
    bodies.sync(&[third]).unwrap();
    assert_eq!(files.syncs(), syncs + 1, "the segment alone");
}

#[test]
fn a_failed_sync_ends_all_writing_and_no_reading() {
    let files = FaultyFiles::new();
    let (bodies, keys) = (open(&files), keys(1));
    let body = write(&bodies, &keys, b"body").unwrap();
    files.set_fault(Some(Fault::Sync));
    assert!(matches!(
        bodies.sync(&[body]),
        Err(SegmentError::SyncFailed { .. })
    ));
    files.set_fault(None);
    assert!(matches!(
        bodies.sync(&[body]),
        Err(SegmentError::SyncFailed { .. })
    ));
    assert!(matches!(
        write(&bodies, &keys, b"more"),
        Err(SegmentError::SyncFailed { .. })
    ));
    assert_eq!(read(&bodies, &keys, body).unwrap(), b"body");
}

#[test]
fn a_full_disk_fails_its_body_and_is_survived() {
    let files = FaultyFiles::new();
    let (bodies, keys) = (open(&files), keys(1));
    let before = write(&bodies, &keys, b"before").unwrap();
    files.set_fault(Some(Fault::Space(100_000)));
    let error = write(&bodies, &keys, &content(1, 300_000)).unwrap_err();
    assert!(error.is_transient(), "{error}");
    files.set_fault(None);
    let after = write(&bodies, &keys, b"after").unwrap();
    bodies.sync(&[after]).unwrap();
    let bodies = open(&files.power_cut(1));
    assert_eq!(read(&bodies, &keys, before).unwrap(), b"before");
    assert_eq!(read(&bodies, &keys, after).unwrap(), b"after");
    assert_eq!(scan(&bodies), [before, after]);
}

#[test]
fn no_plaintext_is_on_disk() {
    let files = FaultyFiles::new();
    let (bodies, keys) = (open(&files), keys(1));
    write(
        &bodies,
        &keys,
        &b"a rather secret sentence. ".repeat(10_000),
    )
    .unwrap();
    for (name, bytes) in files.dump() {
        assert!(!bytes.windows(13).any(|w| w == b"rather secret"), "{name}");
    }
}

#[test]
fn a_slow_reader_is_not_outrun() {
    let (bodies, keys) = (open(&FaultyFiles::new()), keys(1));
    let body = write(&bodies, &keys, &content(1, 20 * CHUNK)).unwrap();
    let mut pieces = bodies.read(keys, body, 0..u64::MAX);
    let first = block_on(pieces.next()).unwrap().unwrap();
    assert_eq!(
        first.len(),
        CHUNK,
        "pieces are chunks, never the whole body"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_part_of_a_body_can_be_read(size in 0usize..400_000, a in 0u64..420_000, b in 0u64..420_000) {
        let (bodies, keys) = (open(&FaultyFiles::new()), keys(1));
        let content = content(5, size);
        let body = write(&bodies, &keys, &content).unwrap();
        let range = a.min(b)..a.max(b);
        let expected = content.get(range.start as usize..(range.end as usize).min(size));
        let part = read_part(&bodies, &keys, body, range).unwrap();
        prop_assert!(part == expected.unwrap_or_default());
    }
}
