//! Promises about what is kept, copied, handed out and removed.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ::bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future::join_all, stream};
use tokio::sync::Barrier;

use super::{CONTENT, Fixture, Put, Store, body, digest, torn, upload};
use crate::{
    domain::upload::ObjectKey,
    ports::objects::{ObjectError, ObjectStat, ReceiveError},
};

fn stat_of(content: &[u8]) -> ObjectStat {
    ObjectStat { size_bytes: content.len() as u64, sha256: Some(digest(content)), version: None }
}

/// What came through either door is found under its own key, with its size and the digest the store computed.
pub async fn what_was_put_is_found_with_size_and_digest(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    store.stage(upload(1), CONTENT).await;
    let other = store.keep(upload(2), CONTENT).await;
    for key in [ObjectKey::Staging(upload(1)), other] {
        assert_eq!(store.objects.stat(&key).await.unwrap(), stat_of(CONTENT));
        assert_eq!(store.read(key, None).await.unwrap(), CONTENT);
    }
}

/// Zero bytes are bytes: stored, found, promoted and read.
pub async fn an_object_of_no_bytes_is_an_object(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    store.stage(upload(1), b"").await;
    assert_eq!(store.objects.promote(upload(1)).await.unwrap(), stat_of(b""));
    assert_eq!(store.read(ObjectKey::Copied(upload(1)), None).await.unwrap(), b"");
}

/// When the sender stops in the middle, nothing is there.
pub async fn a_torn_upload_is_not_found(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let doors = store.doors(upload(1), CONTENT).await;
    for put in Put::each(&doors, CONTENT.len()) {
        for sent in [0, 1, CONTENT.len() - 1, CONTENT.len()] {
            let outcome = store.send(&put, torn(&CONTENT[..sent])).await;
            assert!(matches!(outcome, Err(ReceiveError::Interrupted)), "{sent}: {outcome:?}");
            store.assert_nothing_of(upload(1)).await;
        }
    }
}

/// A URL is used up by what it stored, not by what failed.
pub async fn a_torn_upload_may_be_tried_again(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let put = Put::bare(&store.doors(upload(1), CONTENT).await, CONTENT.len());
    store.send(&put, torn(&CONTENT[..7])).await.unwrap_err();
    store.send(&put, body(CONTENT)).await.unwrap();
    assert_eq!(store.read(put.key, None).await.unwrap(), CONTENT);
}

/// A body that ends early is refused, whatever its header said.
pub async fn fewer_bytes_than_declared_are_not_kept(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let doors = store.doors(upload(1), CONTENT).await;
    for put in Put::each(&doors, CONTENT.len()) {
        let outcome = store.send(&put, body(&CONTENT[1..])).await;
        assert!(matches!(outcome, Err(ReceiveError::WrongSize { declared: 25, found: 24 })), "{outcome:?}");
        store.assert_nothing_of(upload(1)).await;
    }
}

/// A body that does not end soon is given up soon after the declared length.
pub async fn more_bytes_than_declared_are_not_kept_and_not_read_on(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let put = Put::bare(&store.doors(upload(1), CONTENT).await, CONTENT.len());
    let read = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&read);
    let piece = Bytes::from(vec![0; 65_536]);
    let long = stream::repeat_with(move || {
        counter.fetch_add(65_536, Ordering::Relaxed);
        Ok(piece.clone())
    });
    let outcome = store.send(&put, long.take(1024).boxed()).await;
    assert!(matches!(outcome, Err(ReceiveError::WrongSize { declared: 25, found: 26 })), "{outcome:?}");
    assert!(read.load(Ordering::Relaxed) <= 4 << 20);
    store.assert_nothing_of(upload(1)).await;
}

/// What is there stays as it is: with other bytes, the same bytes, or half of them.
pub async fn a_second_put_changes_nothing(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let put = Put::bare(&store.doors(upload(1), CONTENT).await, CONTENT.len());
    store.send(&put, body(CONTENT)).await.unwrap();
    let other = CONTENT.to_ascii_uppercase();
    for second in [body(&other), body(CONTENT), torn(&other[..3])] {
        let outcome = store.send(&put, second).await;
        assert!(matches!(outcome, Err(ReceiveError::AlreadyThere)), "{outcome:?}");
        assert_eq!(store.objects.stat(&put.key).await.unwrap(), stat_of(CONTENT));
        assert_eq!(store.read(put.key, None).await.unwrap(), CONTENT);
    }
}

