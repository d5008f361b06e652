//! The races around publishing, and what a version means for ever.

use e2e::bytes::{installer, sha256};
use e2e::story::{msi, text, verdict};
use e2e::{Api, Server};
use serde_json::{Value, json};

async fn revoke(api: &Api, release: &Value, more: Value) -> Value {
    let mut body = json!({"reason": "a test"});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    api.post(&format!("/v1/releases/{}/revoke", text(release, "release_id")), &body).await.ok(200)
}

#[tokio::test]
async fn of_two_publishes_of_the_same_version_and_channel_one_wins_and_the_other_is_409() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("twice").await;
    let entry = json!({"artifacts": [msi(&api.artifact().await)]});
    let other = json!({"artifacts": [msi(&api.artifact().await)]});
    let (one, two) = tokio::join!(
        api.try_publish(&product, "1.0.0", entry.clone()),
        api.try_publish(&product, "1.0.0", other)
    );
    let (won, lost) = if one.status == 201 { (one, two) } else { (two, one) };
    won.ok(201);
    lost.refused(409, "");
    api.try_publish(&product, "1.0.0", entry).await.refused(409, "");
    let listed = api.get(&format!("/v1/products/{product}/releases")).await.ok(200);
    assert_eq!(listed["releases"].as_array().map(Vec::len), Some(1), "{listed}");
}

#[tokio::test]
async fn a_published_version_means_one_set_of_bytes_for_ever() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("one-set").await;
    let (entry, other) = (msi(&api.artifact().await), msi(&api.artifact().await));
    let release = api.publish(&product, "1.0.0", json!({"artifacts": [entry]})).await;
    for (version, channel) in [("1.0.0", "beta"), ("1.0.0+build.2", "stable"), ("1.0.0+build.2", "beta")] {
        let more = json!({"channel": channel, "artifacts": [other]});
        api.try_publish(&product, version, more).await.refused(409, "VERSION_USED");
    }
    revoke(&api, &release, json!({"all_channels": true})).await;
    let more = json!({"channel": "beta", "artifacts": [other]});
    api.try_publish(&product, "1.0.0", more).await.refused(409, "VERSION_USED");
    let same = json!({"channel": "beta", "artifacts": [entry]});
    assert_eq!(api.try_publish(&product, "1.0.0", same).await.ok(201)["channel"], "beta");
}

#[tokio::test]
async fn a_release_that_meets_a_quarantine_is_refused_or_withheld() {
    let server = Server::shared();
    let api = server.admin();
    for _ in 0..5 {
        let product = api.product("meets").await;
        let id = api.artifact().await;
        let path = format!("/v1/artifacts/{id}/quarantine");
        let reason = json!({"reason": "a test"});
        let (published, quarantined) = tokio::join!(
            api.try_publish(&product, "1.0.0", json!({"artifacts": [msi(&id)]})),
            api.post(&path, &reason)
        );
        quarantined.ok(200);
        let decision = verdict(&api.decide(&product, "0.9.0", json!({})).await);
        if published.status == 201 {
            assert_eq!(decision, "NONE/ARTIFACT_QUARANTINED");
        } else {
            published.refused(409, "ARTIFACT_NOT_AVAILABLE");
            assert_eq!(decision, "NONE/UP_TO_DATE");
        }
    }
}

#[tokio::test]
async fn a_release_of_a_quarantined_or_revoked_artifact_is_409() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("unfit").await;
    let id = api.artifact().await;
    let entry = json!({"artifacts": [msi(&id)]});
    api.post(&format!("/v1/artifacts/{id}/quarantine"), &json!({"reason": "a test"})).await.ok(200);
    api.try_publish(&product, "1.0.0", entry.clone()).await.refused(409, "ARTIFACT_NOT_AVAILABLE");
    api.post(&format!("/v1/artifacts/{id}/revoke"), &json!({"reason": "a test"})).await.ok(200);
    api.try_publish(&product, "1.0.0", entry).await.refused(409, "ARTIFACT_REVOKED");
    api.try_publish(&product, "1.0.0", json!({})).await.ok(201);
}

