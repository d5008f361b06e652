//! Hostile mirrors: whatever they send, no byte of it gets the name under which it would be installed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use client::{ClientError, Limits, UpdateError};

use crate::downloads::{Job, client_error};
use crate::mirror::{Asked, Mirror, Reply, Then};
use crate::world::{NOW, TestClock, World, bytes};

const SIZE: usize = 50_000;

fn wanted() -> Vec<u8> {
    bytes(77, SIZE)
}

/// Limits that a test can wait for.
fn short() -> Limits {
    let (window, max_duration) = (Duration::from_millis(200), Duration::from_secs(20));
    Limits { min_bytes_per_second: 1_000, window, max_duration, ..Limits::default() }
}

/// What becomes of the offered bytes at this mirror; no name may appear, whatever happens.
async fn refused(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> (ClientError, Vec<String>) {
    let mirror = Mirror::start(answer).await;
    let job = Job::new(&mirror.url(), &wanted(), short()).await;
    let started = Instant::now();
    let error = client_error(job.download().await);
    assert!(!job.path().exists(), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(15), "{error:?} took {:?}", started.elapsed());
    assert!(!format!("{error:?} {error}").contains("secret"), "{error:?}");
    (error, job.left())
}

#[tokio::test]
async fn wrong_bytes_of_the_right_size_leave_nothing() {
    let (error, left) = refused(|_| Reply::whole(&bytes(78, SIZE))).await;
    assert!(matches!(error, ClientError::DigestMismatch { .. }), "{error:?}");
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn one_wrong_bit_is_enough() {
    let (error, left) = refused(|_| {
        let mut spoilt = wanted();
        spoilt[SIZE / 2] ^= 1;
        Reply::whole(&spoilt)
    })
    .await;
    assert!(matches!(error, ClientError::DigestMismatch { .. }), "{error:?}");
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn another_artifact_in_place_of_the_signed_one_is_refused() {
    for size in [1, SIZE - 1, SIZE + 1, 10 * SIZE] {
        let (error, _) = refused(move |_| Reply::whole(&bytes(79, size))).await;
        assert!(matches!(error, ClientError::SizeMismatch { .. }), "{size}: {error:?}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_too_early_has_no_name() {
    for cut in [0, 1, SIZE / 2, SIZE - 1] {
        let answer = move |_: &Asked| Reply::whole(&wanted()).cut(cut, Then::Close);
        let (error, _) = refused(answer).await;
        assert!(matches!(error, ClientError::Unreachable { .. }), "{cut}: {error:?}");
        // Without a declared length the end looks like any other.
        let answer = move |_: &Asked| Reply::new("200 OK", &wanted()[..cut], Then::Close);
        let (error, _) = refused(answer).await;
        assert!(matches!(error, ClientError::SizeMismatch { .. }), "{cut}: {error:?}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_off_past_the_signed_size() {
    let (error, left) = refused(|_| Reply::new("200 OK", &wanted(), Then::Endless)).await;
    assert!(matches!(error, ClientError::SizeMismatch { .. }), "{error:?}");
    assert!(left.is_empty(), "{left:?}");
    // The right bytes, and one more.
    let more = [wanted(), vec![0]].concat();
    let (error, left) = refused(move |_| Reply::new("200 OK", &more, Then::Close)).await;
    assert!(matches!(error, ClientError::SizeMismatch { .. }), "{error:?}");
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_mirror_that_drips_or_stalls_is_given_up() {
    for then in [Then::Drip(Duration::from_millis(20)), Then::Stall] {
        let answer = move |_: &Asked| Reply::whole(&wanted()).cut(5, then);
        let (error, _) = refused(answer).await;
        assert!(matches!(error, ClientError::TooSlow { .. }), "{then:?}: {error:?}");
        let answer = move |_: &Asked| Reply { head: String::new(), body: Vec::new(), then };
        let (error, _) = refused(answer).await;
        assert!(matches!(error, ClientError::TooSlow { .. } | ClientError::Unreachable { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_download_has_a_time_in_which_it_ends() {
    // Fast enough for every window, and for ever: bytes of a file that is too large to end.
    let mirror = Mirror::start(|_| Reply {
        then: Then::Drip(Duration::from_millis(1)),
        ..Reply::new("200 OK", b"", Then::Close)
    })
    .await;
    let limits = Limits { min_bytes_per_second: 1, max_duration: Duration::from_secs(1), ..short() };
    let job = Job::new(&mirror.url(), &wanted(), limits).await;
    let started = Instant::now();
    let error = client_error(job.download().await);
    assert!(matches!(error, ClientError::TooSlow { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(!job.path().exists());
}

#[tokio::test]
async fn a_partial_answer_that_is_not_the_asked_one_is_not_taken() {
    let ranges = [
        "bytes 0-49999/50000",
        "bytes 10-49999/50000",
        "bytes 20000-39999/50000",
        "bytes 20000-49999/60000",
        "x",
        "",
    ];
    for range in ranges {
        let mirror = Mirror::start(move |asked| {
            if asked.from.is_none() {
                return Reply::whole(&wanted()).cut(20_000, Then::Close);
            }
            let head = format!("206 Partial Content\r\nContent-Range: {range}");
            Reply::new(&head, &wanted()[20_000..], Then::Close)
        })
        .await;
        let job = Job::new(&mirror.url(), &wanted(), short()).await;
        let error = client_error(job.download().await);
        assert!(!job.path().exists(), "{range}: {error:?}");
    }
    // The right range, and other bytes in it.
    let round = Arc::new(AtomicUsize::new(0));
    let (error, left) = refused(move |asked| match round.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::good(asked, &wanted(), "\"e\"").cut(20_000, Then::Close),
        _ => Reply::good(asked, &bytes(80, SIZE), "\"e\""),
    })
    .await;
    assert!(matches!(error, ClientError::DigestMismatch { .. }), "{error:?}");
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_partial_answer_that_nobody_asked_for_is_not_taken() {
    let (error, left) = refused(|_| {
        Reply::new("206 Partial Content\r\nContent-Range: bytes 0-49999/50000", &wanted(), Then::Close)
    })
    .await;
    assert!(matches!(error, ClientError::Refused { status: 206, .. }), "{error:?}");
    assert!(left.iter().all(|name| name.starts_with('.')), "{left:?}");
}

#[tokio::test]
async fn compressed_bytes_are_not_unpacked() {
    let (error, left) = refused(|_| {
        let head = format!("200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {SIZE}");
        Reply::new(&head, &bytes(81, SIZE), Then::Close)
    })
    .await;
    assert!(matches!(error, ClientError::DigestMismatch { .. }), "{error:?}");
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_redirect_to_plain_http_elsewhere_is_not_followed_even_in_development() {
    for to in [
        "http://192.0.2.1/file",
        "http://updates.example.com/file",
        "http://127.0.0.1.example.com/",
        "file:///etc/passwd",
    ] {
        let (error, _) = refused(move |_| Reply::redirect(to)).await;
        let refused =
            matches!(error, ClientError::Unreachable { .. } | ClientError::Refused { status: 302, .. });
        assert!(refused, "{to}: {error:?}");
    }
}

/// On Linux this address leads to the machine itself, and it is not called a loopback address.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_redirect_to_a_host_that_would_answer_in_plain_http_is_not_followed() {
    let plain = Mirror::start(|asked| Reply::good(asked, &wanted(), "\"e\"")).await;
    let to = plain.url().replace("127.0.0.1", "0.0.0.0");
    let (error, _) = refused(move |_| Reply::redirect(&to)).await;
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    assert!(plain.asked().is_empty(), "it was asked");
}

#[tokio::test]
async fn a_redirect_from_tls_to_plain_http_is_not_followed_even_on_this_machine() {
    let plain = Mirror::start(|asked| Reply::good(asked, &wanted(), "\"e\"")).await;
    let to = plain.url();
    let tls = Mirror::start_tls(2_100, move |_| Reply::redirect(&to)).await;
    let world = World::new().await;
    world.offer(&tls.url(), &wanted());
    let folder = tempfile::tempdir().unwrap();
    let builder = world.builder(folder.path(), TestClock::at(NOW)).limits(short());
    let updater = builder.root_certificate(tls.authority.as_bytes()).build().unwrap();
    let checked = updater.check().await.unwrap();
    let path = folder.path().join("x");
    let error = client_error(updater.download(checked.offer().unwrap(), &path, |_| ()).await);
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    assert!(plain.asked().is_empty() && !tls.asked().is_empty() && !path.exists());
}

#[tokio::test]
async fn a_redirect_that_stays_within_tls_is_followed() {
    let round = AtomicUsize::new(0);
    let tls = Mirror::start_tls(2_100, move |asked| match round.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::redirect("/elsewhere"),
        _ => Reply::good(asked, &wanted(), "\"e\""),
    })
    .await;
    let world = World::new().await;
    world.offer(&tls.url(), &wanted());
    let folder = tempfile::tempdir().unwrap();
    let builder = world.builder(folder.path(), TestClock::at(NOW)).allow_loopback_http(true);
    let updater = builder.root_certificate(tls.authority.as_bytes()).build().unwrap();
    let checked = updater.check().await.unwrap();
    let path = folder.path().join("x");
    updater.download(checked.offer().unwrap(), &path, |_| ()).await.unwrap();
    assert_eq!(std::fs::read(path).unwrap(), wanted());
}

#[tokio::test]
async fn a_mirror_with_a_stranger_for_an_authority_is_not_spoken_to() {
    let tls = Mirror::start_tls(2_100, |asked| Reply::good(asked, &wanted(), "\"e\"")).await;
    let job = Job::new(&tls.url(), &wanted(), short()).await;
    let error = client_error(job.download().await);
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    assert!(tls.asked().is_empty() && !job.path().exists());
}

#[tokio::test]
async fn a_certificate_that_is_over_is_told_as_trouble_with_the_time() {
    let tls = Mirror::start_tls(2_002, |asked| Reply::good(asked, &wanted(), "\"e\"")).await;
    let world = World::new().await;
    world.offer(&tls.url(), &wanted());
    let folder = tempfile::tempdir().unwrap();
    let builder = world.builder(folder.path(), TestClock::at(NOW)).limits(short());
    let updater = builder.root_certificate(tls.authority.as_bytes()).build().unwrap();
    let checked = updater.check().await.unwrap();
    let path = folder.path().join("x");
    let error = updater.download(checked.offer().unwrap(), &path, |_| ()).await.unwrap_err();
    assert!(matches!(error, UpdateError::Certificate { .. }), "{error:?}");
    assert_eq!((error.code(), path.exists()), ("CLOCK", false));
}

#[tokio::test]
async fn redirects_come_to_an_end() {
    let round = AtomicUsize::new(0);
    let (error, _) =
        refused(move |_| Reply::redirect(&format!("/again-{}", round.fetch_add(1, Ordering::SeqCst)))).await;
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
}
