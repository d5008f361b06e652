//! What is made of each answer, and what is asked: over a server that says what a test told it to. No S3 is needed.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::{Client, config::timeout::TimeoutConfig};
use shared::{
    adapters::{metadata::memory::MemoryItems, objects::s3::S3Objects},
    app::{
        complete::{self, Completed},
        uploads,
    },
    contract::objects::{CONTENT, checksum, digest, upload},
    domain::{artifact::ArtifactState, upload::ObjectKey},
    ports::objects::{Area, ObjectError, ObjectStat, Objects as _, Thing},
    testing::{build, time::TestClock},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Mutex,
};

use crate::world::{client, some_credentials, store};

pub(crate) const STAGED: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 25\r\nETag: \"tag\"\r\nx-amz-version-id: 3/L4+kq\r\n\r\n";
/// An answer that takes 0.6 seconds.
const SLOW: &str = "(slow)";
pub(crate) const GONE: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

pub(crate) fn head_of_the_copy() -> String {
    let sha256 = checksum(CONTENT);
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 25\r\nx-amz-version-id: v2\r\n\
         x-amz-checksum-sha256: {sha256}\r\nx-amz-checksum-type: FULL_OBJECT\r\n\r\n"
    )
}

pub(crate) fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

pub(crate) fn error(status: &str, code: &str) -> String {
    answer(
        status,
        &format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>so</Message></Error>"),
    )
}

/// A store on a server with these answers, and the heads of the requests that it got.
async fn scripted<const N: usize>(answers: [String; N]) -> (S3Objects, Arc<Mutex<Vec<String>>>) {
    let (endpoint, asked) = served(answers).await;
    (store(&endpoint, "bucket", &some_credentials()), asked)
}

/// A server with these answers: where it is, and the heads of the requests that it got.
pub(crate) async fn served<const N: usize>(answers: [String; N]) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let mut answers = VecDeque::from(answers);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).await.unwrap();
                head.extend_from_slice(&byte);
            }
            let head = String::from_utf8(head).unwrap();
            let mut body = vec![0; length(&head)];
            stream.read_exact(&mut body).await.unwrap();
            noted.lock().await.push(head);
            let next = answers.pop_front().unwrap_or_else(|| error("500 No", "NotScripted"));
            if let Some(slow) = next.strip_prefix(SLOW) {
                tokio::time::sleep(Duration::from_millis(600)).await;
                // Whoever asked may have gone.
                drop(stream.write_all(slow.as_bytes()).await);
                continue;
            }
            let next = next.replacen("\r\n", "\r\nConnection: close\r\n", 1);
            stream.write_all(next.as_bytes()).await.unwrap();
        }
    });
    (endpoint, asked)
}

/// How many bytes come with a request.
fn length(head: &str) -> usize {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().map_or(0, |(_, length)| length.parse().unwrap())
}

pub(crate) fn proved() -> ObjectStat {
    ObjectStat { size_bytes: 25, sha256: Some(digest(CONTENT)), version: Some("v2".to_owned()) }
}

#[tokio::test]
async fn stat_is_one_request_whatever_the_size() {
    let large = head_of_the_copy().replace("Content-Length: 25", "Content-Length: 536870912000");
    let (store, asked) = scripted([large]).await;
    let stat = store.stat(&ObjectKey::Locked(upload(1))).await.unwrap();
    assert_eq!(stat, ObjectStat { size_bytes: 536_870_912_000, ..proved() });
    let asked = asked.lock().await;
    assert_eq!(asked.len(), 1);
    assert!(asked[0].starts_with(&format!("HEAD /bucket/objects/{}/locked HTTP", upload(1))), "{}", asked[0]);
    assert!(asked[0].contains("x-amz-checksum-mode: ENABLED"), "{}", asked[0]);
}

