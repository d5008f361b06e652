//! How often a process that decides calls another service: the price of decisions, and what a busy store or key is spared.

use std::collections::HashSet;

use shared::{
    app::{context::Settings, decisions::Decider, products},
    testing::build,
};

use super::world::{CONTENT, PRODUCT, Process, SECOND, World};

/// As old as a catalogue may be in a function.
const MAX_AGE: i64 = 25 * SECOND;

/// A process that has decided once, with one release.
async fn warm(world: &mut World) -> (Process, std::sync::Arc<Decider>) {
    world.product().await;
    let artifact = world.managed(CONTENT).await;
    world.publish("2.0.0", &[artifact]).await;
    let process = world.another();
    let decider = world.decider(&process).await;
    token(&decider, None).await;
    (process, decider)
}

async fn token(decider: &Decider, nonce: Option<&str>) -> String {
    let question = build::question(PRODUCT, "1.0.0");
    let signed = decider.answer(&question, nonce, false).await.unwrap();
    assert!(signed.payload_json.contains("2.0.0"), "{}", signed.payload_json);
    signed.token.to_string()
}

fn settings() -> Settings {
    Settings { catalogue_max_age_ms: MAX_AGE, ..build::settings() }
}

#[tokio::test]
async fn a_warm_decision_calls_nothing() {
    let mut world = World::with(settings());
    let (process, decider) = warm(&mut world).await;
    let (calls, first) = (process.items.calls(), token(&decider, None).await);
    for _ in 0..100 {
        assert_eq!(token(&decider, None).await, first, "it is remembered with its signature");
        token(&decider, Some("a-nonce-of-a-client-01")).await;
    }
    assert_eq!(process.items.calls(), calls);
}

#[tokio::test]
async fn ten_decisions_a_second_make_one_call_in_a_hundred_at_most() {
    const DECISIONS: u32 = 10 * 60 * 60;
    let mut world = World::with(settings());
    let (process, decider) = warm(&mut world).await;
    let before = process.items.calls();
    let mut tokens = HashSet::new();
    for _ in 0..DECISIONS {
        world.clock.advance(SECOND / 10);
        tokens.insert(token(&decider, None).await);
    }
    // Every signature makes a token of its own.
    let calls = process.items.calls() - before + u64::try_from(tokens.len()).unwrap();
    assert!(calls * 100 <= u64::from(DECISIONS), "{calls} calls for {DECISIONS} decisions");
    // And the catalogue is as young as it is meant to be: it was read each time.
    assert!(calls >= u64::from(DECISIONS) / 260, "{calls} calls for {DECISIONS} decisions");
}

#[tokio::test]
async fn what_all_products_share_is_read_once_however_many_are_asked_about() {
    let mut world = World::with(settings());
    let name = |number: u32| format!("product-{number}");
    for number in 0..50 {
        let id = name(number).parse().unwrap();
        products::create(world.context(), &world.caller, (&id, None), &[], None).await.unwrap();
    }
    let process = world.another();
    let decider = world.decider(&process).await;
    let ask = async || {
        for number in 0..50 {
            decider.answer(&build::question(&name(number), "1.0.0"), None, false).await.unwrap();
        }
    };
    ask().await;
    let (heads, each) = (process.items.looks_at("deployment"), process.items.looks_at("products"));
    world.clock.advance(MAX_AGE + 1);
    ask().await;
    ask().await;
    assert_eq!(process.items.looks_at("products") - each, 50);
    // The head of the deployment and that of what is withheld are in one partition, which each process reads.
    assert_eq!(process.items.looks_at("deployment") - heads, 2);
}
