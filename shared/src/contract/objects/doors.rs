//! Promises about the two doors: what a signed URL takes, and what it refuses before it reads a byte.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use ::bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{CONTENT, Fixture, LIFETIME, NOW, Put, Store, body, checksum, digest, grant, upload};
use crate::{
    domain::upload::ObjectKey,
    ports::objects::{ReceiveError, UploadDoors},
};

/// Every way in, as it is meant to be used.
fn both(doors: &UploadDoors) -> Vec<Put> {
    Put::each(doors, CONTENT.len())
}

async fn assert_denied(store: &Store, put: &Put) {
    let outcome = store.send(put, body(CONTENT)).await;
    assert!(matches!(outcome, Err(ReceiveError::AccessDenied(_))), "{put:?}: {outcome:?}");
    store.assert_nothing_of(upload(1)).await;
}

/// `curl -X PUT "$UPLOAD_URL" --data-binary @file -H "Content-Type: application/octet-stream"`, and any other media
/// type or none where none was declared.
pub async fn the_documented_curl_works(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let types = [Some("application/octet-stream"), Some("application/x-www-form-urlencoded"), None];
    for (number, content_type) in (1..).zip(types) {
        let mut put = Put::bare(&store.doors(upload(number), CONTENT).await, CONTENT.len());
        put.content_type = content_type.map(str::to_owned);
        store.send(&put, body(CONTENT)).await.unwrap();
        assert_eq!(put.key, ObjectKey::Staging(upload(number)));
    }
}

/// `expires_at` is the asked time, and the URL works until the millisecond before it.
pub async fn a_url_ends_when_it_says(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let doors = store.doors(upload(1), CONTENT).await;
    assert_eq!(doors.expires_at, NOW + 900_000);
    assert_eq!(LIFETIME.as_millis(), 900_000);
    for mut put in both(&doors) {
        put.now = doors.expires_at - 1;
        store.send(&put, body(CONTENT)).await.unwrap();
    }
}

/// From `expires_at` on, neither door opens.
pub async fn an_expired_url_is_refused(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let doors = store.doors(upload(1), CONTENT).await;
    for mut put in both(&doors) {
        for now in [doors.expires_at, doors.expires_at + 1, i64::MAX] {
            put.now = now;
            assert_denied(&store, &put).await;
        }
    }
}

/// Every byte of the signature counts, and its length.
pub async fn a_changed_signature_is_refused(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    for put in both(&store.doors(upload(1), CONTENT).await) {
        let start = put.query.find("signature=").unwrap() + "signature=".len();
        for at in start..put.query.len() {
            for other in ['A', 'B', '-', '%'] {
                let query = with_byte(&put.query, at, other);
                if query != put.query {
                    assert_denied(&store, &Put { query, ..put.clone() }).await;
                }
            }
        }
        for length in [start, put.query.len() - 1] {
            let query = put.query.chars().take(length).collect();
            assert_denied(&store, &Put { query, ..put.clone() }).await;
        }
        for tail in ["=", "A", "&", " "] {
            assert_denied(&store, &Put { query: format!("{}{tail}", put.query), ..put.clone() }).await;
        }
    }
}

/// Every byte before the signature counts too, be it of a name or a value.
pub async fn every_changed_parameter_is_refused(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let mut grant = grant(upload(1), CONTENT);
    grant.content_type = Some("application/octet-stream".to_owned());
    for put in both(&store.objects.presign_upload(&grant).await.unwrap()) {
        for at in 0..put.query.find("signature=").unwrap() {
            for other in ['0', '9', 'a', '&'] {
                let query = with_byte(&put.query, at, other);
                if query != put.query {
                    assert_denied(&store, &Put { query, ..put.clone() }).await;
                }
            }
        }
    }
}

/// The query is exactly the signed one: none left out, none added before, between or after, none twice.
pub async fn every_added_or_missing_parameter_is_refused(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    for put in both(&store.doors(upload(1), CONTENT).await) {
        let pairs: Vec<&str> = put.query.split('&').collect();
        for at in 0..pairs.len() {
            let mut fewer = pairs.clone();
            fewer.remove(at);
            assert_denied(&store, &Put { query: fewer.join("&"), ..put.clone() }).await;
            for added in ["x=y", "expires=99999999999999", pairs[at]] {
                let mut more = pairs.clone();
                more.insert(at, added);
                assert_denied(&store, &Put { query: more.join("&"), ..put.clone() }).await;
            }
        }
        for query in [String::new(), format!("{}&x=y", put.query), put.query.replace('&', ";")] {
            assert_denied(&store, &Put { query, ..put.clone() }).await;
        }
    }
}

/// A URL is for its own key: not for another upload, not for the other door, and never for what is served.
pub async fn a_url_opens_no_other_key(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let doors = store.doors(upload(2), CONTENT).await;
    for put in both(&doors) {
        let keys = [ObjectKey::Staging, ObjectKey::Locked, ObjectKey::Copied];
        for key in keys.into_iter().flat_map(|key| [key(upload(1)), key(upload(2))]) {
            if key != put.key {
                assert_denied(&store, &Put { key, ..put.clone() }).await;
            }
        }
    }
    store.assert_nothing_of(upload(2)).await;
}

