//! How fast stored bytes are proved by reading them, beside the bare hash, and how much memory that takes.
//!
//! Over a folder; and over a bucket of the server whose URL is in `BP_BENCH_S3` (`MinIO` with `test:testtest`).

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark"
)]
#![allow(clippy::disallowed_methods, clippy::cast_precision_loss, reason = "a benchmark")]

use std::{fs, path::Path, sync::Arc, time::Instant};

use aws_sdk_s3::{
    Client,
    config::Builder,
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart},
};
use futures_util::StreamExt as _;
use shared::{
    adapters::{
        aws::{AwsCredentials, AwsSettings, sdk_config},
        objects::{filesystem::FilesystemObjects, s3::S3Objects, signed_url::UrlKey},
    },
    domain::{digest::Sha256, hashing::Hashing, ids::UploadId, secret::Secret, upload::ObjectKey},
    ports::objects::Objects,
};

const SMALL: usize = 10 << 20;
const LARGE: usize = 1 << 30;
const ROUNDS: usize = 9;
const KEY: &str = "test:testtest";

/// What a stretch took: seconds by the clock, and CPU seconds of this process.
#[derive(Clone, Copy)]
struct Took {
    wall: f64,
    cpu: f64,
}

/// User and system time of this process in seconds, that of threads that have ended among it.
fn cpu() -> f64 {
    const TICKS_A_SECOND: f64 = 100.0;
    let text = fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = text.rsplit_once(')').expect("a name");
    let ticks =
        fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<f64>().expect("a number"));
    ticks.sum::<f64>() / TICKS_A_SECOND
}

fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The bare hash, over as many bytes as the large object has.
fn bare() -> Took {
    let piece = vec![7_u8; 256 * 1024];
    let (began, before) = (Instant::now(), cpu());
    let mut hash = Hashing::default();
    for _ in 0..LARGE / piece.len() {
        hash.update(std::hint::black_box(&piece));
    }
    std::hint::black_box(hash.finish());
    Took { wall: began.elapsed().as_secs_f64(), cpu: cpu() - before }
}

/// Reads as a task does that proves what came in parts.
async fn read(objects: &dyn Objects, key: ObjectKey, size: usize) -> Took {
    let (began, before) = (Instant::now(), cpu());
    let mut bytes = objects.large().expect("parts").read(&key, None, 0).await.expect("an object");
    let mut hash = Hashing::default();
    while let Some(piece) = bytes.next().await {
        hash.update(&piece.expect("bytes"));
    }
    assert_eq!(hash.bytes(), size as u64);
    let expected: Sha256 = hash.finish();
    std::hint::black_box(expected);
    Took { wall: began.elapsed().as_secs_f64(), cpu: cpu() - before }
}

fn median(mut took: Vec<f64>) -> f64 {
    took.sort_by(f64::total_cmp);
    took.get(took.len() / 2).copied().unwrap_or_default()
}

fn rate(took: &[Took], of: impl Fn(&Took) -> f64) -> f64 {
    LARGE as f64 / median(took.iter().map(of).collect()) / 1e9
}

async fn measure(name: &str, objects: Arc<dyn Objects>, small: ObjectKey, large: ObjectKey) {
    // What any reading needs is not growth.
    for _ in 0..3 {
        read(objects.as_ref(), small, SMALL).await;
    }
    let before = peak_kib();
    let (mut alone, mut streamed) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(bare());
        let objects = Arc::clone(&objects);
        // Beside the threads of the runtime, as in a service.
        streamed.push(tokio::spawn(async move { read(objects.as_ref(), large, LARGE).await }).await.unwrap());
    }
    let (wall, cpu) = (|took: &Took| took.wall, |took: &Took| took.cpu);
    println!(
        "{name}: bare {:.2} GB/s, streamed {:.2} GB/s by the clock: {:.2}; CPU of the process {:.2} x; {} KiB more from 10 MB to 1 GB (peak {} KiB)",
        rate(&alone, wall),
        rate(&streamed, wall),
        rate(&streamed, wall) / rate(&alone, wall),
        rate(&alone, cpu) / rate(&streamed, cpu),
        peak_kib() - before,
        peak_kib(),
    );
}

fn keys() -> (ObjectKey, ObjectKey) {
    (ObjectKey::Whole(UploadId::from_parts(1, 1)), ObjectKey::Whole(UploadId::from_parts(1, 2)))
}

/// An object on the disk, as the store has them.
fn write(folder: &Path, key: ObjectKey, size: usize) {
    let place = folder.join(key.to_string());
    fs::create_dir_all(&place).unwrap();
    let block = vec![7_u8; 1 << 20];
    let mut file = fs::File::create(place.join("data")).unwrap();
    for _ in 0..size / block.len() {
        std::io::Write::write_all(&mut file, &block).unwrap();
    }
    let meta = format!("{{\"size_bytes\":{size},\"sha256\":null,\"stored_at\":0}}");
    fs::write(place.join("meta.json"), meta).unwrap();
}

/// An object of a bucket, in parts.
async fn put(client: &Client, bucket: &str, key: ObjectKey, size: usize) {
    const PART: usize = 10 << 20;
    let key = key.to_string();
    let begun = client.create_multipart_upload().bucket(bucket).key(&key).send().await.unwrap();
    let upload = begun.upload_id.expect("an id");
    let mut parts = Vec::new();
    for (number, from) in (1..).zip((0..size).step_by(PART)) {
        let body = ByteStream::from(vec![7; PART.min(size - from)]);
        let request = client.upload_part().bucket(bucket).key(&key).upload_id(&upload).part_number(number);
        let tag = request.body(body).send().await.unwrap().e_tag;
        parts.push(CompletedPart::builder().part_number(number).set_e_tag(tag).build());
    }
    let whole = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let request = client.complete_multipart_upload().bucket(bucket).key(&key).upload_id(upload);
    request.multipart_upload(whole).send().await.unwrap();
}

async fn over_a_bucket(url: String) {
    let settings = AwsSettings {
        region: "us-east-1".into(),
        endpoint_url: Some(url),
        credentials: AwsCredentials::parse(&Secret::new(KEY.into())).unwrap(),
        ca_pem: None,
    };
    let sdk = sdk_config(&settings);
    let client = Client::from_conf(Builder::from(&sdk).force_path_style(true).build());
    let bucket = format!("bench-{}", std::process::id());
    client.create_bucket().bucket(&bucket).send().await.unwrap();
    let (small, large) = keys();
    put(&client, &bucket, small, SMALL).await;
    put(&client, &bucket, large, LARGE).await;
    let credentials = sdk.credentials_provider().unwrap();
    let objects = S3Objects::open(&sdk, bucket.clone(), credentials, true);
    measure("bucket", Arc::new(objects), small, large).await;
    for key in [small, large] {
        client.delete_object().bucket(&bucket).key(key.to_string()).send().await.unwrap();
    }
    client.delete_bucket().bucket(&bucket).send().await.unwrap();
}

#[tokio::main]
async fn main() {
    if let Ok(server) = std::env::var("BP_BENCH_S3") {
        return over_a_bucket(server).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let (small, large) = keys();
    write(folder.path(), small, SMALL);
    write(folder.path(), large, LARGE);
    let key = UrlKey::from_bytes(&[7; 32]);
    let objects = FilesystemObjects::open(folder.path().to_owned(), "http://127.0.0.1", key).unwrap();
    measure("folder", Arc::new(objects), small, large).await;
}
