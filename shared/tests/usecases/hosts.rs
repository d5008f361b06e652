//! Hosts that ask to be left alone: waited out, not hammered, and not believed for ever.

use std::time::Duration;

use shared::{
    app::{
        external::{self, OF_A_HOST, Which},
        keys, register, sentinel,
    },
    domain::{
        artifact::{ArtifactState, Validators, Verification},
        ids::ArtifactId,
    },
    ports::fetcher::FetchError,
    testing::{build, fetcher::Line},
};

use super::world::{CONTENT, HOUR, SECOND, World, offered};

const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * HOUR;

fn busy(status: u16, seconds: u64) -> FetchError {
    FetchError::Status { status, retry_after: Some(Duration::from_secs(seconds)) }
}

async fn check(world: &World) {
    external::run(world.context(), &world.checker(), Which::Due).await.unwrap();
}

async fn watch(world: &World) {
    sentinel::run(world.context(), &world.checker()).await.unwrap();
}

async fn register(world: &World, content: &[u8], url: &str) -> ArtifactId {
    let registration = build::registration(content, url);
    register::register(world.context(), &world.caller, &registration, None).await.unwrap().0.artifact_id
}

/// A released artifact at this URL that was read.
async fn released(world: &World, content: &[u8], url: &str, version: &str) -> ArtifactId {
    let id = register(world, content, url).await;
    world.fetcher.then(Line::Proves(Verification::Fetched, said()));
    check(world).await;
    world.publish(version, &[id]).await;
    id
}

fn said() -> Validators {
    Validators { etag: Some("\"v1\"".into()), ..Validators::default() }
}

#[tokio::test]
async fn of_a_hundred_artifacts_of_a_host_that_limits_requests_a_few_are_asked_for_in_each_of_its_pauses() {
    let mut world = World::memory();
    for number in 0..100 {
        let (content, url) = (format!("bytes {number}"), format!("https://busy.example.com/{number}.msi"));
        register(&world, content.as_bytes(), &url).await;
    }
    let mut asked = 0;
    for pause in 0..3 {
        for _ in 0..OF_A_HOST {
            world.fetcher.then(Line::Fails(busy(429, 3_600)));
        }
        // An hour of looking every minute, by two processes.
        let other = world.another();
        for _ in 0..60 {
            check(&world).await;
            external::run(&other.context, &world.checker(), Which::Due).await.unwrap();
            // A start looks at all of them again, and is told the same.
            external::run(&other.context, &world.checker(), Which::All).await.unwrap();
            world.clock.advance(MINUTE - SECOND);
        }
        let now = world.fetcher.asked().len();
        assert!(now > asked && now - asked <= OF_A_HOST, "pause {pause}: {} requests", now - asked);
        asked = now;
        world.clock.advance(2 * MINUTE);
    }
    // It is over, and nothing was lost by waiting.
    for _ in 0..100 {
        world.fetcher.then(Line::Matches);
    }
    world.clock.advance(2 * HOUR);
    while world.artifacts().await.iter().any(|artifact| artifact.state == ArtifactState::Verifying) {
        check(&world).await;
        world.clock.advance(MINUTE);
    }
    assert!(world.artifacts().await.iter().all(|artifact| artifact.state == ArtifactState::Available));
}

