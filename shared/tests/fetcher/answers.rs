//! What a host may answer, and what becomes of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use shared::{
    adapters::fetcher::https::FetchLimits,
    domain::artifact::Verification,
    ports::fetcher::{FetchError, Fetcher, SizeFound},
};

use crate::{
    server::{Identity, Network, Server, Step},
    world::{
        BODY, SHORT, answer, chain, digest, fetch, fetch_in_a_hurry, fetch_within, fetcher, ok, read,
        redirect, request,
    },
};

async fn answering(steps: Vec<Step>) -> Server {
    Server::start(Identity::Trusted, move |_| steps.clone()).await
}

#[tokio::test]
async fn the_declared_bytes_are_proved_with_what_the_host_says_of_them() {
    let head =
        "HTTP/1.1 200 OK\nContent-Length: 15\nETag: \"v1\"\nLast-Modified: Sat, 01 Aug 2026 12:00:00 GMT";
    let server = answering(answer(head, BODY)).await;
    let fetched = fetch(&server).await.unwrap();
    assert_eq!(fetched.verification, Verification::Fetched);
    assert_eq!(fetched.validators.etag.as_deref(), Some("\"v1\""));
    assert_eq!(fetched.validators.last_modified.as_deref(), Some("Sat, 01 Aug 2026 12:00:00 GMT"));
    assert_eq!(
        (fetched.final_url_host.as_str(), fetched.bytes_read, fetched.concealed),
        ("pub.test", 15, false)
    );
    let sent = server.requests().concat().to_lowercase();
    assert!(sent.starts_with("get /a http/1.1\r\n"), "{sent}");
    for line in ["host: pub.test\r\n", "accept-encoding: identity\r\n"] {
        assert!(sent.contains(line), "{sent}");
    }
    assert!(!sent.contains("authorization") && !sent.contains("cookie"), "{sent}");
}

#[tokio::test]
async fn chunked_bytes_and_bytes_to_the_end_of_the_connection_are_proved() {
    let chunked = answering(answer(
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked",
        b"7\r\nfifteen\r\n8\r\n bytes !\r\n0\r\n\r\n",
    ));
    assert_eq!(fetch(&chunked.await).await.unwrap().bytes_read, 15);
    let closed = answering(answer("HTTP/1.1 200 OK\nConnection: close", BODY));
    assert_eq!(fetch(&closed.await).await.unwrap().bytes_read, 15);
}

#[tokio::test]
async fn another_announced_length_is_refused_before_the_body() {
    for length in [0, 14, 16] {
        let head = format!("HTTP/1.1 200 OK\nContent-Length: {length}");
        let server =
            answering([answer(&head, b""), vec![Step::Pause(Duration::from_secs(30))]].concat()).await;
        let error = fetch(&server).await.unwrap_err();
        assert!(
            matches!(error, FetchError::SizeMismatch { declared: 15, found: SizeFound::Exactly(found) } if found == length),
            "{error:?}"
        );
        assert!(error.definite());
    }
}

#[tokio::test]
async fn a_body_longer_than_declared_is_not_read_to_its_end() {
    let endless = vec![
        Step::Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()),
        Step::Repeat([b"1000\r\n".as_slice(), &[b'x'; 4096], b"\r\n"].concat(), 1_000_000),
    ];
    let error = fetch(&answering(endless).await).await.unwrap_err();
    assert!(matches!(error, FetchError::SizeMismatch { found: SizeFound::MoreThan(15), .. }), "{error:?}");
}