#[tokio::test]
async fn one_quarantined_artifact_withholds_its_release_on_all_platforms_until_it_is_restored() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("withheld").await;
    api.publish(&product, "1.0.0", json!({})).await;
    let (windows, mac) = (api.artifact().await, api.artifact().await);
    let other = json!({"artifact_id": mac, "platform": "macos", "arch": "arm64", "installer_type": "pkg"});
    api.publish(&product, "2.0.0", json!({"artifacts": [msi(&windows), other]})).await;
    let reason = json!({"reason": "a test"});
    api.post(&format!("/v1/artifacts/{mac}/quarantine"), &reason).await.ok(200);
    assert_eq!(verdict(&api.decide(&product, "0.9.0", json!({})).await), "INSTALL/NEW_RELEASE 1.0.0");
    assert_eq!(verdict(&api.decide(&product, "1.0.0", json!({})).await), "NONE/ARTIFACT_QUARANTINED");
    api.post(&format!("/v1/artifacts/{mac}/restore"), &reason).await.ok(200);
    assert_eq!(verdict(&api.decide(&product, "1.0.0", json!({})).await), "INSTALL/NEW_RELEASE 2.0.0");
}

#[tokio::test]
async fn no_decision_that_begins_after_a_revocation_offers_the_release() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("revoked").await;
    api.publish(&product, "1.0.0", json!({})).await;
    let release = api.publish(&product, "2.0.0", json!({})).await;
    let asking = {
        let (api, product) = (api.clone(), product.clone());
        tokio::spawn(async move {
            for _ in 0..10_000 {
                let said = verdict(&api.decide(&product, "0.9.0", json!({})).await);
                if said != "INSTALL/NEW_RELEASE 2.0.0" {
                    return said;
                }
            }
            "nothing changed".to_owned()
        })
    };
    let revoked = revoke(&api, &release, json!({})).await;
    assert_eq!(verdict(&api.decide(&product, "0.9.0", json!({})).await), "INSTALL/NEW_RELEASE 1.0.0");
    assert_eq!(asking.await.expect("an answer"), "INSTALL/NEW_RELEASE 1.0.0");
    assert_eq!(revoked["status"], "revoked");
    for member in ["release_id", "revoked_at", "revoked_by", "reason"] {
        text(&revoked, member);
    }
}

#[tokio::test]
async fn revoking_in_all_channels_revokes_the_version_wherever_it_is() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("everywhere").await;
    let release = api.publish(&product, "1.0.0", json!({"channel": "beta"})).await;
    let path = format!("/v1/releases/{}/promote", text(&release, "release_id"));
    let promoted = api.post(&path, &json!({"channel": "stable"})).await.ok(201);
    revoke(&api, &release, json!({"all_channels": true})).await;
    let path = format!("/v1/releases/{}", text(&promoted, "release_id"));
    assert_eq!(api.get(&path).await.ok(200)["status"], "revoked");
    assert_eq!(verdict(&api.decide(&product, "0.9.0", json!({})).await), "NONE/UP_TO_DATE");
}

#[tokio::test]
async fn revoking_twice_answers_with_the_first_revocation_again() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("again").await;
    let release = api.publish(&product, "1.0.0", json!({})).await;
    let first = revoke(&api, &release, json!({"reason": "the first reason"})).await;
    assert_eq!(revoke(&api, &release, json!({"reason": "another"})).await, first);
    assert_eq!(first["reason"], "the first reason");
}

