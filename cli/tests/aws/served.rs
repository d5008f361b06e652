//! Each document of `events/` is served by its function, as the host on Lambda would: the answer is a documented one.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use lambda_http::{
    Adapter, LambdaEvent, lambda_runtime,
    request::LambdaRequest,
    tower::{Service as _, ServiceExt as _},
};
use serde_json::Value;

use crate::{
    events::{self, UNKNOWN_PATH},
    recorder::Call,
    template::Template,
    text, verifying,
    world::World,
};

/// An operation of the API.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) method: String,
    pub(crate) route: String,
    /// The answers that are no refusals.
    pub(crate) answers: Vec<u64>,
}

/// Every operation of the OpenAPI document.
pub(crate) fn operations() -> Vec<Operation> {
    let document: Value = serde_saphyr::from_str(&text("docs/api/openapi.yaml")).unwrap();
    let mut found = Vec::new();
    for (route, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters")
        {
            let answers = operation["responses"].as_object().unwrap().keys();
            let answers =
                answers.map(|status| status.parse().unwrap()).filter(|status| *status < 400).collect();
            found.push(Operation { method: method.to_ascii_uppercase(), route: route.clone(), answers });
        }
    }
    assert!(found.len() > 40, "the document has fewer operations than the API: {}", found.len());
    found
}

/// The operation of each document of the HTTP API, by the routes of the template.
fn documents() -> BTreeMap<String, Operation> {
    let routes = Template::read().routes();
    let named = operations().into_iter().map(|operation| {
        let function = &routes[&format!("{} {}", operation.method, operation.route)];
        (events::name_of(function, &operation.method, &operation.route), operation)
    });
    named.collect()
}

/// The router of a function, as `main` of it has it.
pub(crate) async fn router(function: &str, world: &World) -> Router {
    let (context, objects) = (world.context.clone(), world.objects());
    let router = match function {
        "register" => register::router(register::Ports { context }),
        "initiate" => initiate::router(initiate::Ports { context, objects }),
        "complete" => complete::router(complete::Ports { context, objects }),
        "decide" => decide::router(decide::Ports { context, decider: world.decider() }),
        "download" => download::router(download::Ports { context, objects }),
        "manage" => manage::router(manage::Ports { context, objects, signing_keys: None }),
        other => panic!("{other} has no router"),
    };
    shared::lambda::host(router, world.context.clone())
}

/// What a router makes of a document: the answer as API Gateway is given it.
pub(crate) async fn answer(router: Router, document: Value) -> Value {
    answer_within(router, document, lambda_runtime::Context::default()).await
}

/// The same within an invocation that ends.
pub(crate) async fn answer_within(
    router: Router,
    document: Value,
    invocation: lambda_runtime::Context,
) -> Value {
    let payload: LambdaRequest = serde_json::from_value(document).unwrap();
    let event = LambdaEvent::new(payload, invocation);
    let answer = Adapter::from(router).ready().await.unwrap().call(event).await.unwrap();
    serde_json::to_value(answer).unwrap()
}

/// Serves all documents of a function, each in a deployment of its own; what was asked of AWS for them.
pub(crate) async fn serve_all(function: &str) -> BTreeSet<Call> {
    let of_function = documents().into_iter().filter(|(name, _)| name.starts_with(&format!("{function}/")));
    let mut calls = BTreeSet::new();
    for (name, operation) in of_function {
        let document = events::read(&name);
        let key = format!("{} {}", operation.method, operation.route);
        assert_eq!(document["routeKey"], *key, "{name} is of another route");
        assert_eq!(document["requestContext"]["routeKey"], *key, "{name} is of another route");
        let world = World::of_events().await;
        let router = router(function, &world).await;
        let answer = answer(router, document).await;
        let status = answer["statusCode"].as_u64().unwrap();
        assert!(operation.answers.contains(&status), "{name}: {answer}");
        calls.append(&mut world.calls.take());
    }
    assert!(!calls.is_empty(), "no document is for {function}");
    calls
}

#[test]
fn every_operation_has_a_document_and_every_document_a_test() {
    let known: BTreeSet<String> = documents()
        .into_keys()
        .chain([UNKNOWN_PATH.to_owned()])
        .chain(verifying::DOCUMENTS.map(|name| format!("verify/{name}.json")))
        .collect();
    assert_eq!(events::files(), known);
}

#[tokio::test]
async fn register_serves_its_documents() {
    serve_all("register").await;
}

#[tokio::test]
async fn initiate_serves_its_documents() {
    serve_all("initiate").await;
}

#[tokio::test]
async fn complete_serves_its_documents() {
    serve_all("complete").await;
}

#[tokio::test]
async fn decide_serves_its_documents() {
    serve_all("decide").await;
}

#[tokio::test]
async fn download_serves_its_documents() {
    serve_all("download").await;
}

#[tokio::test]
async fn manage_serves_its_documents() {
    serve_all("manage").await;
}

#[tokio::test]
async fn what_nobody_has_is_not_found_by_manage() {
    let world = World::of_events().await;
    let answer = answer(router("manage", &world).await, events::read(UNKNOWN_PATH)).await;
    assert_eq!(answer["statusCode"], 404);
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["code"], "NOT_FOUND");
}

#[tokio::test]
async fn the_token_of_the_documents_opens_nothing_where_nobody_stored_it() {
    let world = World::of_events().await;
    let mut document = events::read("manage/get-v1-tokens.json");
    let router = router("manage", &world).await;
    assert_eq!(answer(router.clone(), document.clone()).await["statusCode"], 200);
    document["headers"]["authorization"] =
        document["headers"]["authorization"].as_str().unwrap()[..60].into();
    assert_eq!(answer(router, document).await["statusCode"], 401);
}
