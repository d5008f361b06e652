//! The sentinel: what it looks at, how often, and what becomes of what it finds.

use std::time::Duration;

use shared::{
    app::{
        artifacts::{self, Intervention},
        error::AppError,
        external::{self, CheckResult, Which},
        keys, register, sentinel,
    },
    domain::{
        artifact::{ArtifactState, Validators, Verification},
        ids::ArtifactId,
    },
    ports::fetcher::FetchError,
    testing::{build, fetcher::Line},
};

use super::world::{CONTENT, HOUR, SECOND, START, World, offered};

const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * HOUR;

/// What a host says of some bytes without a digest.
fn said(etag: &str) -> Validators {
    Validators { etag: Some(etag.into()), size_bytes: Some(CONTENT.len() as u64), ..Validators::default() }
}

/// What a repository says that knows the digest.
fn vouched(content: &[u8]) -> Validators {
    Validators { sha256: Some(build::sha256(content)), ..Validators::default() }
}

fn gone() -> Result<Validators, FetchError> {
    Err(FetchError::Status { status: 404, retry_after: None })
}

fn differs() -> Line {
    let (declared, found) = (build::sha256(CONTENT), build::sha256(b"other bytes"));
    Line::Fails(FetchError::ChecksumMismatch { declared, found })
}

async fn check(world: &World) {
    external::run(world.context(), &world.checker(), Which::Due).await.unwrap();
}

async fn watch(world: &World) {
    sentinel::run(world.context(), &world.checker()).await.unwrap();
}

/// Some time later, a look that gets this answer.
async fn look(world: &World, later: i64, answer: Result<Validators, FetchError>) {
    world.clock.advance(later);
    world.fetcher.then_says(answer);
    let before = world.fetcher.probed().len();
    watch(world).await;
    assert_eq!(world.fetcher.probed().len(), before + 1, "it is looked at");
}

/// An external artifact at this URL that was proved by these means.
async fn proved(
    world: &World,
    content: &[u8],
    url: &str,
    means: Verification,
    said: Validators,
) -> ArtifactId {
    let registration = build::registration(content, url);
    let made = register::register(world.context(), &world.caller, &registration, None).await.unwrap();
    world.fetcher.then(Line::Proves(means, said));
    check(world).await;
    made.0.artifact_id
}

const URL: &str = "https://downloads.example.com/editor.msi";

/// One artifact in release 2.0.0, above a release of managed bytes.
async fn released(means: Verification, said: Validators) -> (World, ArtifactId) {
    let world = World::memory();
    world.product().await;
    let old = world.managed(b"the bytes of 1.0.0").await;
    world.publish("1.0.0", &[old]).await;
    let id = proved(&world, CONTENT, URL, means, said).await;
    world.publish("2.0.0", &[id]).await;
    (world, id)
}

async fn read_by_us() -> (World, ArtifactId) {
    released(Verification::Fetched, said("\"v1\"")).await
}

async fn offer(world: &World) -> String {
    offered(&*world.decider(&world.process).await, "0.9.0").await.unwrap()
}

#[tokio::test]
async fn what_a_live_release_names_is_looked_at_once_an_hour_and_nothing_else() {
    let (world, _) = read_by_us().await;
    proved(&world, b"of no release", "https://b.example.com/x", Verification::Fetched, said("\"x\"")).await;
    world.clock.advance(HOUR - 1);
    watch(&world).await;
    assert_eq!(world.fetcher.probed(), [""; 0], "no hour has passed");
    for hours in 1..=5 {
        look(&world, HOUR + 10 * MINUTE, Ok(said("\"v1\""))).await;
        watch(&world).await;
        assert_eq!(world.fetcher.probed().len(), hours);
    }
    assert!(world.fetcher.probed().iter().all(|url| url == URL));
    assert_eq!(world.fetcher.asked().len(), 2, "no bytes were read again");
    assert_eq!(offer(&world).await, "2.0.0");
}

