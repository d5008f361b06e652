//! Real installers, with a SHA-256 that their registry computed and we did not.

use e2e::story::{payload, text};
use e2e::{Server, bytes, settings};
use serde_json::{Value, json};

/// Stores, releases, offers and downloads one file; the service's figures must be the registry's.
async fn makes_the_whole_way(row: &Value) {
    let server = Server::shared();
    let api = server.admin();
    let wanted = &row["wanted"];
    let content = std::fs::read(text(row, "file")).expect("a fetched file");
    // Only where the registry gives none do we have to compute the digest to declare.
    let digest = row["sha256"].as_str().map_or_else(|| bytes::sha256(&content), str::to_owned);
    let upload = api.initiate(&content, json!({"sha256": digest})).await;
    let put = api.put_bare(&upload, &content).await;
    assert!((200..300).contains(&put.status), "{}: {}", put.status, put.text());
    let artifact = api.completed(&upload).await;
    assert_eq!((text(&artifact, "sha256"), text(&artifact, "state")), (digest.as_str(), "AVAILABLE"));

    let product = api.product("real").await;
    let mut entry = json!({"artifact_id": artifact["artifact_id"]});
    for member in ["platform", "arch", "installer_type"] {
        entry[member] = wanted[member].clone();
    }
    api.publish(&product, "1.0.0", json!({"artifacts": [entry]})).await;
    let asked = json!({"platform": wanted["platform"], "arch": wanted["arch"]});
    let offered = payload(&api.decide(&product, "0.9.0", asked).await)["artifact"].clone();
    assert_eq!((text(&offered, "sha256"), &offered["size_bytes"]), (digest.as_str(), &json!(content.len())));
    let got = server.anonymous().download(text(&offered, "artifact_id")).await;
    assert_eq!((got.status, got.body == content), (200, true));
}

async fn all_make_the_whole_way(kind: &str) -> u64 {
    let mut largest = 0;
    for row in settings::installers(kind) {
        assert!(kind == "npm" || row["sha256"].is_string(), "the registry gives a digest: {row}");
        makes_the_whole_way(&row).await;
        largest = largest.max(std::fs::metadata(text(&row, "file")).expect("a file").len());
    }
    largest
}

#[tokio::test]
async fn real_wheel_files_with_native_libraries_one_above_100_mb_make_the_whole_way() {
    assert!(all_make_the_whole_way("wheel").await > 100_000_000);
}

#[tokio::test]
async fn real_crate_archives_make_the_whole_way() {
    all_make_the_whole_way("crate").await;
}

#[tokio::test]
async fn real_npm_archives_make_the_whole_way() {
    all_make_the_whole_way("npm").await;
}

#[tokio::test]
async fn real_deb_packages_make_the_whole_way() {
    all_make_the_whole_way("deb").await;
}
