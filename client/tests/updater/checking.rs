//! Asking: what is sent, what is believed, and when it is asked again.

use std::time::Duration;

use client::{ClientError, UpdateError, Updater};
use decision::{Action, Keyset};
use serde_json::{Value, json};

use crate::world::{Instead, NOW, TestClock, World, keyset};

#[tokio::test]
async fn a_signed_answer_is_believed_and_remembered() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let checked = world.updater(state.path()).check().await.unwrap();
    assert_eq!((checked.action(), checked.reason()), (Action::None, "UP_TO_DATE"));
    assert!(checked.offer().is_none());
    // Another process, later: an older answer is not believed.
    world.say(json!({"seq": 9}));
    let clock = TestClock::at(NOW);
    let later = world.builder(state.path(), clock.clone()).build().unwrap();
    assert_eq!(later.check().await.unwrap_err().code(), "REPLAYED");
    assert_eq!(clock.waits(), [Duration::from_secs(30); 2]);
    assert_eq!(world.asked().len(), 4);
}

#[tokio::test]
async fn every_question_has_a_nonce_of_its_own_where_the_keyset_says_so() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let updater = world.updater(state.path());
    updater.check().await.unwrap();
    updater.check().await.unwrap();
    let nonces: Vec<Value> = world.asked().iter().map(|question| question["nonce"].clone()).collect();
    assert!(nonces.iter().all(|nonce| nonce.as_str().unwrap().len() == 22), "{nonces:?}");
    assert_ne!(nonces[0], nonces[1]);
    let without = Keyset { nonces: false, ..keyset(1, 1, &[&world.signer()]) };
    let builder = world.builder(state.path(), TestClock::at(NOW));
    let updater = builder.pinned_keyset(serde_json::to_string(&without).unwrap().as_bytes()).build().unwrap();
    updater.check().await.unwrap();
    assert!(world.asked()[2].get("nonce").is_none());
}

#[tokio::test]
async fn the_question_says_what_the_updater_was_told() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let updater = world
        .builder(state.path(), TestClock::at(NOW))
        .channel("beta")
        .tenant("acme")
        .os_version("10.0")
        .installer_types(["msi", "exe"])
        .platform("windows", "arm64")
        .client_id("c-1")
        .build()
        .unwrap();
    updater.check().await.unwrap();
    let mut asked = world.asked()[0].clone();
    asked.as_object_mut().unwrap().remove("nonce").unwrap();
    let row = json!({"product_id": "editor", "current_version": "1.4.0", "channel": "beta", "tenant_id": "acme",
        "platform": "windows", "arch": "arm64", "os_version": "10.0", "installer_types": ["msi", "exe"]});
    assert_eq!(asked, json!({"products": [row], "client_id": "c-1"}));
}

#[tokio::test]
async fn an_older_server_is_asked_again_and_a_newer_answer_believed() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let clock = TestClock::at(NOW);
    let updater = world.builder(state.path(), clock.clone()).build().unwrap();
    updater.check().await.unwrap();
    world.once(Instead::Claims(json!({"seq": 8})));
    world.once(Instead::Claims(json!({"seq": 9})));
    assert_eq!(updater.check().await.unwrap().decision().payload.seq, 10);
    assert_eq!(clock.waits(), [Duration::from_secs(30); 2]);
}

#[tokio::test]
async fn a_server_that_has_not_heard_of_a_new_epoch_is_asked_again_and_the_state_kept() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    world.say(json!({"epoch": 2, "seq": 1}));
    world.serve_keyset(2, world.signed(&keyset(2, 2, &[&world.signer()]), &[0, 1]));
    world.updater(state.path()).check().await.unwrap();
    let asked_before = world.told.lock().unwrap().keysets_asked.len();
    let clock = TestClock::at(NOW);
    let updater = world.builder(state.path(), clock.clone()).build().unwrap();
    let before = std::fs::read(state.path().join("state.json")).unwrap();
    // One process hears of it after the first pause, or after the second; the last one never does.
    for behind in [1, 2] {
        for _ in 0..behind {
            world.once(Instead::Claims(json!({"epoch": 1, "seq": 99})));
        }
        assert_eq!(updater.check().await.unwrap().decision().payload.epoch, 2);
    }
    world.say(json!({"epoch": 1, "seq": 99}));
    let error = updater.check().await.unwrap_err();
    assert_eq!((error.code(), error.retryable()), ("EPOCH", true));
    assert_eq!(clock.waits(), [Duration::from_secs(30); 5]);
    assert_eq!(std::fs::read(state.path().join("state.json")).unwrap(), before);
    assert_eq!(world.told.lock().unwrap().keysets_asked.len(), asked_before, "no keyset is looked for");
}

#[tokio::test]
async fn each_product_and_tenant_has_a_counter_of_its_own() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    world.updater(state.path()).check().await.unwrap();
    world.say(json!({"seq": 2}));
    let tenant = world.builder(state.path(), TestClock::at(NOW)).tenant("acme").build().unwrap();
    tenant.check().await.unwrap();
    assert_eq!(world.updater(state.path()).check().await.unwrap_err().code(), "REPLAYED");
}

