//! How much memory the file system store takes; alone in its process, since it measures all of it.
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::{fs, sync::Arc, time::Instant};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sha2::Digest as _;
use shared::{
    adapters::objects::{filesystem::FilesystemObjects, signed_url::UrlKey},
    contract::objects::{Put, Store, grant, upload},
    domain::digest::Sha256,
    ports::objects::UploadGrant,
};

/// A line of `/proc/self/status`, in KiB.
fn memory_kib(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let value = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    value.trim_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap()
}

#[tokio::test]
async fn a_quarter_gibibyte_goes_in_and_out_in_flat_memory() {
    const PIECE: &[u8] = &[0x5A; 64 * 1024];
    const PIECES: u64 = 4096;
    let dir = tempfile::tempdir().unwrap();
    let key = UrlKey::from_bytes(&[7; 32]);
    let store =
        Arc::new(FilesystemObjects::open(dir.path().join("store"), "http://127.0.0.1:8080", key).unwrap());
    let store = Store { objects: Arc::clone(&store) as _, receiver: store };
    let mut hash = sha2::Sha256::new();
    (0..PIECES).for_each(|_| hash.update(PIECE));
    let size_bytes = PIECES * PIECE.len() as u64;
    let sha256 = Sha256::from_bytes(hash.finalize().into());
    let grant = UploadGrant { size_bytes, sha256, ..grant(upload(1), b"") };
    let doors = store.objects.presign_upload(&grant).await.unwrap();
    let put = Put::locked(&doors, usize::try_from(size_bytes).unwrap());

    let before = memory_kib("VmHWM:");
    // Each piece is memory of its own, as it would be from the network.
    let pieces = stream::iter(0..PIECES).map(|_| Ok(Bytes::from(PIECE.to_vec())));
    let began = Instant::now();
    store.send(&put, pieces.boxed()).await.unwrap();
    let (wrote, began) = (began.elapsed(), Instant::now());
    let mut chunks = store.chunks(put.key, None).await.unwrap();
    let mut read = 0;
    while let Some(chunk) = chunks.next().await {
        read += chunk.unwrap().len() as u64;
    }
    let grown = memory_kib("VmHWM:").saturating_sub(before);
    println!("256 MiB: in {wrote:?}, out {:?}, memory grew by {grown} KiB", began.elapsed());
    assert_eq!(read, size_bytes);
    assert!(grown <= 8 * 1024, "memory grew by {grown} KiB");
}
