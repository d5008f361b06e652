//! Each document for `verify` leads to what it is for, and those that come twice or from elsewhere to nothing.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::{
    app::gc,
    domain::{
        artifact::ArtifactState,
        ids::UploadId,
        upload::{ObjectKey, UploadState},
    },
    testing::fetcher::Line,
};

use crate::{
    events,
    recorder::Call,
    roles,
    template::Template,
    world::{EXPIRED, EXTERNAL, LARGE, LOCKED, STAGED, World},
};

/// The documents for `verify`; each is named by a test here.
pub(crate) const DOCUMENTS: [&str; 11] = [
    "object-created",
    "object-created-foreign",
    "schedule",
    "sqs-object-created",
    "sqs-one-unreadable",
    "sqs-task",
    "task-bootstrap",
    "task-check",
    "task-collect",
    "task-finish",
    "task-sweep",
];

/// Hands a document over; the answer, and what was asked of AWS meanwhile, all of which the role allows.
async fn deliver(world: &World, name: &str) -> (Value, BTreeSet<Call>) {
    assert!(DOCUMENTS.contains(&name), "{name} is not among the documents");
    let ports = verify::Ports { context: world.context.clone(), checker: world.checker() };
    let document = events::read(&format!("verify/{name}.json"));
    world.calls.take();
    let answer = verify::handle(&ports, document).await.unwrap();
    let calls = world.calls.take();
    roles::allows(&Template::read(), "verify", &calls, name);
    (answer, calls)
}

/// Those of the calls that change something.
fn changes(calls: &BTreeSet<Call>) -> Vec<&Call> {
    let reads = [
        "s3:ListBucket",
        "s3:ListBucketMultipartUploads",
        "dynamodb:GetItem",
        "dynamodb:BatchGetItem",
        "dynamodb:Query",
        "s3:GetObject",
        "s3:GetObjectVersion",
    ];
    calls.iter().filter(|(action, _)| !reads.contains(action)).collect()
}

async fn checked_by(name: &str, expected: Value) {
    let world = World::of_events().await;
    world.fetcher.then(Line::Matches);
    assert_eq!(world.artifact_now(EXTERNAL).await.state, ArtifactState::Verifying);
    assert_eq!(deliver(&world, name).await.0, expected);
    assert_eq!(world.artifact_now(EXTERNAL).await.state, ArtifactState::Available);
    // Once more, it finds nothing to do, or the script of the fetcher would be at its end.
    let (answer, calls) = deliver(&world, name).await;
    assert_eq!(answer, expected);
    assert!(changes(&calls).is_empty(), "{calls:?}");
    assert_eq!(world.fetcher.asked().len(), 1);
}

async fn finished_by(name: &str, expected: Value) {
    let world = World::of_events().await;
    assert_eq!(world.upload(LARGE).await.state, UploadState::Completing);
    assert_eq!(deliver(&world, name).await.0, expected);
    let upload = world.upload(LARGE).await;
    assert_eq!(upload.state, UploadState::Completed);
    let artifact = world.artifact_now(&upload.artifact_id.unwrap().to_string()).await;
    assert_eq!(artifact.state, ArtifactState::Available);
    let (answer, calls) = deliver(&world, name).await;
    assert_eq!(answer, expected);
    assert!(changes(&calls).is_empty(), "{calls:?}");
}

