//! Rollouts: who is in, and what pausing does.

use e2e::Server;
use e2e::bytes::hex;
use e2e::story::{msi, text, verdict};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The bucket as documented: eight bytes of SHA-256 over release, a zero byte and client, modulo ten thousand.
fn bucket(release: &Value, client: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(text(release, "release_id"));
    hash.update([0]);
    hash.update(client);
    let first = hex(&hash.finalize())[..16].to_owned();
    u64::from_str_radix(&first, 16).expect("hex") % 10_000
}

#[tokio::test]
async fn a_client_is_in_a_rollout_exactly_when_its_bucket_is_below_the_percentage() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("bucket").await;
    let release = api.publish(&product, "1.0.0", json!({"rollout": {"percentage": 37.25}})).await;
    let (mut inside, mut outside) = (0, 0);
    for number in 0..60 {
        let client = format!("client-{number}");
        let said = verdict(&api.decide(&product, "0.9.0", json!({"client_id": client})).await);
        if bucket(&release, &client) < 3_725 {
            inside += 1;
            assert_eq!(said, "INSTALL/NEW_RELEASE 1.0.0", "{client}");
        } else {
            outside += 1;
            assert_eq!(said, "NONE/NOT_IN_ROLLOUT", "{client}");
        }
    }
    assert!(inside > 5 && outside > 5, "{inside} in, {outside} out");
    assert_eq!(verdict(&api.decide(&product, "0.9.0", json!({})).await), "NONE/NOT_IN_ROLLOUT");
    assert_eq!(
        verdict(&api.decide(&product, "0.9.0", json!({"client_id": ""})).await),
        "NONE/NOT_IN_ROLLOUT"
    );
}

#[tokio::test]
async fn a_client_held_back_by_a_rollout_is_offered_the_newest_release_that_it_may_have() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("held").await;
    api.publish(&product, "1.0.0", json!({})).await;
    api.publish(&product, "2.0.0", json!({"rollout": {"percentage": 0}})).await;
    let said = verdict(&api.decide(&product, "0.9.0", json!({"client_id": "any"})).await);
    assert_eq!(said, "INSTALL/NEW_RELEASE 1.0.0");
}

#[tokio::test]
async fn a_paused_release_is_offered_to_nobody_until_it_is_resumed_and_a_percentage_does_not_resume_it() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("paused").await;
    let release = api.publish(&product, "1.0.0", json!({})).await;
    let path = format!("/v1/releases/{}/rollout", text(&release, "release_id"));
    let said = async || verdict(&api.decide(&product, "0.9.0", json!({})).await);

    let paused = api.patch(&path, &json!({"paused": true})).await.ok(200);
    assert_eq!(paused["rollout"]["paused"], true, "{paused}");
    assert_eq!(said().await, "NONE/PAUSED");
    api.patch(&path, &json!({"percentage": 50})).await.ok(200);
    api.patch(&path, &json!({"percentage": 100})).await.ok(200);
    assert_eq!(said().await, "NONE/PAUSED");
    api.patch(&path, &json!({"paused": false})).await.ok(200);
    assert_eq!(said().await, "INSTALL/NEW_RELEASE 1.0.0");
}

#[tokio::test]
async fn a_rollout_of_no_meaning_is_refused() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("meaning").await;
    let release = api.publish(&product, "1.0.0", json!({})).await;
    let path = format!("/v1/releases/{}/rollout", text(&release, "release_id"));
    for body in [json!({"percentage": 100.5}), json!({"percentage": -1}), json!({"percentage": 33.333})] {
        api.patch(&path, &body).await.refused(422, "");
    }
    let empty = api.patch(&path, &json!({})).await;
    empty.refused(if empty.status == 422 { 422 } else { 400 }, "");
    api.patch(&path, &json!({"percentage": "50"})).await.refused(400, "BAD_REQUEST");
    api.post(&format!("/v1/releases/{}/revoke", text(&release, "release_id")), &json!({"reason": "a test"}))
        .await
        .ok(200);
    api.patch(&path, &json!({"percentage": 50})).await.refused(409, "RELEASE_REVOKED");
}

#[tokio::test]
async fn a_percentage_is_taken_as_it_is_written_and_never_rounded() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("exact").await;
    let release = api.publish(&product, "1.0.0", json!({})).await;
    let path = format!("/v1/releases/{}/rollout", text(&release, "release_id"));
    let artifacts = json!([msi(&api.artifact().await)]);
    let creation = |percentage: &str| {
        format!(
            r#"{{"product_id":"{product}","version":"2.0.0","channel":"stable","artifacts":{artifacts},"rollout":{{"percentage":{percentage}}}}}"#
        )
    };
    let promotion =
        |percentage: &str| format!(r#"{{"channel":"beta","rollout":{{"percentage":{percentage}}}}}"#);
    let promote = format!("/v1/releases/{}/promote", text(&release, "release_id"));
    for written in ["99.99999999999999999", "33.333", "0.001", "100.00000000000000001", "-0.01", "1e-3"] {
        let body = format!(r#"{{"percentage":{written}}}"#);
        for (method, path, body) in [
            (Method::PATCH, path.as_str(), body),
            (Method::POST, "/v1/releases", creation(written)),
            (Method::POST, promote.as_str(), promotion(written)),
        ] {
            let answer = api.send_text(method, path, &body).await;
            assert_eq!(answer.status, 422, "{path}: {body}: {}", answer.text());
            let refused = answer.refused(422, "INVALID_MEMBER");
            assert!(text(&refused["details"], "member").ends_with("percentage"), "{refused}");
        }
    }
    for written in ["99.99", "0.01", "33.3", "0", "100", "29.29"] {
        let answer = api.send_text(Method::PATCH, &path, &format!(r#"{{"percentage":{written}}}"#)).await;
        answer.ok(200);
        let said = answer.text();
        let number = said.split("\"percentage\":").nth(1).expect("a percentage");
        let number = &number[..number.find([',', '}']).expect("an end")];
        assert!(number == written || number == format!("{written}.0"), "{written} became {number}");
        let kept = api.get(&format!("/v1/releases/{}", text(&release, "release_id"))).await.ok(200);
        assert_eq!(kept["rollout"]["percentage"].as_f64(), written.parse().ok(), "{kept}");
    }
}