#[tokio::test]
async fn one_look_that_fails_withholds_nothing_and_the_second_does_until_it_is_well_again() {
    let tls = || Err(FetchError::Tls("the certificate has expired".into()));
    let refused = || Err(FetchError::Unreachable("refused".into()));
    for trouble in [gone as fn() -> _, tls, refused] {
        let (world, id) = read_by_us().await;
        look(&world, 2 * HOUR, trouble()).await;
        assert_eq!(world.artifact(id).await.state, ArtifactState::Available);
        assert_eq!(offer(&world).await, "2.0.0");
        world.clock.advance(4 * MINUTE);
        watch(&world).await;
        assert_eq!(world.fetcher.probed().len(), 1, "the second look comes five minutes later");
        look(&world, MINUTE, trouble()).await;
        let artifact = world.artifact(id).await;
        assert_eq!(artifact.state, ArtifactState::Quarantined);
        assert!(artifact.reason.is_some_and(|reason| reason.starts_with("UNREACHABLE: ")));
        assert_eq!(offer(&world).await, "1.0.0");
        assert_eq!(world.told("artifact.quarantined").await, [(id.to_string(), false)]);

        look(&world, HOUR, Ok(said("\"v1\""))).await;
        assert_eq!(world.artifact(id).await.state, ArtifactState::Available);
        assert_eq!(offer(&world).await, "2.0.0");
        assert_eq!(world.told("artifact.verified").await.last(), Some(&(id.to_string(), false)));
        let checks = artifacts::checks(world.context(), &world.caller, id).await.unwrap();
        let results: Vec<_> = checks.iter().map(|check| check.result).collect();
        assert_eq!(results, [CheckResult::Match, CheckResult::Error, CheckResult::Error, CheckResult::Match]);
    }
}

#[tokio::test]
async fn trouble_that_is_over_at_the_second_look_leaves_no_trace_in_decisions() {
    let (world, id) = read_by_us().await;
    for _ in 0..4 {
        look(&world, 2 * HOUR, gone()).await;
        look(&world, 5 * MINUTE, Ok(said("\"v1\""))).await;
        assert_eq!(world.artifact(id).await.state, ArtifactState::Available);
    }
    assert_eq!(world.told("artifact.quarantined").await, []);
}

#[tokio::test]
async fn another_digest_at_the_repository_is_drift_at_the_second_look_and_no_byte_is_read() {
    let (world, id) = released(Verification::Repository, vouched(CONTENT)).await;
    look(&world, 2 * HOUR, Ok(vouched(b"other bytes"))).await;
    assert_eq!(offer(&world).await, "2.0.0");
    look(&world, 5 * MINUTE, Ok(vouched(b"other bytes"))).await;
    let artifact = world.artifact(id).await;
    assert_eq!(artifact.state, ArtifactState::Quarantined);
    let reason = artifact.reason.unwrap();
    assert!(reason.starts_with("DRIFT: CHECKSUM_MISMATCH"), "{reason}");
    assert!(!reason.contains(&build::sha256(b"other bytes").to_string()), "what was found is not told");
    assert_eq!(offer(&world).await, "1.0.0");
    look(&world, DAY, Ok(vouched(CONTENT))).await;
    assert_eq!(offer(&world).await, "2.0.0");
    assert_eq!(world.fetcher.asked().len(), 1);
}

#[tokio::test]
async fn another_tag_has_the_bytes_read_and_the_same_bytes_are_no_drift() {
    let (world, id) = read_by_us().await;
    look(&world, 2 * HOUR, Ok(said("\"v2\""))).await;
    world.fetcher.then(Line::Proves(Verification::Fetched, said("\"v2\"")));
    check(&world).await;
    let artifact = world.artifact(id).await;
    assert_eq!(
        (artifact.state, artifact.validators.as_deref()),
        (ArtifactState::Available, Some(&said("\"v2\"")))
    );
    look(&world, 2 * HOUR, Ok(said("\"v2\""))).await;
    check(&world).await;
    assert_eq!(world.fetcher.asked().len(), 2, "the new tag is known now");
}

#[tokio::test]
async fn other_bytes_are_read_twice_before_they_are_drift() {
    let (world, id) = read_by_us().await;
    look(&world, 2 * HOUR, Ok(said("\"v2\""))).await;
    world.fetcher.then(differs());
    check(&world).await;
    assert_eq!(world.artifact(id).await.state, ArtifactState::Available);
    assert_eq!(offer(&world).await, "2.0.0");
    look(&world, 5 * MINUTE, Ok(said("\"v1\""))).await;
    world.fetcher.then(differs());
    check(&world).await;
    assert!(world.artifact(id).await.reason.is_some_and(|reason| reason.starts_with("DRIFT: ")));
    assert_eq!(offer(&world).await, "1.0.0");
    // What was read to be wrong is given back by being read to be right.
    look(&world, DAY, Ok(said("\"v1\""))).await;
    assert_eq!(offer(&world).await, "1.0.0");
    world.fetcher.then(Line::Matches);
    check(&world).await;
    assert_eq!(offer(&world).await, "2.0.0");
}