#[tokio::test]
async fn a_busy_service_is_asked_again_when_it_says() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let clock = TestClock::at(NOW);
    let updater = world.builder(state.path(), clock.clone()).build().unwrap();
    world.once(Instead::Status(503, Some("20")));
    world.once(Instead::Status(429, Some("3")));
    world.once(Instead::Status(502, None));
    updater.check().await.unwrap();
    let waits: Vec<u128> = clock.waits().iter().map(Duration::as_millis).collect();
    assert_eq!(waits.len(), 3, "{waits:?}");
    assert!((20_000..=30_000).contains(&waits[0]), "{waits:?}");
    assert!((3_000..=6_000).contains(&waits[1]), "{waits:?}");
    assert!(waits[2] <= 4_000, "{waits:?}");
}

#[tokio::test]
async fn a_busy_service_that_says_nothing_is_left_alone_for_half_a_minute_and_given_up_after_the_fourth_try()
{
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let clock = TestClock::at(NOW);
    let updater = world.builder(state.path(), clock.clone()).build().unwrap();
    for status in [503, 429, 503, 429] {
        world.once(Instead::Status(status, None));
    }
    let UpdateError::Client(error) = updater.check().await.unwrap_err() else { panic!("it was no refusal") };
    assert!(error.retryable());
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
    let waits: Vec<u128> = clock.waits().iter().map(Duration::as_millis).collect();
    assert_eq!((waits.len(), world.asked().len()), (3, 4), "{waits:?}");
    assert!(waits.iter().all(|wait| (30_000..=40_000).contains(wait)), "{waits:?}");
}

#[tokio::test]
async fn a_service_that_asks_for_an_hour_gets_it_from_the_caller() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let clock = TestClock::at(NOW);
    let updater = world.builder(state.path(), clock.clone()).build().unwrap();
    world.once(Instead::Status(503, Some("3600")));
    let error = updater.check().await.unwrap_err();
    assert!(error.retryable());
    let UpdateError::Client(error) = error else { panic!("{error:?}") };
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3_600)));
    assert!(clock.waits().is_empty());
}

#[tokio::test]
async fn nothing_but_a_signed_answer_means_anything() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let updater = world.updater(state.path());
    for body in
        ["", "{}", "null", r#"{"decisions":[]}"#, r#"{"decisions":[{"action":"NONE","signature":""}]}"#]
    {
        world.once(Instead::Body(body));
        updater.check().await.unwrap_err();
    }
    for status in [204, 400, 401, 404, 422] {
        world.once(Instead::Status(status, None));
        let error = updater.check().await.unwrap_err();
        assert!(matches!(error, UpdateError::Client(ClientError::Refused { .. })), "{error:?}");
    }
    for _ in 0..4 {
        world.once(Instead::Status(500, None));
    }
    let error = updater.check().await.unwrap_err();
    assert!(matches!(error, UpdateError::Client(ClientError::Refused { status: 500, .. })), "{error:?}");
    assert!(!state.path().join("state.json").exists(), "a failure has changed the state");
}

#[tokio::test]
async fn a_decision_about_too_much_is_refused() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    world.offer("https://dl.example.com/x", &[7; 100]);
    let limits = |most| client::Limits { max_artifact_bytes: most, ..client::Limits::default() };
    let updater =
        |most| world.builder(state.path(), TestClock::at(NOW)).limits(limits(most)).build().unwrap();
    assert_eq!(updater(99).check().await.unwrap_err().code(), "SIZE");
    let checked = updater(100).check().await.unwrap();
    let offer = checked.offer().unwrap();
    assert_eq!((offer.file_name(), offer.action()), ("editor.deb", Action::Install));
    assert_eq!(offer.release().version.to_string(), "1.5.0");
}

#[tokio::test]
async fn plain_http_is_for_development_on_this_machine_alone() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let build = |url: &str, allow| {
        let builder = Updater::builder(url, "editor", "1.4.0")
            .pinned_keyset(serde_json::to_string(&keyset(1, 1, &[&world.signer()])).unwrap().as_bytes());
        builder.state(state.path()).allow_loopback_http(allow).build()
    };
    for (url, allow) in [
        ("http://127.0.0.1:1", false),
        ("http://localhost:1", false),
        ("http://updates.example.com", true),
        ("http://10.0.0.1", true),
        ("http://127.0.0.1.example.com", true),
        ("ftp://127.0.0.1", true),
        ("", true),
    ] {
        let error = build(url, allow).unwrap_err();
        assert!(matches!(error, UpdateError::Client(ClientError::BaseUrl { .. })), "{url}: {error:?}");
    }
    for (url, allow) in [
        ("http://127.0.0.1:1", true),
        ("http://[::1]:1", true),
        ("http://localhost:1", true),
        ("https://updates.example.com", false),
    ] {
        build(url, allow).unwrap();
    }
}

#[tokio::test]
async fn an_updater_has_a_keyset_of_its_own_deployment_and_a_folder() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let none = Updater::builder("https://u.example", "editor", "1.4.0");
    assert_eq!(none.state(state.path()).build().unwrap_err().code(), "SETUP");
    let other = Updater::builder("https://u.example", "editor", "1.4.0").keyset(&world.shipped());
    assert_eq!(other.state(state.path()).build().unwrap_err().code(), "SETUP");
    let no_folder = world.builder(state.path(), TestClock::at(NOW)).keyset(b"{}");
    assert_eq!(no_folder.build().unwrap_err().code(), "ROOT_FORM");
    let bad = Updater::builder(&world.base_url, "editor", "1.4").keyset(&world.shipped());
    let bad = bad.state(state.path()).allow_loopback_http(true).build().unwrap_err();
    assert!(matches!(bad, UpdateError::Client(ClientError::Version(_))), "{bad:?}");
}