/// Of many that are all under way together one wins, and what is there is whole and its own.
pub async fn two_puts_at_once_keep_exactly_one(fixture: &impl Fixture) {
    const SENDERS: u8 = 8;
    let store = Store::of(fixture);
    let contents: Vec<Vec<u8>> = (0..SENDERS).map(|sender| vec![sender; 300_000]).collect();
    let put = Put::bare(&store.doors(upload(1), &contents[0]).await, 300_000);
    let barrier = Arc::new(Barrier::new(usize::from(SENDERS)));
    let sends = contents.iter().map(|content| {
        let barrier = Arc::clone(&barrier);
        let wait = stream::once(async move {
            barrier.wait().await;
            Ok(Bytes::new())
        });
        store.send(&put, wait.chain(body(content)).boxed())
    });
    let outcomes = join_all(sends).await;

    let winners: Vec<usize> = (0..contents.len()).filter(|sender| outcomes[*sender].is_ok()).collect();
    let [winner] = winners[..] else { panic!("{winners:?} were kept: {outcomes:?}") };
    let lost = |outcome: &&Result<(), _>| matches!(outcome, Err(ReceiveError::AlreadyThere));
    assert_eq!(outcomes.iter().filter(lost).count(), contents.len() - 1, "{outcomes:?}");
    assert_eq!(store.objects.stat(&put.key).await.unwrap(), stat_of(&contents[winner]));
    assert_eq!(store.read(put.key, None).await.unwrap(), contents[winner]);
}

/// An empty store has nothing: `stat` and `download` say so, and name the key.
pub async fn what_was_never_put_is_not_found(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    store.doors(upload(1), CONTENT).await;
    store.assert_nothing_of(upload(1)).await;
    let key = ObjectKey::Copied(upload(1));
    assert!(matches!(store.read(key, None).await, Err(ObjectError::NotFound(missing)) if missing == key));
}

/// The copy has the bytes of staging, and staging is still there.
pub async fn promote_gives_the_bytes_of_staging(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    store.stage(upload(1), CONTENT).await;
    assert_eq!(store.objects.promote(upload(1)).await.unwrap(), stat_of(CONTENT));
    for key in [ObjectKey::Copied(upload(1)), ObjectKey::Staging(upload(1))] {
        assert_eq!(store.objects.stat(&key).await.unwrap(), stat_of(CONTENT));
        assert_eq!(store.read(key, None).await.unwrap(), CONTENT);
    }
}

/// The second time finds the copy of the first.
pub async fn promote_twice_gives_the_same_copy(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    store.stage(upload(1), CONTENT).await;
    let first = store.objects.promote(upload(1)).await.unwrap();
    let second = store.objects.promote(upload(1)).await.unwrap();
    assert_eq!(first, second);
}

/// Whoever promotes together gets the same copy, and nobody an error.
pub async fn promotes_at_once_give_the_same_copy(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    store.stage(upload(1), CONTENT).await;
    for outcome in join_all((0..16).map(|_| store.objects.promote(upload(1)))).await {
        assert_eq!(outcome.unwrap(), stat_of(CONTENT));
    }
}

/// Other bytes of the right size pass the bare door, and promote tells what they really are.
pub async fn promote_proves_the_digest_of_the_copy(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let other = CONTENT.to_ascii_uppercase();
    let put = Put::bare(&store.doors(upload(1), CONTENT).await, CONTENT.len());
    store.send(&put, body(&other)).await.unwrap();
    assert_eq!(store.objects.promote(upload(1)).await.unwrap().sha256, Some(digest(&other)));
}

/// Nothing in staging: nothing to copy, and nothing is made. What came through the locked door is no staging.
pub async fn promote_without_staging_finds_nothing(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    store.lock(upload(1), CONTENT).await;
    let outcome = store.objects.promote(upload(1)).await;
    let staging = ObjectKey::Staging(upload(1));
    assert!(matches!(outcome, Err(ObjectError::NotFound(key)) if key == staging), "{outcome:?}");
    assert!(matches!(store.objects.stat(&ObjectKey::Copied(upload(1))).await, Err(ObjectError::NotFound(_))));
}

/// A retry after everything was tidied up finds what it made.
pub async fn promote_looks_at_a_copy_whose_staging_is_gone(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    store.stage(upload(1), CONTENT).await;
    store.objects.promote(upload(1)).await.unwrap();
    store.objects.delete(&ObjectKey::Staging(upload(1))).await.unwrap();
    assert_eq!(store.objects.promote(upload(1)).await.unwrap(), stat_of(CONTENT));
}