#[tokio::test]
async fn what_one_artifact_was_told_is_for_looks_and_checks_of_all_and_for_no_other_host() {
    let world = World::memory();
    world.product().await;
    for number in 0..30 {
        let (content, url) = (format!("bytes {number}"), format!("https://busy.example.com/{number}.msi"));
        released(&world, content.as_bytes(), &url, &format!("1.{number}.0")).await;
    }
    released(&world, CONTENT, "https://busy.example.com:8443/other.msi", "2.0.0").await;
    world.clock.advance(2 * HOUR);
    for answer in [Err(busy(429, 7_200)), Ok(said())] {
        world.fetcher.then_says(answer);
    }
    let fetched = world.fetcher.asked().len();
    watch(&world).await;
    let of_busy = |world: &World| world.fetcher.probed().iter().filter(|url| url.contains(".com/")).count();
    assert_eq!((of_busy(&world), world.fetcher.probed().len()), (1, 2), "the other port is another host");
    register(&world, b"new", "https://busy.example.com/new.msi").await;
    for _ in 0..118 {
        world.clock.advance(MINUTE);
        watch(&world).await;
        check(&world).await;
    }
    assert_eq!((of_busy(&world), world.fetcher.asked().len()), (1, fetched), "for two hours");
    // Whoever was only put off comes before whoever was told so.
    let first = world.fetcher.probed()[0].clone();
    world.clock.advance(3 * MINUTE);
    for _ in 0..20 {
        world.fetcher.then_says(Ok(said()));
    }
    let probed = world.fetcher.probed().len();
    watch(&world).await;
    let since = world.fetcher.probed().split_off(probed);
    assert!(!since.is_empty() && !since.contains(&first), "{since:?}");
    let left = world.context().store.query_all::<serde_json::Value>(keys::HOSTS, "").await.unwrap();
    assert_eq!(left.len(), 0, "it answers again");
}

#[tokio::test]
async fn a_host_that_says_nothing_but_later_for_a_day_has_lost_the_artifact() {
    for seconds in [60, 3_600, 86_400] {
        let world = World::memory();
        world.product().await;
        let old = world.managed(b"the bytes of 1.0.0").await;
        world.publish("1.0.0", &[old]).await;
        let id = released(&world, CONTENT, "https://busy.example.com/a.msi", "2.0.0").await;
        let (mut told, mut withheld) = (None, None);
        while withheld.is_none() {
            world.clock.advance(MINUTE);
            world.fetcher.then_says(Err(busy(503, seconds)));
            watch(&world).await;
            if world.fetcher.probed().len() == 1 {
                told.get_or_insert(world.now());
            }
            if world.artifact(id).await.state == ArtifactState::Quarantined {
                withheld = Some(world.now());
            }
            assert!(told.is_none_or(|told| world.now() < told + 3 * DAY), "it is believed for ever");
        }
        let took = withheld.unwrap() - told.unwrap();
        assert!((DAY..=2 * DAY + HOUR).contains(&took), "{seconds}: {took}");
        let reason = world.artifact(id).await.reason.unwrap();
        assert!(reason.starts_with("UNREACHABLE: UPSTREAM_STATUS: "), "{reason}");
        let decider = world.decider(&world.process).await;
        assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "1.0.0");
    }
}

#[tokio::test]
async fn an_answer_in_between_begins_the_day_anew() {
    let world = World::memory();
    world.product().await;
    let id = released(&world, CONTENT, "https://busy.example.com/a.msi", "2.0.0").await;
    for hours in 0..60 {
        world.clock.advance(90 * MINUTE);
        let well = hours % 10 == 0;
        world.fetcher.then_says(if well { Ok(said()) } else { Err(busy(429, 3_600)) });
        watch(&world).await;
        assert_eq!(world.artifact(id).await.state, ArtifactState::Available);
    }
    assert_eq!(world.fetcher.probed().len(), 60);
}

#[tokio::test]
async fn a_day_of_later_while_the_bytes_are_read_counts_as_well() {
    let world = World::memory();
    world.product().await;
    let id = released(&world, CONTENT, "https://busy.example.com/a.msi", "2.0.0").await;
    let mut hours = 0;
    while world.artifact(id).await.state == ArtifactState::Available {
        world.clock.advance(2 * HOUR);
        hours += 2;
        assert!(hours < 40, "it is believed for ever");
        // Something has changed, so that the bytes are to be read.
        world.fetcher.then_says(Ok(Validators { etag: Some("\"v2\"".into()), ..Validators::default() }));
        watch(&world).await;
        world.fetcher.then(Line::Fails(busy(503, 3_600)));
        check(&world).await;
    }
    assert!(hours > 24, "{hours}");
    assert!(world.artifact(id).await.reason.is_some_and(|reason| reason.starts_with("UNREACHABLE: ")));
}