#[tokio::test]
async fn a_limit_or_lost_credentials_while_the_bytes_are_read_withhold_nothing_however_often() {
    let limited = || FetchError::Status { status: 429, retry_after: Some(Duration::from_secs(600)) };
    let unsaid = || FetchError::Status { status: 429, retry_after: None };
    let busy = || FetchError::Status { status: 503, retry_after: Some(Duration::from_secs(600)) };
    let locked = || FetchError::Credentials("the secret is locked".into());
    for trouble in [limited as fn() -> _, unsaid, busy, locked] {
        let (world, id) = read_by_us().await;
        look(&world, 2 * HOUR, Ok(said("\"v2\""))).await;
        for reading in 1..=4 {
            world.fetcher.then(Line::Fails(trouble()));
            check(&world).await;
            assert_eq!(world.fetcher.asked().len(), 1 + reading);
            let artifact = world.artifact(id).await;
            assert_eq!((artifact.state, artifact.reason), (ArtifactState::Available, None));
            assert_eq!(offer(&world).await, "2.0.0");
            // It comes again when it was asked to, and the bytes are still to be read.
            look(&world, 12 * MINUTE, Ok(said("\"v2\""))).await;
        }
        world.fetcher.then(differs());
        check(&world).await;
        assert_eq!(world.artifact(id).await.state, ArtifactState::Available, "that was the first look");
        look(&world, 5 * MINUTE, Ok(said("\"v2\""))).await;
        world.fetcher.then(differs());
        check(&world).await;
        assert!(world.artifact(id).await.reason.is_some_and(|reason| reason.starts_with("DRIFT: ")));
        assert_eq!(world.told("artifact.quarantined").await.len(), 1);
    }
}

#[tokio::test]
async fn bytes_are_read_again_weekly_only_where_nobody_vouches_for_them() {
    for (means, says, readings) in
        [(Verification::Fetched, said("\"v1\""), 2), (Verification::Repository, vouched(CONTENT), 1)]
    {
        let (world, id) = released(means, says.clone()).await;
        look(&world, 6 * DAY, Ok(says.clone())).await;
        check(&world).await;
        assert_eq!(world.fetcher.asked().len(), 1);
        look(&world, 2 * DAY, Ok(says)).await;
        world.fetcher.then(Line::Matches);
        check(&world).await;
        assert_eq!(world.fetcher.asked().len(), readings, "{means}");
        assert_eq!(world.artifact(id).await.verified_at, Some(START + 8 * DAY));
    }
}

#[tokio::test]
async fn a_url_that_has_ended_by_its_own_word_is_withheld_and_not_asked_for() {
    let world = World::memory();
    world.product().await;
    let end = (START + 5 * HOUR) / 1000;
    let url = format!("{URL}?Expires={end}");
    let id = proved(&world, CONTENT, &url, Verification::Fetched, said("\"v1\"")).await;
    world.publish("1.0.0", &[id]).await;
    world.clock.advance(6 * HOUR);
    watch(&world).await;
    world.clock.advance(5 * MINUTE);
    watch(&world).await;
    let artifact = world.artifact(id).await;
    assert_eq!(artifact.state, ArtifactState::Quarantined);
    assert!(artifact.reason.is_some_and(|reason| reason.starts_with("URL_EXPIRED: ")));
    assert_eq!(world.fetcher.probed(), [""; 0]);
}

/// Many artifacts in one release, at as many URLs as there are.
async fn many(world: &World, urls: &[String]) -> Vec<ArtifactId> {
    world.product().await;
    let mut ids = Vec::new();
    for (index, url) in urls.iter().enumerate() {
        let content = format!("the bytes at {url}");
        ids.push(
            proved(world, content.as_bytes(), url, Verification::Repository, vouched(content.as_bytes()))
                .await,
        );
        world.publish(&format!("1.0.{index}"), &ids[index..]).await;
    }
    ids
}

#[tokio::test]
async fn a_host_that_limits_requests_is_left_alone_and_nothing_is_withheld() {
    let world = World::memory();
    let urls: Vec<_> = (0..5).map(|index| format!("https://a.example.com/{index}")).collect();
    let ids = many(&world, &urls).await;
    for _ in 0..3 {
        let limited = FetchError::Status { status: 403, retry_after: Some(Duration::from_secs(7_200)) };
        look(&world, 3 * HOUR, Err(limited)).await;
        world.clock.advance(110 * MINUTE);
        let before = world.fetcher.probed().len();
        watch(&world).await;
        assert_eq!(world.fetcher.probed().len(), before, "not before the two hours are over");
    }
    for id in ids {
        assert_eq!(world.artifact(id).await.state, ArtifactState::Available);
    }
}