/// The bare URL still works when staging was emptied; the served copy does not change, nor does a second promote.
pub async fn what_staging_becomes_never_reaches_the_copy(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let (staging, copy) = (ObjectKey::Staging(upload(1)), ObjectKey::Copied(upload(1)));
    let put = Put::bare(&store.doors(upload(1), CONTENT).await, CONTENT.len());
    store.send(&put, body(CONTENT)).await.unwrap();
    store.objects.promote(upload(1)).await.unwrap();
    store.objects.delete(&staging).await.unwrap();
    store.send(&put, body(&CONTENT.to_ascii_uppercase())).await.unwrap();
    assert_eq!(store.objects.promote(upload(1)).await.unwrap(), stat_of(CONTENT));
    assert_eq!(store.read(copy, None).await.unwrap(), CONTENT);
}

/// First and last byte are both included, wherever they lie.
pub async fn a_range_is_exactly_that_range(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let content = pattern(700_001);
    let key = store.keep(upload(1), &content).await;
    for (first, last) in
        [(0, 0), (0, 9), (5, 5), (262_143, 262_144), (1, 699_999), (700_000, 700_000), (0, 700_000)]
    {
        let expected = &content[usize::try_from(first).unwrap()..=usize::try_from(last).unwrap()];
        assert!(store.read(key, Some((first, last))).await.unwrap() == expected, "{first}-{last}");
    }
}

/// A range that is not wholly inside is refused at once, never answered with less.
pub async fn a_range_outside_the_object_is_refused(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    store.lock(upload(1), CONTENT).await;
    store.lock(upload(2), b"").await;
    for (number, range) in [(1, (0, 25)), (1, (25, 25)), (1, (4, 3)), (1, (0, u64::MAX)), (2, (0, 0))] {
        let outcome = store.read(ObjectKey::Locked(upload(number)), Some(range)).await;
        assert!(matches!(outcome, Err(ObjectError::Unavailable(_))), "{range:?}: {outcome:?}");
    }
}

/// Several mebibytes in odd pieces come back as they were, at most 256 KiB at a time.
pub async fn a_large_object_comes_back_whole_in_bounded_chunks(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let content = pattern(5_000_011);
    let put = Put::locked(&store.doors(upload(1), &content).await, content.len());
    let pieces: Vec<_> =
        content.chunks(70_001).map(|piece| Ok::<_, io::Error>(Bytes::copy_from_slice(piece))).collect();
    store.send(&put, stream::iter(pieces).boxed()).await.unwrap();
    let chunks: Vec<Bytes> = store.chunks(put.key, None).await.unwrap().try_collect().await.unwrap();
    assert!(chunks.iter().all(|chunk| (1..=256 * 1024).contains(&chunk.len())));
    assert!(chunks.concat() == content);
}

/// After `delete` nothing is there, and the key may be used again.
pub async fn a_deleted_object_is_not_found(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    store.stage(upload(1), CONTENT).await;
    store.objects.delete(&ObjectKey::Staging(upload(1))).await.unwrap();
    store.assert_nothing_of(upload(1)).await;
    store.stage(upload(1), b"others").await;
    assert_eq!(store.objects.stat(&ObjectKey::Staging(upload(1))).await.unwrap(), stat_of(b"others"));
}

/// Deleting what is not there, or is there no more, succeeds.
pub async fn deleting_nothing_is_no_error(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let kept = store.keep(upload(1), CONTENT).await;
    for key in [kept, kept, ObjectKey::Staging(upload(9))] {
        store.objects.delete(&key).await.unwrap();
    }
    store.assert_nothing_of(upload(1)).await;
}

/// The keys of one upload do not hang together.
pub async fn deleting_one_key_leaves_the_others(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    store.stage(upload(1), CONTENT).await;
    let kept = store.keep(upload(1), CONTENT).await;
    store.objects.promote(upload(1)).await.unwrap();
    for gone in [ObjectKey::Staging(upload(1)), kept] {
        store.objects.delete(&gone).await.unwrap();
        assert_eq!(store.read(ObjectKey::Copied(upload(1)), None).await.unwrap(), CONTENT);
    }
}

/// Whoever has begun to read gets all of it.
pub async fn a_download_under_way_outlives_its_object(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let content = pattern(900_000);
    let key = store.keep(upload(1), &content).await;
    let mut chunks = store.chunks(key, None).await.unwrap();
    let mut read = chunks.try_next().await.unwrap().unwrap().to_vec();
    store.objects.delete(&key).await.unwrap();
    while let Some(chunk) = chunks.try_next().await.unwrap() {
        read.extend_from_slice(&chunk);
    }
    assert!(read == content);
}

/// Bytes that are nowhere the same for long.
fn pattern(len: u32) -> Vec<u8> {
    (0..len).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}