/// An announced length that is not the declared one is refused, though the body would fit either.
pub async fn the_bare_door_refuses_another_length(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let doors = store.doors(upload(1), CONTENT).await;
    refuses_other_lengths(&store, Put::bare(&doors, CONTENT.len())).await;
}

/// The locked door as well.
pub async fn the_locked_door_refuses_another_length(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let doors = store.doors(upload(1), CONTENT).await;
    refuses_other_lengths(&store, Put::locked(&doors, CONTENT.len())).await;
}

async fn refuses_other_lengths(store: &Store, mut put: Put) {
    for length in [0, 24, 26, u64::MAX] {
        put.content_length = Some(length);
        let outcome = store.send(&put, body(CONTENT)).await;
        let right =
            matches!(outcome, Err(ReceiveError::WrongSize { declared: 25, found }) if found == length);
        assert!(right, "{length}: {outcome:?}");
        store.assert_nothing_of(upload(1)).await;
    }
}

/// A body whose length nobody announced is refused.
pub async fn the_bare_door_refuses_an_unknown_length(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let doors = store.doors(upload(1), CONTENT).await;
    for mut put in both(&doors) {
        put.content_length = None;
        assert_denied(&store, &put).await;
    }
}

/// A declared media type must be sent, as declared.
pub async fn the_bare_door_refuses_another_media_type_than_declared(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let mut grant = grant(upload(1), CONTENT);
    grant.content_type = Some("application/x-msi; version=\"1 & 2\"".to_owned());
    let mut put = Put::bare(&store.objects.presign_upload(&grant).await.unwrap(), CONTENT.len());
    for other in [None, Some(""), Some("application/octet-stream"), Some("application/x-msi")] {
        put.content_type = other.map(str::to_owned);
        assert_denied(&store, &put).await;
    }
    put.content_type = grant.content_type;
    store.send(&put, body(CONTENT)).await.unwrap();
}

/// A checksum at the door that checks none is refused rather than ignored, even if it is right.
pub async fn the_bare_door_refuses_a_checksum_that_nobody_signed(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let mut put = Put::bare(&store.doors(upload(1), CONTENT).await, CONTENT.len());
    put.checksum = Some(checksum(CONTENT));
    assert_denied(&store, &put).await;
}

/// The declared bytes pass, and land where only checked bytes are.
pub async fn the_locked_door_takes_the_declared_bytes(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let put = Put::locked(&store.doors(upload(1), CONTENT).await, CONTENT.len());
    store.send(&put, body(CONTENT)).await.unwrap();
    assert_eq!(put.key, ObjectKey::Locked(upload(1)));
    assert_eq!(store.objects.stat(&put.key).await.unwrap().sha256, Some(digest(CONTENT)));
}

/// Other bytes of the right length do not pass, however the headers look; the right ones still do afterwards.
pub async fn the_locked_door_refuses_other_bytes(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let put = Put::locked(&store.doors(upload(1), CONTENT).await, CONTENT.len());
    for at in 0..CONTENT.len() {
        let mut other = CONTENT.to_vec();
        other[at] ^= 1;
        let (declared, found) = (digest(CONTENT), digest(&other));
        match store.send(&put, body(&other)).await {
            Err(ReceiveError::WrongDigest { declared: d, found: f }) => assert_eq!((d, f), (declared, found)),
            outcome => panic!("{outcome:?}"),
        }
        store.assert_nothing_of(upload(1)).await;
    }
    store.send(&put, body(CONTENT)).await.unwrap();
}

/// The header must be sent as it was handed out, so that no store in between takes the bytes unchecked.
pub async fn the_locked_door_refuses_a_missing_or_another_checksum(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let mut put = Put::locked(&store.doors(upload(1), CONTENT).await, CONTENT.len());
    assert_eq!(put.checksum, Some(checksum(CONTENT)));
    let (other, unpadded) = (checksum(b"other"), checksum(CONTENT).replace('=', ""));
    for header in [None, Some(String::new()), Some(other), Some(unpadded), Some(digest(CONTENT).to_string())]
    {
        put.checksum = header;
        assert_denied(&store, &put).await;
    }
}

/// What can be told from the request alone is told before the body is asked for: a gigabyte is not sent in vain.
pub async fn a_refused_put_reads_no_body(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let put = Put::bare(&store.doors(upload(1), CONTENT).await, CONTENT.len());
    store.send(&put, body(CONTENT)).await.unwrap();
    let late = Put { now: i64::MAX, ..put.clone() };
    let long = Put { content_length: Some(26), ..put.clone() };
    for refused in [put, late, long] {
        let asked = Arc::new(AtomicBool::new(false));
        let mark = Arc::clone(&asked);
        let watched = stream::once(async move {
            mark.store(true, Ordering::Relaxed);
            Ok(Bytes::from_static(CONTENT))
        });
        store.send(&refused, watched.boxed()).await.unwrap_err();
        assert!(!asked.load(Ordering::Relaxed), "{refused:?}");
    }
}

/// The query with another byte at a place.
fn with_byte(query: &str, at: usize, byte: char) -> String {
    query.char_indices().map(|(index, old)| if index == at { byte } else { old }).collect()
}
