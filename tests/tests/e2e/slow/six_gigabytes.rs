//! Six gigabytes in parts, read in slices of one, with a `kill -9` between two of them, in memory that does not grow.

use bytes::Bytes;
use e2e::bytes::hex;
use e2e::story::{text, until};
use e2e::{Api, Server};
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::Method;
use reqwest::header::CONTENT_LENGTH;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const BLOCK: usize = 1 << 20;

/// So many zero bytes, of which but one block is in memory.
fn zeros(length: u64) -> impl Iterator<Item = Bytes> {
    let block = Bytes::from(vec![0; BLOCK]);
    let whole = usize::try_from(length).expect("a length") / BLOCK;
    let rest = usize::try_from(length).expect("a length") % BLOCK;
    (0..whole).map(move |_| BLOCK).chain([rest]).map(move |length| block.slice(..length))
}

fn path(upload: &Value) -> String {
    format!("/v1/artifacts/uploads/{}", text(upload, "upload_id"))
}

async fn put(api: &Api, upload: &Value, number: u64, length: u64) -> Result<(), reqwest::Error> {
    let door = api.parts(upload, json!([{"part_number": number}])).await.ok(200)["parts"][0].clone();
    let body = reqwest::Body::wrap_stream(stream::iter(zeros(length).map(Ok::<_, std::io::Error>)));
    let request = api.request(Method::PUT, text(&door, "url")).header(CONTENT_LENGTH, length).body(body);
    let answer = api.try_send(request).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ok(())
}

/// An upload of so many zero bytes, whose parts were put two at a time.
async fn sent(api: &Api, size: u64) -> Value {
    let mut hash = Sha256::new();
    zeros(size).for_each(|block| hash.update(&block));
    let declared = json!({"size_bytes": size, "sha256": hex(&hash.finalize()), "multipart": true});
    let upload = api.post("/v1/artifacts/uploads", &declared).await.ok(201);
    let part = upload["multipart"]["part_size_bytes"].as_u64().expect("a size");
    let count = upload["multipart"]["part_count"].as_u64().expect("a count");
    stream::iter(1..=count)
        .map(|number| put(api, &upload, number, part.min(size - (number - 1) * part)))
        .buffer_unordered(2)
        .try_collect::<()>()
        .await
        .expect("every part is taken");
    upload
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn six_gigabytes_are_read_in_slices_that_survive_kill_9_and_memory_stays_flat() {
    let mut server = Server::start();
    let api = server.admin();
    // What any server needs for its first uploads is not growth.
    let small = sent(&api, 256 << 20).await;
    api.completed(&small).await;
    let before = server.peak_kib();
    let upload = sent(&api, 6 << 30).await;
    api.complete(&upload).await.ok(202);
    let mut read = 0;
    until("two slices are read", 300, async || {
        let looked = api.get(&path(&upload)).await.ok(200);
        read = looked["verified_bytes"].as_u64().expect("how far it was read");
        read >= 2 << 30
    })
    .await;
    let first = server.peak_kib();
    server.kill();
    server.restart();
    let api = server.admin();
    let looked = api.get(&path(&upload)).await.ok(200);
    assert!(looked["verified_bytes"].as_u64().is_some_and(|now| now >= read), "{read}: {looked}");
    until("the whole is read", 300, async || api.get(&path(&upload)).await.ok(200)["state"] != "COMPLETING")
        .await;
    let done = api.get(&path(&upload)).await.ok(200);
    assert_eq!(done["state"], "COMPLETED", "{done}");
    for peak in [first, server.peak_kib()] {
        let grown = peak.saturating_sub(before);
        assert!(grown <= 8 * 1_024, "{grown} KiB more than {before}");
    }
    eprintln!("peaks of {first} and {} KiB where {before} KiB were needed anyway", server.peak_kib());
}
