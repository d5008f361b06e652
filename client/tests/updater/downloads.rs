//! Downloading what was offered: whole, in pieces, after breaks, and within limits.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use client::{ClientError, Downloaded, Limits, Progress, UpdateError, Updater};
use serde_json::json;

use crate::mirror::{Mirror, Reply, Then};
use crate::world::{NOW, TestClock, World, bytes};

/// What an updater is offered at a mirror, and a folder for it.
pub(crate) struct Job {
    pub(crate) world: World,
    pub(crate) updater: Updater,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) folder: tempfile::TempDir,
    _state: tempfile::TempDir,
}

impl Job {
    pub(crate) async fn new(url: &str, wanted: &[u8], limits: Limits) -> Self {
        let world = World::new().await;
        world.offer(url, wanted);
        let state = tempfile::tempdir().unwrap();
        let clock = TestClock::at(NOW);
        let updater = world.builder(state.path(), clock.clone()).limits(limits).build().unwrap();
        Self { world, updater, clock, folder: tempfile::tempdir().unwrap(), _state: state }
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("editor.deb")
    }

    pub(crate) async fn download(&self) -> Result<Downloaded, UpdateError> {
        self.watched(|_| ()).await
    }

    pub(crate) async fn watched(
        &self,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Downloaded, UpdateError> {
        let checked = self.updater.check().await.unwrap();
        self.updater.download(checked.offer().unwrap(), &self.path(), progress).await
    }

    pub(crate) fn left(&self) -> Vec<String> {
        names(self.folder.path())
    }
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(crate) fn client_error(outcome: Result<Downloaded, UpdateError>) -> ClientError {
    match outcome.expect_err("it was downloaded") {
        UpdateError::Client(error) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_offered_bytes_arrive_with_progress_and_nothing_beside() {
    let wanted = bytes(1, 300_000);
    let served = wanted.clone();
    let mirror = Mirror::start(move |asked| Reply::good(asked, &served, "\"e\"")).await;
    let job = Job::new(&mirror.url(), &wanted, Limits::default()).await;
    let mut seen = Vec::new();
    let done = job.watched(|progress| seen.push(progress)).await.unwrap();
    assert_eq!(done.path(), job.path());
    let mut found = Vec::new();
    done.into_file().read_to_end(&mut found).unwrap();
    assert_eq!((found, std::fs::read(job.path()).unwrap()), (wanted.clone(), wanted));
    assert_eq!(job.left(), ["editor.deb"]);
    assert_eq!((seen[0].bytes, seen.last().unwrap().bytes), (0, 300_000));
    assert!(seen.is_sorted_by_key(|progress| progress.bytes));
    assert!(seen.iter().all(|progress| progress.of == 300_000));
}

#[tokio::test]
async fn a_break_is_gone_on_from_with_the_entity_tag_of_what_is_there() {
    let wanted = bytes(2, 300_000);
    let (served, round) = (wanted.clone(), Arc::new(AtomicUsize::new(0)));
    let mirror = Mirror::start(move |asked| {
        let good = Reply::good(asked, &served, "\"e-1\"");
        match round.fetch_add(1, Ordering::SeqCst) {
            0 => good.cut(100_000, Then::Close),
            1 => good.cut(0, Then::Close),
            2 => {
                Reply::new("503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 7", b"", Then::Close)
            }
            _ => good,
        }
    })
    .await;
    let job = Job::new(&mirror.url(), &wanted, Limits::default()).await;
    job.download().await.unwrap();
    let asked = mirror.asked();
    assert_eq!(
        asked.iter().map(|asked| asked.from).collect::<Vec<_>>(),
        [None, Some(100_000), Some(100_000), Some(100_000)]
    );
    assert_eq!(asked[3].if_range.as_deref(), Some("\"e-1\""));
    assert_eq!(job.left(), ["editor.deb"]);
}

#[tokio::test]
async fn a_busy_mirror_is_left_alone_for_half_a_minute_and_a_broken_one_for_a_moment() {
    let wanted = bytes(12, 10_000);
    let (served, round) = (wanted.clone(), Arc::new(AtomicUsize::new(0)));
    let heads = ["503 Service Unavailable", "429 Too Many Requests", "502 Bad Gateway"];
    let mirror = Mirror::start(move |asked| match heads.get(round.fetch_add(1, Ordering::SeqCst)) {
        Some(head) => Reply::new(&format!("{head}\r\nContent-Length: 0"), b"", Then::Close),
        None => Reply::good(asked, &served, "\"e\""),
    })
    .await;
    let job = Job::new(&mirror.url(), &wanted, Limits::default()).await;
    job.download().await.unwrap();
    let waits: Vec<u128> = job.clock.waits().iter().map(Duration::as_millis).collect();
    assert_eq!(waits.len(), 3, "{waits:?}");
    assert!(waits[..2].iter().all(|wait| (30_000..=40_000).contains(wait)) && waits[2] <= 4_000, "{waits:?}");
}

#[tokio::test]
async fn a_busy_mirror_is_not_waited_for_beyond_the_time_of_a_download() {
    let mirror =
        Mirror::start(|_| Reply::new("503 Service Unavailable\r\nContent-Length: 0", b"", Then::Close)).await;
    let limits = Limits { max_duration: Duration::from_secs(29), ..Limits::default() };
    let job = Job::new(&mirror.url(), &bytes(13, 10), limits).await;
    let error = client_error(job.download().await);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
    assert!(job.clock.waits().is_empty() && mirror.asked().len() == 1, "{:?}", job.clock.waits());
}

#[tokio::test]
async fn a_file_that_changed_meanwhile_is_fetched_whole() {
    let (wanted, other) = (bytes(3, 200_000), bytes(4, 200_000));
    let (served, round) = (wanted.clone(), Arc::new(AtomicUsize::new(0)));
    // First the bytes of an older file, then the right ones under another tag.
    let mirror = Mirror::start(move |asked| match round.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::good(asked, &other, "\"old\"").cut(50_000, Then::Close),
        _ => Reply::good(asked, &served, "\"new\""),
    })
    .await;
    let job = Job::new(&mirror.url(), &wanted, Limits::default()).await;
    job.download().await.unwrap();
    assert_eq!(std::fs::read(job.path()).unwrap(), wanted);
    assert_eq!(mirror.asked().len(), 2);
}

#[tokio::test]
async fn spoilt_bytes_of_an_earlier_run_are_fetched_again_once() {
    let wanted = bytes(5, 200_000);
    let served = wanted.clone();
    let mirror = Mirror::start(move |asked| Reply::good(asked, &served, "W/\"weak\"")).await;
    let job = Job::new(&mirror.url(), &wanted, Limits::default()).await;
    let part = format!(".editor.deb.{}.part", &crate::world::sha256(&wanted)[..16]);
    for spoilt in [vec![0; 100_000], vec![0; 200_000], vec![0; 300_000]] {
        std::fs::write(job.folder.path().join(&part), &spoilt).unwrap();
        job.download().await.unwrap();
        assert_eq!(std::fs::read(job.path()).unwrap(), wanted);
        assert_eq!(job.left(), ["editor.deb"]);
    }
    assert!(mirror.asked().iter().all(|asked| asked.if_range.is_none()), "a weak tag promises nothing");
}

#[tokio::test]
async fn a_host_without_ranges_is_asked_from_the_beginning() {
    let wanted = bytes(6, 200_000);
    let (served, round) = (wanted.clone(), Arc::new(AtomicUsize::new(0)));
    let mirror = Mirror::start(move |_| match round.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::whole(&served).cut(100_000, Then::Close),
        _ => Reply::whole(&served),
    })
    .await;
    let job = Job::new(&mirror.url(), &wanted, Limits::default()).await;
    job.download().await.unwrap();
    assert_eq!(std::fs::read(job.path()).unwrap(), wanted);
}

#[tokio::test]
async fn an_earlier_file_stays_until_the_new_one_is_proved() {
    let wanted = bytes(7, 10_000);
    let mirror = Mirror::start(move |_| Reply::whole(&bytes(8, 10_000))).await;
    let job = Job::new(&mirror.url(), &wanted, Limits::default()).await;
    std::fs::write(job.path(), b"earlier").unwrap();
    let error = client_error(job.download().await);
    assert!(matches!(error, ClientError::DigestMismatch { .. }), "{error:?}");
    assert_eq!(std::fs::read(job.path()).unwrap(), b"earlier");
    assert_eq!(job.left(), ["editor.deb"]);
}

#[tokio::test]
async fn two_updaters_do_not_write_into_one_file() {
    let wanted = bytes(9, 10_000);
    let served = wanted.clone();
    let mirror = Mirror::start(move |asked| Reply::good(asked, &served, "\"e\"").cut(500, Then::Stall)).await;
    let job = Job::new(&mirror.url(), &wanted, Limits::default()).await;
    let checked = job.updater.check().await.unwrap();
    let (offer, path) = (checked.offer().unwrap(), job.path());
    let started = tokio::sync::Notify::new();
    let first = job.updater.download(offer, &path, |progress| {
        if progress.bytes > 0 {
            started.notify_one();
        }
    });
    let second = async {
        started.notified().await;
        client_error(job.updater.download(offer, &path, |_| ()).await)
    };
    let error = tokio::select! {
        _ = first => panic!("it ended"),
        error = second => error,
    };
    assert!(matches!(error, ClientError::Busy { .. }), "{error:?}");
}

#[tokio::test]
async fn a_disk_without_room_is_told_before_anything_is_fetched() {
    let mirror = Mirror::start(|_| Reply::whole(b"")).await;
    let limits = Limits { max_artifact_bytes: u64::MAX, ..Limits::default() };
    let job = Job::new(&mirror.url(), b"x", limits).await;
    let mut claims = crate::world::offer(&mirror.url(), b"x");
    claims["artifact"]["size_bytes"] = json!(9_007_199_254_740_991_u64);
    job.world.say(claims);
    let error = client_error(job.download().await);
    let ClientError::DiskSpace { needed, available, .. } = error else { panic!("{error:?}") };
    assert!(needed == 9_007_199_254_740_991 && available < needed);
    assert!(mirror.asked().is_empty() && job.left().is_empty(), "{:?}", job.left());
}

#[tokio::test]
async fn an_offer_that_is_over_is_not_downloaded() {
    let world = World::new().await;
    world.offer("https://dl.example.com/x", b"x");
    let state = tempfile::tempdir().unwrap();
    let checked = world.updater(state.path()).check().await.unwrap();
    let later = world.builder(state.path(), TestClock::at(NOW + 3_600)).build().unwrap();
    let error = later.download(checked.offer().unwrap(), &state.path().join("x"), |_| ()).await.unwrap_err();
    assert_eq!(error.code(), "OFFER_EXPIRED");
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_that_waits_beside_is_not_followed() {
    let wanted = bytes(10, 10_000);
    let served = wanted.clone();
    let mirror = Mirror::start(move |asked| Reply::good(asked, &served, "\"e\"")).await;
    let job = Job::new(&mirror.url(), &wanted, Limits::default()).await;
    let victim = job.folder.path().join("victim");
    std::fs::write(&victim, b"precious").unwrap();
    let part = format!(".editor.deb.{}.part", &crate::world::sha256(&wanted)[..16]);
    std::os::unix::fs::symlink(&victim, job.folder.path().join(part)).unwrap();
    job.download().await.unwrap();
    assert_eq!(std::fs::read(victim).unwrap(), b"precious");
    assert_eq!(job.left(), ["editor.deb", "victim"]);
    assert!(std::fs::symlink_metadata(job.path()).unwrap().file_type().is_file());
}

#[tokio::test]
async fn the_token_goes_to_the_deployment_and_not_to_the_mirror() {
    let wanted = bytes(11, 1_000);
    let served = wanted.clone();
    let mirror = Mirror::start(move |asked| Reply::good(asked, &served, "\"e\"")).await;
    let world = World::new().await;
    world.offer(&mirror.url(), &wanted);
    let state = tempfile::tempdir().unwrap();
    let updater = world.builder(state.path(), TestClock::at(NOW)).token("bp_secret").build().unwrap();
    let checked = updater.check().await.unwrap();
    updater.download(checked.offer().unwrap(), &state.path().join("x"), |_| ()).await.unwrap();
    assert!(!mirror.asked()[0].head.contains("secret\r\n") && !mirror.asked()[0].head.contains("bp_secret"));
    assert!(!format!("{updater:?}").contains("bp_secret"));
}
