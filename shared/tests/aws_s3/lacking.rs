//! What is asked of a store that does less than S3: once exactly, then in the way that it understands. No S3 is needed.

use shared::{
    adapters::objects::s3::S3Objects,
    contract::objects::{CONTENT, upload},
    domain::upload::ObjectKey,
    ports::objects::{ObjectError, ObjectStat, Objects as _},
};

use crate::{
    answers::{GONE, STAGED, answer, error, head_of_the_copy, proved, served},
    world::{some_credentials, store},
};

const COPIED: &str = "<CopyObjectResult><ETag>x</ETag></CopyObjectResult>";
const UNTOLD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 25\r\nx-amz-version-id: v2\r\n\r\n";

/// A store that may lack some of S3, on a server with these answers, and the heads of what it was asked.
async fn scripted<const N: usize>(
    answers: [String; N],
) -> (S3Objects, std::sync::Arc<tokio::sync::Mutex<Vec<String>>>) {
    let (endpoint, asked) = served(answers).await;
    (store(&endpoint, "bucket", &some_credentials()).compatible(), asked)
}

fn untold() -> ObjectStat {
    ObjectStat { sha256: None, ..proved() }
}

#[tokio::test]
async fn a_store_that_cannot_be_asked_for_digests_is_asked_once() {
    for refusal in ["400 No", "501 No"] {
        let (store, asked) = scripted([answer(refusal, ""), UNTOLD.into(), UNTOLD.into(), GONE.into()]).await;
        let key = ObjectKey::Locked(upload(1));
        assert_eq!(store.stat(&key).await.unwrap(), untold());
        assert_eq!(store.stat(&key).await.unwrap(), untold());
        assert!(matches!(store.stat(&key).await, Err(ObjectError::NotFound(_))));
        let modes: Vec<bool> =
            asked.lock().await.iter().map(|head| head.contains("x-amz-checksum-mode")).collect();
        assert_eq!(modes, [true, false, false, false], "{refusal}");
    }
}

#[tokio::test]
async fn what_is_wrong_for_another_reason_is_no_lack() {
    let (store, asked) = scripted([answer("400 No", ""), answer("400 No", ""), head_of_the_copy()]).await;
    let key = ObjectKey::Locked(upload(1));
    assert!(matches!(store.stat(&key).await, Err(ObjectError::Unavailable(_))));
    assert_eq!(store.stat(&key).await.unwrap(), proved());
    assert!(asked.lock().await[2].contains("x-amz-checksum-mode"), "it is asked for the digest again");
    let (store, asked) = scripted([answer("503 No", ""), head_of_the_copy()]).await;
    assert!(matches!(store.stat(&key).await, Err(ObjectError::Unavailable(_))));
    assert_eq!(asked.lock().await.len(), 1);
}

#[tokio::test]
async fn a_store_that_makes_plain_copies_alone_is_asked_for_an_exact_one_once() {
    let refused = || error("501 No", "NotImplemented");
    let copied = || answer("200 OK", COPIED);
    let (store, asked) = scripted([
        GONE.into(),
        STAGED.into(),
        refused(),
        copied(),
        UNTOLD.into(),
        GONE.into(),
        STAGED.into(),
        copied(),
        UNTOLD.into(),
    ])
    .await;
    assert_eq!(store.promote(upload(1)).await.unwrap(), untold());
    assert_eq!(store.promote(upload(2)).await.unwrap(), untold());
    let asked = asked.lock().await;
    let sent: Vec<_> = asked.iter().filter(|head| head.contains("x-amz-copy-source:")).collect();
    let exact: Vec<bool> = sent.iter().map(|head| head.contains("if-none-match: *")).collect();
    assert_eq!(exact, [true, false, false]);
    for plain in &sent[1..] {
        assert!(plain.contains("?versionId=3%2FL4%2Bkq"), "the version is pinned all the same: {plain}");
        assert!(plain.contains("x-amz-metadata-directive: REPLACE"), "{plain}");
        assert!(!plain.contains("x-amz-checksum-algorithm") && !plain.contains("x-amz-tagging"), "{plain}");
    }
}

#[tokio::test]
async fn where_versions_are_not_known_the_object_itself_is_removed() {
    let removed = || "HTTP/1.1 204 No Content\r\n\r\n".to_owned();
    let unknown = || error("501 No", "NotImplemented");
    let (store, asked) = scripted([unknown(), removed(), removed()]).await;
    store.erase(&ObjectKey::Copied(upload(1))).await.unwrap();
    store.erase(&ObjectKey::Copied(upload(2))).await.unwrap();
    let firsts: Vec<String> =
        asked.lock().await.iter().map(|head| head.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(firsts, ["GET", "DELETE", "DELETE"]);
    let (endpoint, _) = served([unknown()]).await;
    let exact = crate::world::store(&endpoint, "bucket", &some_credentials());
    assert!(matches!(exact.erase(&ObjectKey::Copied(upload(1))).await, Err(ObjectError::Unavailable(_))));
}

#[tokio::test]
async fn over_s3_itself_nothing_is_asked_in_a_simpler_way() {
    let script = [GONE.into(), STAGED.into(), error("501 No", "NotImplemented")];
    let (endpoint, asked) = served(script).await;
    let exact = store(&endpoint, "bucket", &some_credentials());
    assert!(matches!(exact.promote(upload(1)).await, Err(ObjectError::Unavailable(_))));
    assert_eq!(asked.lock().await.len(), 3);
}

/// The doors of an upload over a server with these answers: whether there is a locked one, and what was asked for it.
async fn doors<const N: usize>(answers: [String; N]) -> (Result<bool, ObjectError>, Vec<String>) {
    let (store, asked) = scripted(answers).await;
    let grant = shared::ports::objects::UploadGrant {
        upload_id: upload(1),
        size_bytes: CONTENT.len() as u64,
        sha256: shared::contract::objects::digest(CONTENT),
        content_type: None,
        now: crate::world::now(),
        expires_in: std::time::Duration::from_secs(60),
    };
    let first = store.presign_upload(&grant).await.map(|doors| doors.checksum_locked.is_some());
    if first.is_ok() {
        let again = store.presign_upload(&grant).await.unwrap().checksum_locked.is_some();
        assert_eq!(Some(again), first.as_ref().ok().copied());
    }
    let asked = asked.lock().await.iter().map(|head| head.split(' ').next().unwrap().to_owned()).collect();
    (first, asked)
}

#[tokio::test]
async fn a_locked_door_is_handed_out_where_the_store_was_seen_to_refuse_other_bytes() {
    let (taken, refused) = (|| answer("200 OK", ""), || error("400 No", "BadDigest"));
    let (offered, asked) = doors([refused(), taken(), answer("204 Gone", "")]).await;
    assert!(offered.unwrap());
    assert_eq!(asked, ["PUT", "PUT", "DELETE"], "tried once");
    // It takes other bytes; or it takes nothing that comes with a digest or a condition.
    let (offered, asked) = doors([taken(), answer("204 Gone", "")]).await;
    assert!(!offered.unwrap());
    assert_eq!(asked, ["PUT", "DELETE"]);
    let unknown = || error("501 No", "NotImplemented");
    assert!(!doors([unknown(), unknown(), answer("204 Gone", "")]).await.0.unwrap());
}

#[tokio::test]
async fn where_the_store_could_not_be_tried_no_door_is_handed_out_and_it_is_tried_again() {
    for refusal in ["403 No", "500 No"] {
        let (offered, _) = doors([error(refusal, "AccessDenied")]).await;
        assert!(matches!(offered, Err(ObjectError::Unavailable(_))), "{refusal}");
    }
}