#[tokio::test]
async fn what_is_forbidden_or_broken_is_not_taken_for_missing() {
    for status in ["403 Forbidden", "500 Internal", "503 Slow Down", "301 Moved"] {
        let (store, _) = scripted([answer(status, "")]).await;
        let outcome = store.stat(&ObjectKey::Locked(upload(1))).await;
        assert!(matches!(outcome, Err(ObjectError::Unavailable(_))), "{status}: {outcome:?}");
    }
    let (store, _) = scripted([GONE.to_owned()]).await;
    let key = ObjectKey::Locked(upload(1));
    assert!(matches!(store.stat(&key).await, Err(ObjectError::NotFound(missing)) if missing == key));
}

#[tokio::test]
async fn the_copy_is_pinned_conditional_and_hashed() {
    let copied = answer("200 OK", "<CopyObjectResult><ETag>x</ETag></CopyObjectResult>");
    let (store, asked) = scripted([GONE.to_owned(), STAGED.to_owned(), copied, head_of_the_copy()]).await;
    assert_eq!(store.promote(upload(1)).await.unwrap(), proved());
    let asked = asked.lock().await;
    assert_eq!(asked.len(), 4);
    let copy = asked[2].to_lowercase();
    let (to, from) = (ObjectKey::Copied(upload(1)), ObjectKey::Staging(upload(1)));
    assert!(asked[2].starts_with(&format!("PUT /bucket/{to}")), "{copy}");
    for header in [
        format!("x-amz-copy-source: bucket/{from}?versionId=3%2FL4%2Bkq"),
        "x-amz-copy-source-if-match: \"tag\"".to_owned(),
        "if-none-match: *".to_owned(),
        "x-amz-checksum-algorithm: SHA256".to_owned(),
        "x-amz-metadata-directive: REPLACE".to_owned(),
        "x-amz-tagging-directive: REPLACE".to_owned(),
    ] {
        assert!(copy.lines().any(|line| line == header.to_lowercase()), "{header} is not in {copy}");
    }
}

#[tokio::test]
async fn an_error_in_a_200_is_no_success() {
    for code in ["InternalError", "SlowDown", "AccessDenied"] {
        let (store, asked) =
            scripted([GONE.to_owned(), STAGED.to_owned(), error("200 OK", code), head_of_the_copy()]).await;
        let outcome = store.promote(upload(1)).await;
        assert!(matches!(outcome, Err(ObjectError::Unavailable(_))), "{code}: {outcome:?}");
        assert_eq!(asked.lock().await.len(), 3);
    }
}

#[tokio::test]
async fn a_copy_that_is_there_already_is_looked_at() {
    let refusals = [("412 No", "PreconditionFailed"), ("409 No", "ConditionalRequestConflict")];
    for (status, code) in refusals.into_iter().chain([("404 No", "NoSuchKey"), ("404 No", "NoSuchVersion")]) {
        let (store, _) =
            scripted([GONE.to_owned(), STAGED.to_owned(), error(status, code), head_of_the_copy()]).await;
        assert_eq!(store.promote(upload(1)).await.unwrap(), proved(), "{code}");
    }
    let (store, _) = scripted([GONE.to_owned(), GONE.to_owned(), head_of_the_copy()]).await;
    assert_eq!(store.promote(upload(1)).await.unwrap(), proved());
    let (store, asked) = scripted([head_of_the_copy()]).await;
    assert_eq!(store.promote(upload(1)).await.unwrap(), proved());
    assert_eq!(asked.lock().await.len(), 1);
}

#[tokio::test]
async fn a_refused_copy_that_is_not_there_is_an_error_to_try_again() {
    for (status, code) in [("412 No", "PreconditionFailed"), ("409 No", "ConditionalRequestConflict")] {
        let (store, _) =
            scripted([GONE.to_owned(), STAGED.to_owned(), error(status, code), GONE.to_owned()]).await;
        let outcome = store.promote(upload(1)).await;
        assert!(matches!(outcome, Err(ObjectError::Unavailable(_))), "{code}: {outcome:?}");
    }
}