async fn swept_by(name: &str) {
    let world = World::of_events().await;
    assert_eq!(world.upload(EXPIRED).await.state, UploadState::Initiated);
    let (answer, calls) = deliver(&world, name).await;
    assert_eq!(answer, json!({}));
    assert_eq!(world.upload(EXPIRED).await.state, UploadState::Expired);
    let started: Vec<&String> =
        calls.iter().filter(|(action, _)| *action == "sqs:SendMessage").map(|(_, task)| task).collect();
    let check = format!(r#"{{"task":"check","artifact_id":"{EXTERNAL}"}}"#);
    let finish = format!(r#"{{"task":"finish","upload_id":"{LARGE}"}}"#);
    let collect = r#"{"task":"collect"}"#.to_owned();
    assert_eq!(started, [&check, &collect, &finish]);
    for other in [STAGED, LARGE] {
        assert_ne!(world.upload(other).await.state, UploadState::Expired, "{other}");
    }
}

#[tokio::test]
async fn an_order_to_check_has_the_artifact_checked_once() {
    checked_by("task-check", json!({})).await;
}

#[tokio::test]
async fn a_message_with_an_order_is_as_good_as_the_order() {
    checked_by("sqs-task", json!({ "batchItemFailures": [] })).await;
}

#[tokio::test]
async fn an_order_to_finish_has_the_upload_finished_once() {
    finished_by("task-finish", json!({})).await;
}

#[tokio::test]
async fn bytes_that_arrive_after_complete_finish_the_upload_once() {
    finished_by("sqs-object-created", json!({ "batchItemFailures": [] })).await;
}

#[tokio::test]
async fn bytes_that_arrive_before_complete_are_copied_and_complete_nothing() {
    let world = World::of_events().await;
    let id: UploadId = STAGED.parse().unwrap();
    assert!(world.objects().stat(&ObjectKey::Copied(id)).await.is_err());
    let before = world.upload(STAGED).await;
    for _ in 0..2 {
        assert_eq!(deliver(&world, "object-created").await.0, json!({}));
        assert_eq!(world.objects().stat(&ObjectKey::Copied(id)).await.unwrap().size_bytes, before.size_bytes);
        assert_eq!(world.upload(STAGED).await, before);
    }
}

#[tokio::test]
async fn an_object_of_somebody_else_is_not_looked_at() {
    let world = World::of_events().await;
    let (answer, calls) = deliver(&world, "object-created-foreign").await;
    assert_eq!(answer, json!({}));
    assert!(calls.is_empty(), "{calls:?}");
}

#[tokio::test]
async fn the_schedule_sweeps() {
    swept_by("schedule").await;
}

#[tokio::test]
async fn an_order_to_sweep_sweeps() {
    swept_by("task-sweep").await;
}

#[tokio::test]
async fn a_sweep_that_fails_is_no_error_of_the_function_and_the_next_one_does_it() {
    let mut world = World::of_events().await;
    let items = world.failing();
    for name in ["schedule", "task-sweep", "task-collect"] {
        items.set_down(true);
        let (answer, _) = deliver(&world, name).await;
        assert_eq!(answer["outcome"], "failed", "{name}: {answer}");
        items.set_down(false);
        assert_eq!(deliver(&world, name).await.0, json!({}), "{name}");
    }
    assert_eq!(world.upload(EXPIRED).await.state, UploadState::Expired);
}

#[tokio::test]
async fn of_a_batch_whatever_fails_comes_again() {
    let mut world = World::of_events().await;
    world.failing().set_down(true);
    let sent = events::read("verify/sqs-task.json")["Records"][0]["messageId"].clone();
    let (answer, _) = deliver(&world, "sqs-task").await;
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": sent }] }));
}

#[tokio::test]
async fn an_order_to_collect_goes_on_with_what_was_begun_and_begins_nothing() {
    let world = World::of_events().await;
    let (answer, calls) = deliver(&world, "task-collect").await;
    assert_eq!(answer, json!({}));
    assert!(changes(&calls).is_empty(), "{calls:?}");
    // A deleted artifact whose bytes were left, long ago.
    let left = world.leftover().await;
    let order = gc::Order { older_than_ms: gc::LEAST_AGE_MS, forced: false };
    gc::begin(&world.context, world.objects().as_ref(), None, order).await.unwrap();
    let (answer, calls) = deliver(&world, "task-collect").await;
    assert_eq!(answer, json!({}));
    let erased: Vec<&String> =
        calls.iter().filter(|(action, _)| *action == "s3:DeleteObjectVersion").map(|(_, key)| key).collect();
    let expected = [&left.to_string(), &format!("objects/{LOCKED}/locked"), &format!("staging/{STAGED}")];
    assert_eq!(erased, expected, "the last two are of uploads whose time is over by then");
    assert!(world.objects().stat(&left).await.is_err());
    assert!(gc::last(&world.context).await.unwrap().unwrap().finished_at.is_some());
}

#[tokio::test]
async fn of_a_batch_the_unreadable_message_alone_comes_again() {
    let world = World::of_events().await;
    world.fetcher.then(Line::Matches);
    let unreadable = events::read("verify/sqs-one-unreadable.json")["Records"][1]["messageId"].clone();
    let (answer, _) = deliver(&world, "sqs-one-unreadable").await;
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": unreadable }] }));
    assert_eq!(world.artifact_now(EXTERNAL).await.state, ArtifactState::Available);
    assert_eq!(world.upload(LARGE).await.state, UploadState::Completed);
}

#[tokio::test]
async fn the_first_token_is_made_once_and_only_where_there_is_none() {
    let world = World::empty();
    let document = events::read("verify/task-bootstrap.json");
    assert_eq!(deliver(&world, "task-bootstrap").await.0, json!({}));
    let token = world.token(document["token_id"].as_str().unwrap()).await.unwrap();
    assert_eq!(document["hash"], token.hash.to_string());
    let (answer, calls) = deliver(&world, "task-bootstrap").await;
    assert_eq!(answer, json!({}));
    assert!(changes(&calls).is_empty(), "{calls:?}");

    let world = World::of_events().await;
    let (answer, calls) = deliver(&world, "task-bootstrap").await;
    assert_eq!(answer["outcome"], "refused", "a refusal is no error of the function: {answer}");
    assert!(answer["reason"].as_str().unwrap().contains("has a token already"), "{answer}");
    assert!(changes(&calls).is_empty(), "{calls:?}");
}