#[tokio::test]
async fn a_host_with_much_keeps_to_its_budget_and_does_not_crowd_out_the_others() {
    let world = World::memory();
    let mut urls: Vec<_> = (0..30).map(|index| format!("https://much.example.com/{index}")).collect();
    urls.push("https://other.example.com/1".into());
    many(&world, &urls).await;
    world.clock.advance(3 * HOUR);
    // Every look fails here: the script is empty.
    watch(&world).await;
    let of_much = world.fetcher.probed().iter().filter(|url| url.contains("much")).count();
    assert_eq!((of_much, world.fetcher.probed().len()), (20, 21));
    watch(&world).await;
    assert_eq!(world.fetcher.probed().len(), 31, "the others are looked at by the next run");
}

#[tokio::test]
async fn looks_are_spread_over_minutes() {
    let world = World::memory();
    let urls: Vec<_> = (0..20).map(|index| format!("https://a.example.com/{index}")).collect();
    many(&world, &urls).await;
    let query = shared::app::store::all(keys::WATCHING, "");
    let due = world.context().store.query::<serde_json::Value>(&query).await.unwrap();
    let minutes: std::collections::BTreeSet<_> = due
        .iter()
        .map(|(sort, _)| sort.split('#').next().unwrap().parse::<i64>().unwrap() / SECOND)
        .collect();
    assert!(due.len() == 20 && minutes.len() > 10, "{minutes:?}");
}

#[tokio::test]
async fn of_two_processes_one_looks() {
    let (mut world, _) = read_by_us().await;
    let other = world.another();
    look(&world, 2 * HOUR, Ok(said("\"v1\""))).await;
    sentinel::run(&other.context, &world.checker()).await.unwrap();
    assert_eq!(world.fetcher.probed().len(), 1);
}

#[tokio::test]
async fn what_somebody_withheld_revoked_or_deleted_is_watched_no_more() {
    let (world, id) = read_by_us().await;
    world.intervene(id, Intervention::Quarantine).await;
    world.clock.advance(2 * HOUR);
    watch(&world).await;
    assert_eq!(world.artifact(id).await.state, ArtifactState::Quarantined);
    let (revoked, id) = read_by_us().await;
    revoked.intervene(id, Intervention::Revoke).await;
    revoked.clock.advance(2 * HOUR);
    watch(&revoked).await;
    for world in [world, revoked] {
        world.clock.advance(DAY);
        watch(&world).await;
        assert_eq!(world.fetcher.probed(), [""; 0]);
        let left = world.context().store.query_all::<serde_json::Value>(keys::WATCHING, "").await.unwrap();
        assert_eq!(left.len(), 0);
    }
}

#[tokio::test]
async fn bytes_that_were_revoked_elsewhere_are_not_given_back() {
    let (world, id) = read_by_us().await;
    look(&world, 2 * HOUR, gone()).await;
    look(&world, 5 * MINUTE, gone()).await;
    let managed = world.managed(CONTENT).await;
    world.intervene(managed, Intervention::Revoke).await;
    look(&world, HOUR, Ok(said("\"v1\""))).await;
    assert_eq!(world.artifact(id).await.state, ArtifactState::Quarantined);
}

#[tokio::test]
async fn nobody_gives_a_reason_that_only_the_sentinel_gives() {
    let (world, id) = read_by_us().await;
    for reason in ["UNREACHABLE: it is slow", "URL_EXPIRED: soon"] {
        let quarantine = Intervention::Quarantine;
        let refused = artifacts::intervene(world.context(), &world.caller, id, quarantine, reason).await;
        assert!(matches!(refused, Err(AppError::Invalid { member, .. }) if member == "reason"), "{reason}");
    }
}

#[tokio::test]
async fn a_release_that_is_revoked_is_watched_no_longer_and_a_new_one_is_within_the_hour() {
    let world = World::memory();
    world.product().await;
    let id = proved(&world, CONTENT, URL, Verification::Fetched, said("\"v1\"")).await;
    let release = world.publish("2.0.0", &[id]).await;
    world.revoke(&world.process.clone(), release).await;
    for _ in 0..3 {
        world.clock.advance(2 * HOUR);
        watch(&world).await;
    }
    assert_eq!(world.fetcher.probed(), [""; 0]);
    world.publish("3.0.0", &[id]).await;
    look(&world, HOUR + 10 * MINUTE, Ok(said("\"v1\""))).await;
}
