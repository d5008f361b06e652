//! Uploads that many complete at once, over records in DynamoDB.

use std::{collections::BTreeSet, sync::Arc};

use shared::{
    adapters::{
        metadata::dynamodb::DynamoItems,
        objects::{memory::MemoryObjects, signed_url::UrlKey},
    },
    app::{
        audit,
        complete::{self, Completed},
        error::AppError,
        keys, uploads,
    },
    contract::objects::{Put, Store, body},
    ports::{clock::Clock as _, objects::Objects},
    testing::{build, time::TestClock},
};
use tokio::task::JoinSet;

use super::{SERVER, config, fresh_name, named_by};

const CONTENT: &[u8] = b"the bytes of an installer";
const AT_ONCE: u8 = 50;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
async fn fifty_completes_at_once_end_in_one_artifact_and_one_audit_entry() {
    let (config, table) = (config(&named_by(SERVER)), fresh_name());
    DynamoItems::new(&config, &table).create_table().await.unwrap();
    let clock = Arc::new(TestClock::at(1_700_000_000_000));
    let settings = build::settings();
    // Each is a process of its own, with a connection and counts of its own.
    let process = |number| {
        let items = Arc::new(DynamoItems::new(&config, &table));
        build::context(items, &clock, settings.clone(), number)
    };
    let memory = Arc::new(MemoryObjects::new(&settings.base_url, UrlKey::from_bytes(&[7; 32])));
    let objects: Arc<dyn Objects> = Arc::clone(&memory) as _;
    let (first, caller) = (process(0), build::caller());
    let (upload, doors) =
        uploads::initiate(&first, &objects, &caller, &build::initiation(CONTENT), None).await.unwrap();
    let store = Store { objects: Arc::clone(&objects), receiver: memory };
    let put = Put { now: clock.now_ms(), ..Put::locked(&doors.unwrap(), CONTENT.len()) };
    store.send(&put, body(CONTENT)).await.unwrap();

    let mut completing = JoinSet::new();
    for number in 1..=AT_ONCE {
        let (context, objects, caller) = (process(number), Arc::clone(&objects), caller.clone());
        let id = upload.upload_id;
        completing.spawn(async move { complete::complete(&context, &objects, &caller, id, None).await });
    }
    let mut made = BTreeSet::new();
    while let Some(answer) = completing.join_next().await {
        match answer.unwrap() {
            Ok(Completed::Artifact(artifact)) => _ = made.insert(artifact.artifact_id),
            Err(AppError::UploadInProgress) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(made.len(), 1, "{made:?}");
    let again = complete::complete(&first, &objects, &caller, upload.upload_id, None).await.unwrap();
    let Completed::Artifact(again) = again else { panic!("{again:?}") };
    assert!(made.contains(&again.artifact_id));
    let artifacts = first.store.query_all::<serde_json::Value>(keys::ARTIFACTS, "").await.unwrap();
    assert_eq!(artifacts.len(), 1);
    let completed =
        audit::Filter { kind: Some("upload.completed".into()), limit: 100, ..audit::Filter::default() };
    assert_eq!(audit::list(&first, &completed).await.unwrap().0.len(), 1);
}
