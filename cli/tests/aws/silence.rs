//! Where DynamoDB takes what it is sent and never answers: every function says 503 before its time is over.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use lambda_http::lambda_runtime;
use serde_json::Value;
use shared::{
    adapters::{
        aws::{AwsCredentials, AwsSettings, OPERATION_TIMEOUT, sdk_config},
        metadata::dynamodb::DynamoItems,
    },
    app::{store::Store, warm_up},
    domain::secret::Secret,
    lambda::RESERVE,
};
use tokio::net::TcpListener;

use crate::{
    events,
    served::{answer_within, router},
    template::{FUNCTIONS, Template},
    world::{NOW, World},
};

/// API Gateway waits so long for a function, in seconds.
const GATEWAY_SECONDS: u64 = 30;

/// A request of each function of the API that needs records.
const REQUESTS: [&str; 6] = [
    "register/post-v1-artifacts.json",
    "initiate/post-v1-artifacts-uploads.json",
    "complete/post-v1-artifacts-uploads-upload_id-complete.json",
    "decide/post-v1-decision.json",
    "download/get-v1-artifacts-artifact_id-download.json",
    "manage/get-v1-artifacts.json",
];

/// Records in a table that never answers.
async fn silent_store() -> Store {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint_url = Some(format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        let mut taken = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            taken.push(connection);
        }
    });
    let credentials = AwsCredentials {
        access_key_id: "test".into(),
        secret_access_key: Secret::new("test".into()),
        session_token: None,
    };
    let settings = AwsSettings { region: "us-east-1".into(), endpoint_url, credentials, ca_pem: None };
    Store::new(Arc::new(DynamoItems::new(&sdk_config(&settings), "t")))
}

/// The time of a function, from the template.
fn timeout_of(function: &str) -> Duration {
    Duration::from_secs(Template::read().function(function)["Timeout"].as_u64().unwrap())
}

/// An invocation that ends after this time, as the test's clock has it.
fn ending_in(left: Duration) -> lambda_runtime::Context {
    let mut context = lambda_runtime::Context::default();
    context.deadline = u64::try_from(NOW).unwrap() + u64::try_from(left.as_millis()).unwrap();
    context
}

fn is_unavailable(name: &str, answer: &Value) {
    assert_eq!(answer["statusCode"], 503, "{name}: {answer}");
    assert_eq!(answer["headers"]["retry-after"], "5", "{name}: {answer}");
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["code"], "UNAVAILABLE", "{name}");
}

#[test]
fn a_function_of_the_api_may_run_longer_than_two_calls_that_nobody_answers_and_shorter_than_the_gateway_waits()
 {
    for function in FUNCTIONS {
        let timeout = timeout_of(function);
        assert!(timeout > 2 * OPERATION_TIMEOUT + RESERVE, "{function}: {timeout:?}");
        assert!(function == "verify" || timeout.as_secs() < GATEWAY_SECONDS, "{function}: {timeout:?}");
    }
}

#[tokio::test]
async fn every_function_answers_503_before_its_time_is_over_where_the_records_are_silent() {
    let asked = REQUESTS.map(|name| async move {
        let mut world = World::of_events().await;
        world.context.store = silent_store().await;
        let function = name.split_once('/').unwrap().0;
        let router = router(function, &world).await;
        let (timeout, started) = (timeout_of(function), Instant::now());
        let answer = answer_within(router, events::read(name), ending_in(timeout)).await;
        is_unavailable(name, &answer);
        assert!(started.elapsed() + RESERVE < timeout, "{name}: it took {:?}", started.elapsed());
    });
    join_all(asked).await;
}

#[tokio::test]
async fn a_request_that_would_outlast_its_invocation_is_given_up_in_time_to_say_so() {
    let mut world = World::of_events().await;
    world.context.store = silent_store().await;
    let (left, started) = (Duration::from_millis(1_200), Instant::now());
    let document = events::read("manage/get-v1-artifacts.json");
    let answer = answer_within(router("manage", &world).await, document, ending_in(left)).await;
    is_unavailable("manage", &answer);
    assert!(started.elapsed() < left, "it took {:?}", started.elapsed());
}

#[tokio::test]
async fn a_start_does_not_wait_for_what_is_silent() {
    let mut world = World::of_events().await;
    world.context.store = silent_store().await;
    let (decider, started) = (world.decider(), Instant::now());
    tokio::join!(decider.warm_up(), warm_up::records(&world.context));
    let took = started.elapsed();
    assert!((warm_up::LIMIT..warm_up::LIMIT * 2).contains(&took), "it took {took:?}");
}