#[tokio::test]
async fn revoking_again_with_allow_downgrade_lets_the_clients_be_led_back_and_keeps_reason_and_time() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("gains").await;
    api.publish(&product, "1.0.0", json!({})).await;
    let bad = api.publish(&product, "2.0.0", json!({})).await;
    let said = async || verdict(&api.decide(&product, "2.0.0", json!({})).await);
    let first = revoke(&api, &bad, json!({"reason": "the first reason"})).await;
    assert_eq!(said().await, "NONE/UP_TO_DATE");
    let gained = revoke(&api, &bad, json!({"reason": "another", "allow_downgrade": true})).await;
    assert_eq!(said().await, "INSTALL/ROLLBACK 1.0.0");
    for member in ["reason", "revoked_at", "revoked_by"] {
        assert_eq!(gained[member], first[member], "{member}");
    }
    let id = text(&bad, "release_id");
    let shown = async || api.get(&format!("/v1/releases/{id}")).await.ok(200);
    assert_eq!(shown().await["allow_downgrade"], true);
    let without = revoke(&api, &bad, json!({"reason": "a third"})).await;
    assert_eq!(without, gained, "what was allowed stays allowed");
    assert_eq!(shown().await["allow_downgrade"], true);
    assert_eq!(said().await, "INSTALL/ROLLBACK 1.0.0");
    let entries = api.audit(id).await;
    let revocations = entries.iter().filter(|entry| entry["type"] == "release.revoked").count();
    assert_eq!(revocations, 2, "the revocation, and what it gained: {entries:?}");
}

#[tokio::test]
async fn a_version_is_in_thirty_channels_at_most_and_can_be_revoked_in_all_of_them() {
    let server = Server::shared();
    let api = server.admin();
    let waits = json!({"source_type": "EXTERNAL", "sha256": sha256(installer(100)), "size_bytes": 100,
        "external_url": "https://downloads.example.com/never.msi"});
    let waits = api.post("/v1/artifacts", &waits).await.ok(201);
    for (artifact, status) in
        [(api.artifact().await, "published"), (text(&waits, "artifact_id").to_owned(), "pending_artifacts")]
    {
        let product = api.product("channels").await;
        let more = |number: u32| json!({"channel": format!("c{number}"), "artifacts": [msi(&artifact)]});
        let mut releases = Vec::new();
        for number in 1..=30 {
            let release = api.publish(&product, "1.0.0", more(number)).await;
            assert_eq!(release["status"], status);
            releases.push(text(&release, "release_id").to_owned());
        }
        let refused = api.try_publish(&product, "1.0.0+other", more(31)).await.refused(422, "INVALID_MEMBER");
        assert_eq!(refused["details"]["member"], "channel", "{refused}");
        if status == "published" {
            let promote = format!("/v1/releases/{}/promote", releases[7]);
            api.post(&promote, &json!({"channel": "c31"})).await.refused(422, "INVALID_MEMBER");
        }
        api.publish(&product, "1.0.1", more(31)).await;
        let body = json!({"reason": "a test", "all_channels": true, "allow_downgrade": true});
        let path = format!("/v1/releases/{}/revoke", releases[29]);
        assert_eq!(api.post(&path, &body).await.ok(200)["status"], "revoked");
        for id in &releases {
            let release = api.get(&format!("/v1/releases/{id}")).await.ok(200);
            assert_eq!(
                (&release["status"], &release["reason"]),
                (&json!("revoked"), &json!("a test")),
                "{id}"
            );
        }
    }
}

#[tokio::test]
async fn thirty_channels_whose_releases_are_spread_over_the_whole_catalogue_are_revoked_at_once() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("spread").await;
    let artifact = api.artifact().await;
    // Entries enough to begin a new page of the catalogue between any two channels.
    let filler: Vec<Value> = ["x86_64", "arm64", "x86"]
        .into_iter()
        .flat_map(|arch| (0..13).map(move |number| (arch, number)))
        .map(|(arch, number)| {
            json!({"artifact_id": artifact, "platform": "windows", "arch": arch, "installer_type": "exe",
                "min_os_version": format!("{}", number + 1)})
        })
        .collect();
    let mut releases = Vec::new();
    for number in 1..=30 {
        let more = json!({"channel": format!("c{number}"), "artifacts": [msi(&artifact)]});
        releases.push(text(&api.publish(&product, "1.0.0", more).await, "release_id").to_owned());
        for patch in 0..4 {
            let more = json!({"artifacts": filler});
            api.publish(&product, &format!("0.{number}.{patch}"), more).await;
        }
    }
    let body = json!({"reason": "a test", "all_channels": true});
    api.post(&format!("/v1/releases/{}/revoke", releases[0]), &body).await.ok(200);
    for id in &releases {
        assert_eq!(api.get(&format!("/v1/releases/{id}")).await.ok(200)["status"], "revoked", "{id}");
    }
}