#[tokio::test]
async fn a_short_body_is_a_mismatch_when_it_ends_well_and_a_bad_day_when_it_breaks_off() {
    let whole = answering(answer("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b"3\r\nfif\r\n0\r\n\r\n"));
    let error = fetch(&whole.await).await.unwrap_err();
    assert!(matches!(error, FetchError::SizeMismatch { found: SizeFound::Exactly(3), .. }), "{error:?}");
    for (head, end) in [
        ("Content-Length: 15", Vec::new()),
        ("Content-Length: 15", vec![Step::Abort]),
        ("Transfer-Encoding: chunked", Vec::new()),
        ("Connection: close", vec![Step::Abort]),
    ] {
        let body: &[u8] = if head.starts_with("Tr") { b"7\r\nfifteen\r\n" } else { b"fifteen" };
        let steps = [answer(&format!("HTTP/1.1 200 OK\n{head}"), body), end].concat();
        let error = fetch(&answering(steps).await).await.unwrap_err();
        assert_eq!((error.code(), error.definite()), ("UPSTREAM_INVALID", false), "{head}: {error:?}");
    }
}

#[tokio::test]
async fn encoded_answers_are_refused_and_plain_ones_named_identity_are_not() {
    for encoding in ["gzip", "br", "identity, gzip", "x-gzip"] {
        let head = format!("HTTP/1.1 200 OK\nContent-Encoding: {encoding}\nContent-Length: 15");
        let error = fetch(&answering(answer(&head, BODY)).await).await.unwrap_err();
        assert_eq!((error.code(), error.definite()), ("UPSTREAM_INVALID", false), "{encoding}");
    }
    let head = "HTTP/1.1 200 OK\nContent-Encoding: identity\nContent-Length: 15";
    assert!(fetch(&answering(answer(head, BODY)).await).await.is_ok());
}

#[tokio::test]
async fn other_statuses_are_tried_again_when_the_host_says() {
    for (head, status, wait) in [
        ("503 Busy\nRetry-After: 120", 503, Some(120)),
        (
            "429 Slow\nDate: Sat, 01 Aug 2026 12:00:00 GMT\nRetry-After: Sat, 01 Aug 2026 12:05:00 GMT",
            429,
            Some(300),
        ),
        ("503 Busy\nRetry-After: 99999999999999999999", 503, Some(86400)),
        (
            "503 Busy\nDate: Sat, 01 Aug 2026 12:00:00 GMT\nRetry-After: Sat, 01 Aug 2020 12:00:00 GMT",
            503,
            Some(0),
        ),
        ("503 Busy\nRetry-After: soon", 503, None),
        ("404 Not Found", 404, None),
        // What is gone is gone, whatever else is said.
        ("404 Not Found\nRetry-After: 3600", 404, None),
        ("410 Gone\nRetry-After: 3600", 410, None),
        ("500 Broken\nRetry-After: 3600", 500, None),
        ("401 Unauthorized\nRetry-After: 3600", 401, None),
        ("403 Forbidden\nRetry-After: 60", 403, Some(60)),
        ("206 Partial Content", 206, None),
        ("204 No Content", 204, None),
        ("304 Not Modified", 304, None),
    ] {
        let error = fetch(&answering(answer(&format!("HTTP/1.1 {head}"), b"")).await).await.unwrap_err();
        assert!(matches!(error, FetchError::Status { status: found, .. } if found == status), "{error:?}");
        assert_eq!((error.code(), error.definite()), ("UPSTREAM_STATUS", false));
        assert_eq!(error.retry_after(), wait.map(Duration::from_secs), "{head}");
    }
}

#[tokio::test]
async fn silence_and_slowness_end_at_their_limits() {
    let mute = answering(vec![Step::Pause(Duration::from_secs(30))]).await;
    let started = Instant::now();
    let error = fetch_in_a_hurry(&mute).await.unwrap_err();
    assert!(matches!(error, FetchError::Timeout("the head of the answer")), "{error:?}");
    assert!(started.elapsed() < SHORT.total_base, "silence ends before the whole");

    let stuck =
        [answer("HTTP/1.1 200 OK\nContent-Length: 15", b"fif"), vec![Step::Pause(Duration::from_secs(30))]];
    let error = fetch_in_a_hurry(&answering(stuck.concat()).await).await.unwrap_err();
    assert!(matches!(error, FetchError::Timeout("a piece of the body")), "{error:?}");

    // A handshake that is never answered: this server waits for a request in the clear.
    let error = fetch_in_a_hurry(&Server::start(Identity::Plain, |_| ok(BODY)).await).await.unwrap_err();
    assert!(matches!(error, FetchError::Timeout("the TLS handshake")), "{error:?}");

    let slow = [
        answer("HTTP/1.1 200 OK\nContent-Length: 15", b""),
        vec![Step::Drip(15, Duration::from_millis(300))],
    ];
    let started = Instant::now();
    let error = fetch_in_a_hurry(&answering(slow.concat()).await).await.unwrap_err();
    assert!(matches!(error, FetchError::Timeout("the artifact as a whole")), "{error:?}");
    assert!(started.elapsed() >= SHORT.total_base && !error.definite());
}

#[tokio::test]
async fn bytes_that_come_too_slowly_are_given_up_long_before_the_time_of_the_whole_is_over() {
    const DECLARED: u64 = 100 << 30;
    let limits = FetchLimits { total_base: Duration::from_millis(400), min_rate: 1000, ..SHORT };
    assert!(limits.total(DECLARED) > Duration::from_secs(86_400 * 365));
    let head = format!("HTTP/1.1 200 OK\nContent-Length: {DECLARED}");
    let dripping = [answer(&head, &[b'x'; 100]), vec![Step::Drip(1_000, Duration::from_millis(30))]].concat();
    let started = Instant::now();
    let error = fetch_within(limits, &answering(dripping).await, DECLARED).await.unwrap_err();
    assert!(matches!(error, FetchError::Timeout("the artifact as a whole")), "{error:?}");
    let took = started.elapsed();
    assert!((limits.total(100)..Duration::from_secs(5)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn bytes_that_keep_to_the_slowest_rate_are_read_to_their_end() {
    // Some 800 ms, longer than the base alone.
    let limits = FetchLimits { total_base: Duration::from_millis(700), min_rate: 20, ..SHORT };
    let steady =
        [answer("HTTP/1.1 200 OK\nContent-Length: 60", b""), vec![Step::Drip(60, Duration::from_millis(13))]];
    let error = fetch_within(limits, &answering(steady.concat()).await, 60).await.unwrap_err();
    assert!(matches!(error, FetchError::ChecksumMismatch { .. }), "read whole, and other bytes: {error:?}");
}

#[tokio::test]
async fn what_is_not_http_is_invalid() {
    for bytes in
        [b"SSH-2.0-OpenSSH_9.6\r\n".as_slice(), b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"\0\0\0\0"]
    {
        let error = fetch(&answering(vec![Step::Send(bytes.to_vec())]).await).await.unwrap_err();
        assert_eq!(error.code(), "UPSTREAM_INVALID", "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_artifact_streams_through() {
    let piece = vec![7_u8; 64 * 1024];
    let size = 64 * 1024 * 1024;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
    let steps = vec![Step::Send(head.into_bytes()), Step::Repeat(piece.clone(), 1024)];
    let server = answering(steps).await;
    let mut wanted = request("https://pub.test/a");
    wanted.declared_size = size;
    wanted.declared_sha256 = digest(&piece.repeat(1024));
    let network = Arc::new(Network::to(&server));
    let fetched = read(&fetcher(&server, &network, Vec::new()), &wanted).await.unwrap();
    assert_eq!(fetched.bytes_read, size);
}

#[tokio::test]
async fn no_error_repeats_the_query_of_a_presigned_url() {
    let failing: [fn() -> Vec<Step>; 5] = [
        || answer("HTTP/1.1 403 Forbidden", b""),
        || ok(b"another bodies!"),
        || redirect("http://pub.test/b?token=s3cret"),
        || redirect("https://169.254.169.254/b?token=s3cret"),
        || vec![Step::Abort],
    ];
    for steps in failing {
        let server = answering(steps()).await;
        let network = Arc::new(Network::to(&server));
        let wanted = request("https://pub.test/a?X-Amz-Signature=s3cret");
        let error = fetcher(&server, &network, Vec::new()).fetch(&wanted).await.unwrap_err();
        assert!(!chain(&error).contains("s3cret"), "{}", chain(&error));
    }
}

/// A gzip stream of a million zeros, of about a kilobyte.
fn bomb() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, &vec![0; 1 << 20]).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_gzip_bomb_is_never_unpacked() {
    let bomb = bomb();
    let head = |more: &str| format!("HTTP/1.1 200 OK\nContent-Length: {}{more}", bomb.len());
    let said = answering(answer(&head("\nContent-Encoding: gzip"), &bomb)).await;
    assert_eq!(fetch(&said).await.unwrap_err().code(), "UPSTREAM_INVALID");
    // One that is not said to be one is so many bytes.
    let declared = bomb.len() as u64;
    let unsaid = answering(answer(&head(""), &bomb)).await;
    let error = fetch_within(FetchLimits::default(), &unsaid, declared).await.unwrap_err();
    let found = digest(&bomb);
    assert!(matches!(error, FetchError::ChecksumMismatch { found: read, .. } if read == found), "{error:?}");
}

#[tokio::test]
async fn a_head_of_ten_megabytes_is_given_up() {
    let line = format!("X-Filler: {}\r\n", "x".repeat(1000)).into_bytes();
    let steps = vec![
        Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Step::Repeat(line, 10 << 10),
        Step::Send(b"\r\n".to_vec()),
    ];
    let error = fetch(&answering(steps).await).await.unwrap_err();
    assert_eq!((error.code(), error.definite()), ("UPSTREAM_INVALID", false));
}

#[tokio::test]
async fn a_drip_is_given_up() {
    // A byte every 500 ms under limits that are a twentieth of the real ones: as one every ten seconds.
    let drip = [
        answer("HTTP/1.1 200 OK\nContent-Length: 15", b""),
        vec![Step::Drip(15, Duration::from_millis(500))],
    ];
    let error = fetch_in_a_hurry(&answering(drip.concat()).await).await.unwrap_err();
    assert_eq!((error.code(), error.definite()), ("UPSTREAM_TIMEOUT", false));
}