#[tokio::test]
async fn staging_that_is_put_again_while_it_is_copied_is_copied_as_it_is_then() {
    let copied = answer("200 OK", "<CopyObjectResult><ETag>x</ETag></CopyObjectResult>");
    let refused = || error("412 No", "PreconditionFailed");
    let again = STAGED.replace("\"tag\"", "\"other\"");
    let script = [GONE.into(), STAGED.into(), refused(), GONE.into(), again, copied, head_of_the_copy()];
    let (store, asked) = scripted(script).await;
    assert_eq!(store.promote(upload(1)).await.unwrap(), proved());
    assert!(asked.lock().await[5].to_lowercase().contains("x-amz-copy-source-if-match: \"other\""));
    let round = || [STAGED.to_owned(), refused(), GONE.to_owned()];
    let mut script = vec![GONE.to_owned()];
    (0..4).for_each(|_| script.extend(round()));
    let script: [String; 13] = script.try_into().unwrap();
    let (store, asked) = scripted(script).await;
    assert!(matches!(store.promote(upload(1)).await, Err(ObjectError::Unavailable(_))), "not for ever");
    assert_eq!(asked.lock().await.len(), 13);
}

#[tokio::test]
async fn where_staging_and_the_copy_are_gone_staging_is_not_found() {
    let staging = ObjectKey::Staging(upload(1));
    let gone = || GONE.to_owned();
    let (first, _) = scripted([gone(), gone(), gone()]).await;
    let (second, _) =
        scripted([GONE.to_owned(), STAGED.to_owned(), error("404 No", "NoSuchKey"), gone()]).await;
    for store in [first, second] {
        let outcome = store.promote(upload(1)).await;
        assert!(matches!(outcome, Err(ObjectError::NotFound(key)) if key == staging), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_refusal_of_either_look_is_the_answer() {
    let (first, _) = scripted([answer("403 No", "")]).await;
    let (second, _) = scripted([GONE.to_owned(), answer("503 No", "")]).await;
    let (third, _) = scripted([GONE.to_owned(), GONE.to_owned(), answer("403 No", "")]).await;
    let (fourth, _) = scripted([GONE.to_owned(), STAGED.to_owned(), error("403 No", "AccessDenied")]).await;
    for store in [first, second, third, fourth] {
        let outcome = store.promote(upload(1)).await;
        assert!(matches!(outcome, Err(ObjectError::Unavailable(_))), "{outcome:?}");
    }
}

/// A store whose client waits 0.2 seconds.
fn impatient(endpoint: &str) -> S3Objects {
    let limit = Duration::from_millis(200);
    let limits = TimeoutConfig::builder().operation_timeout(limit).operation_attempt_timeout(limit);
    let config = client(endpoint, some_credentials()).config().to_builder().timeout_config(limits.build());
    let credentials = SharedCredentialsProvider::new(some_credentials());
    S3Objects::new(Client::from_conf(config.build()), "bucket", credentials)
}

/// A client that waits 0.2 seconds, in a store that waits so long for a copy; and a copy that takes 0.6.
async fn promote_slowly(copy_timeout: Duration) -> (Result<ObjectStat, ObjectError>, usize) {
    let copied = answer("200 OK", "<CopyObjectResult><ETag>x</ETag></CopyObjectResult>");
    let copied = format!("{SLOW}{}", copied.replacen("\r\n", "\r\nConnection: close\r\n", 1));
    let script = [GONE.to_owned(), STAGED.to_owned(), copied, head_of_the_copy()];
    let (endpoint, asked) = served(script).await;
    let store = impatient(&endpoint);
    let outcome = store.with_copy_timeout(copy_timeout).promote(upload(1)).await;
    let count = asked.lock().await.len();
    (outcome, count)
}

#[tokio::test]
async fn a_copy_may_take_longer_than_other_calls() {
    assert_eq!(promote_slowly(Duration::from_secs(5)).await.0.unwrap(), proved());
}

#[tokio::test]
async fn a_copy_that_takes_too_long_is_given_up_and_not_begun_again() {
    let (outcome, asked) = promote_slowly(Duration::from_millis(300)).await;
    assert!(matches!(outcome, Err(ObjectError::Unavailable(_))), "{outcome:?}");
    assert_eq!(asked, 3);
}

#[tokio::test]
async fn a_part_that_we_write_ourselves_may_take_longer_than_other_calls() {
    let begun = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
    let sent = "HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"part\"\r\nContent-Length: 0\r\n\r\n";
    let whole = "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>";
    let script =
        [answer("200 OK", begun), format!("{SLOW}{sent}"), answer("200 OK", whole), head_of_the_copy()];
    let (endpoint, asked) = served(script).await;
    let store = impatient(&endpoint);
    let key = ObjectKey::escrow("art_01jd9xq6r6m4t8r0c5b7n3k1fz".parse().unwrap(), 1);
    let mut draft = store.keep(&key, CONTENT.len() as u64).await.unwrap();
    draft.write(bytes::Bytes::from_static(CONTENT)).await.unwrap();
    assert_eq!(draft.publish(0).await.unwrap(), proved());
    assert_eq!(asked.lock().await.len(), 4);
}

#[tokio::test]
async fn completing_through_the_locked_door_is_two_calls_and_no_byte_is_read_whatever_the_size() {
    for size in [5_000_000, 500_000_000, 5_000_000_000] {
        let head = head_of_the_copy().replace("Content-Length: 25", &format!("Content-Length: {size}"));
        let (store, asked) = scripted([head, "HTTP/1.1 204 Gone\r\n\r\n".to_owned()]).await;
        let objects: Arc<dyn shared::ports::objects::Objects> = Arc::new(store);
        let clock = Arc::new(TestClock::at(1_700_000_000_000));
        let context = build::context(Arc::new(MemoryItems::default()), &clock, build::settings(), 1);
        let (caller, initiation) = (build::caller(), build::initiation(CONTENT));
        let initiation = uploads::Initiation { size_bytes: size, ..initiation };
        let begun = uploads::initiate(&context, &objects, &caller, &initiation, None).await.unwrap().0;
        assert!(asked.lock().await.is_empty(), "URLs are signed without asking anybody");
        let done = complete::complete(&context, &objects, &caller, begun.upload_id, None).await.unwrap();
        let Completed::Artifact(artifact) = done else { panic!("{done:?}") };
        assert_eq!((artifact.size_bytes, artifact.state), (size, ArtifactState::Available));
        let asked = asked.lock().await;
        let words: Vec<_> = asked.iter().map(|head| head.split('?').next().unwrap().to_owned()).collect();
        let (locked, staging) = (ObjectKey::Locked(begun.upload_id), ObjectKey::Staging(begun.upload_id));
        assert_eq!(words.len(), 2, "{asked:?}");
        assert!(words[0].starts_with(&format!("HEAD /bucket/{locked} ")), "{asked:?}");
        assert!(words[1].starts_with(&format!("DELETE /bucket/{staging}")), "{asked:?}");
    }
}

#[tokio::test]
async fn what_was_begun_of_a_copy_is_listed_as_a_draft_and_ended_by_its_own_name() {
    let copy = ObjectKey::Escrow(upload(1), 1);
    let listed = format!(
        "<?xml version=\"1.0\"?>\n<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><Upload><Key>{copy}</Key>\
         <UploadId>left</UploadId><Initiated>2026-08-01T12:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>"
    );
    let (store, asked) = scripted([answer("200 OK", &listed), answer("204 No Content", "")]).await;
    let found = store.list(Area::Parts, None, 10).await.unwrap().found;
    assert_eq!(found[0].thing, Thing::Draft { key: copy, store_id: "left".into() });
    store.discard(&copy, "left").await.unwrap();
    let asked = asked.lock().await;
    assert!(asked[1].starts_with(&format!("DELETE /bucket/{copy}?")), "{}", asked[1]);
    assert!(asked[1].contains("uploadId=left"), "{}", asked[1]);
}
