//! External artifacts, fetched from an HTTPS host of our own.

use e2e::bytes::{installer, sha256};
use e2e::host::{Host, Page};
use e2e::story::{msi, text, verdict};
use e2e::{Api, Server, settings};
use serde_json::{Value, json};

async fn world() -> (Host, Server, Api) {
    let host = Host::start().await;
    let server = Server::start_with(&host.configuration(""));
    let api = server.admin();
    (host, server, api)
}

fn reference(url: &str, bytes: &[u8]) -> Value {
    json!({"source_type": "EXTERNAL", "external_url": url, "sha256": sha256(bytes), "size_bytes": bytes.len()})
}

async fn register(api: &Api, url: &str, bytes: &[u8]) -> String {
    let made = api.post("/v1/artifacts", &reference(url, bytes)).await.ok(201);
    assert_eq!((&made["state"], &made["source_type"]), (&json!("VERIFYING"), &json!("EXTERNAL")), "{made}");
    text(&made, "artifact_id").to_owned()
}

async fn settled(api: &Api, id: &str) -> Value {
    api.get_until(&format!("/v1/artifacts/{id}"), |artifact| artifact["state"] != "VERIFYING").await
}

#[tokio::test]
async fn an_external_artifact_becomes_available_once_its_bytes_were_read_and_a_decision_names_its_address() {
    let (host, _server, api) = world().await;
    let bytes = installer(400_000);
    let url = host.serve("/files/installer.msi", Page::Bytes(bytes.clone()));
    let id = register(&api, &url, &bytes).await;
    let artifact = settled(&api, &id).await;
    assert_eq!((&artifact["state"], &artifact["verification"]), (&json!("AVAILABLE"), &json!("FETCHED")));
    let product = api.product("external").await;
    api.publish(&product, "1.0.0", json!({"artifacts": [msi(&id)]})).await;
    let decision = api.decide(&product, "0.9.0", json!({})).await;
    assert_eq!(verdict(&decision), "INSTALL/NEW_RELEASE 1.0.0");
    let offered = text(&decision["artifact"], "url");
    assert!(offered == url || offered.ends_with(&format!("/v1/artifacts/{id}/download")), "{offered}");
    let checks = api.get(&format!("/v1/artifacts/{id}/verification")).await.ok(200);
    assert_eq!(checks["checks"][0]["means"], "FETCHED", "{checks}");
    assert!(host.seen().iter().all(|head| head.to_lowercase().contains("accept-encoding: identity")));
}

#[tokio::test]
async fn a_check_that_is_to_be_made_again_shows_how_much_is_still_to_be_read() {
    let (host, _server, api) = world().await;
    let bytes = installer(50_000);
    let id = register(&api, &host.serve("/files/busy.msi", Page::Status(503)), &bytes).await;
    let path = format!("/v1/artifacts/{id}/verification");
    let seen = api.get_until(&path, |seen| seen["checks"][0]["result"] == "ERROR").await;
    assert_eq!(seen["in_progress"], json!({"bytes_read": 0, "size_bytes": 50_000}), "{seen}");
    let good = register(&api, &host.serve("/files/good.msi", Page::Bytes(bytes.clone())), &bytes).await;
    settled(&api, &good).await;
    let seen = api.get(&format!("/v1/artifacts/{good}/verification")).await.ok(200);
    assert_eq!(seen["in_progress"], Value::Null, "{seen}");
}

#[tokio::test]
async fn other_bytes_behind_the_address_reject_the_artifact_at_once() {
    let (host, _server, api) = world().await;
    let (declared, found) = (installer(50_000), installer(50_000));
    let longer = installer(50_001);
    for (path, page) in [
        ("/files/other.msi", found),
        ("/files/longer.msi", longer),
        ("/files/short.msi", declared[..9].to_vec()),
    ] {
        let url = host.serve(path, Page::Bytes(page));
        let id = register(&api, &url, &declared).await;
        let artifact = settled(&api, &id).await;
        assert_eq!(artifact["state"], "REJECTED", "{path}: {artifact}");
        assert!(artifact["reason"].is_string(), "{artifact}");
        api.download(&id).await.refused(409, "ARTIFACT_NOT_AVAILABLE");
    }
}

#[tokio::test]
async fn a_release_waits_for_its_external_artifact_and_is_then_published_by_itself() {
    let (host, _server, api) = world().await;
    let bytes = installer(50_000);
    let url = host.serve("/files/later.msi", Page::Status(503));
    let id = register(&api, &url, &bytes).await;
    let product = api.product("waits").await;
    let release = api.publish(&product, "1.0.0", json!({"artifacts": [msi(&id)]})).await;
    assert_eq!(release["status"], "pending_artifacts", "{release}");
    assert_eq!(verdict(&api.decide(&product, "0.9.0", json!({})).await), "NONE/UP_TO_DATE");

    host.serve("/files/later.msi", Page::Bytes(bytes));
    assert_eq!(api.post_empty(&format!("/v1/artifacts/{id}/verify")).await.status, 202);
    let path = format!("/v1/releases/{}", text(&release, "release_id"));
    api.get_until(&path, |release| release["status"] == "published").await;
    assert_eq!(verdict(&api.decide(&product, "0.9.0", json!({})).await), "INSTALL/NEW_RELEASE 1.0.0");
}

#[tokio::test]
async fn a_release_of_a_rejected_artifact_is_rejected_with_the_reason_and_burns_nothing() {
    let (host, _server, api) = world().await;
    let (declared, found) = (installer(50_000), installer(50_000));
    // The host is slow to come: the artifact is still verifying when the release is made.
    let url = host.serve("/files/wrong.msi", Page::Status(503));
    let id = register(&api, &url, &declared).await;
    let product = api.product("burns-nothing").await;
    let release = api.publish(&product, "1.0.0", json!({"artifacts": [msi(&id)]})).await;
    host.serve("/files/wrong.msi", Page::Bytes(found));
    api.post_empty(&format!("/v1/artifacts/{id}/verify")).await;
    let path = format!("/v1/releases/{}", text(&release, "release_id"));
    let rejected = api.get_until(&path, |release| release["status"] != "pending_artifacts").await;
    assert_eq!(rejected["status"], "rejected", "{rejected}");
    assert!(!text(&rejected, "rejected_reason").is_empty());
    let again = api.publish(&product, "1.0.0", json!({})).await;
    assert_eq!(again["status"], "published", "{again}");
}

#[tokio::test]
async fn redirects_are_followed_five_times_and_no_further() {
    let (host, _server, api) = world().await;
    let bytes = installer(5_000);
    let mut to = host.serve("/files/end.msi", Page::Bytes(bytes.clone()));
    for hop in 0..6 {
        to = host.serve(&format!("/files/hop-{hop}.msi"), Page::Redirect(to));
    }
    let five = register(&api, &host.url("/files/hop-4.msi"), &bytes).await;
    assert_eq!(settled(&api, &five).await["state"], "AVAILABLE");
    let six = register(&api, &host.url("/files/hop-5.msi"), &bytes).await;
    let checked =
        api.get_until(&format!("/v1/artifacts/{six}/verification"), |seen| seen["checks"] != json!([])).await;
    assert_ne!(checked["checks"][0]["result"], "MATCH", "{checked}");
    assert_ne!(api.get(&format!("/v1/artifacts/{six}")).await.ok(200)["state"], "AVAILABLE");
}

#[tokio::test]
async fn a_redirect_out_of_the_configured_prefix_to_a_private_address_is_not_followed() {
    let (host, _server, api) = world().await;
    let bytes = installer(5_000);
    let inside = host.serve("/other/installer.msi", Page::Bytes(bytes.clone()));
    let url = host.serve("/files/leads-out.msi", Page::Redirect(inside));
    let id = register(&api, &url, &bytes).await;
    api.get_until(&format!("/v1/artifacts/{id}/verification"), |seen| seen["checks"] != json!([])).await;
    assert_ne!(api.get(&format!("/v1/artifacts/{id}")).await.ok(200)["state"], "AVAILABLE");
    assert!(host.seen().iter().all(|head| !head.contains("/other/")), "{:?}", host.seen());
}

#[tokio::test]
async fn a_host_whose_certificate_nobody_vouches_for_is_not_believed() {
    let (trusted, untrusted) = (Host::start().await, Host::start().await);
    let bytes = installer(5_000);
    let url = untrusted.serve("/files/installer.msi", Page::Bytes(bytes.clone()));
    // The entry opens the untrusted host's address, with the certificate authority of the other one.
    let configuration = trusted.configuration("").replace(&trusted.url("/files"), &untrusted.url("/files"));
    let server = Server::start_with(&configuration);
    let api = server.admin();
    let id = register(&api, &url, &bytes).await;
    api.get_until(&format!("/v1/artifacts/{id}/verification"), |seen| seen["checks"] != json!([])).await;
    assert_ne!(api.get(&format!("/v1/artifacts/{id}")).await.ok(200)["state"], "AVAILABLE");
    assert_eq!(untrusted.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn an_address_that_carries_its_own_expiry_is_accepted_with_a_warning() {
    let (host, _server, api) = world().await;
    let bytes = installer(5_000);
    let url = host.serve("/files/expires.msi", Page::Bytes(bytes.clone()));
    let url = format!("{url}?Expires=4102444800&Signature=abc");
    let made = api.post("/v1/artifacts", &reference(&url, &bytes)).await.ok(201);
    assert_ne!(made["warnings"], json!([]), "{made}");
}

#[tokio::test]
async fn outside_the_configured_prefix_a_private_address_is_refused_before_any_packet() {
    let (host, _server, api) = world().await;
    let bytes = installer(5_000);
    for path in [
        "/other/installer.msi",
        "/filesystem/installer.msi",
        "/files/../other/installer.msi",
        "/files/%2e%2e/other",
        "/files//x",
        "/files/a%2fb",
    ] {
        let refused = api.post("/v1/artifacts", &reference(&host.url(path), &bytes)).await;
        assert_eq!(refused.status, 422, "{path}: {}", refused.text());
        refused.refused(422, "");
    }
    assert_eq!(host.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn every_public_vector_of_external_addresses_is_judged_as_it_says() {
    let server = Server::shared();
    let api = server.admin();
    let file = std::fs::read_to_string(settings::checkout("tests/vectors/urls.json")).expect("the vectors");
    let file: Value = serde_json::from_str(&file).expect("JSON");
    let vectors = file.as_array().expect("vectors");
    let (mut judged, mut wrong) = (0, Vec::new());
    for vector in vectors.iter().filter(|vector| vector["stage"] == "register") {
        let url = text(vector, "url");
        let answer = api.post("/v1/artifacts", &reference(url, &installer(100))).await;
        let fits = match text(vector, "expect") {
            "ACCEPT" => {
                answer.status == 201
                    && vector["normalized"].as_str().is_none_or(|url| answer.json()["external_url"] == url)
            }
            _ => (400..500).contains(&answer.status),
        };
        judged += 1;
        if !fits {
            wrong.push(format!("{vector}: {} {}", answer.status, answer.text()));
        }
    }
    assert!(judged > 20, "{judged} vectors");
    assert!(wrong.is_empty(), "{} of {judged}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Asks for a check, and answers with the artifact once it is in this state.
async fn verified_to(api: &Api, id: &str, state: &str) -> Value {
    assert_eq!(api.post_empty(&format!("/v1/artifacts/{id}/verify")).await.status, 202);
    api.get_until(&format!("/v1/artifacts/{id}"), |artifact| artifact["state"] == state).await
}

#[tokio::test]
async fn bytes_that_drift_are_quarantined_and_lifted_by_a_later_check_unless_an_operator_said_so_too() {
    let (host, _server, api) = world().await;
    let (bytes, drifted) = (installer(5_000), installer(5_000));
    let url = host.serve("/files/drifts.msi", Page::Bytes(bytes.clone()));
    let id = register(&api, &url, &bytes).await;
    assert_eq!(settled(&api, &id).await["state"], "AVAILABLE");
    host.serve("/files/drifts.msi", Page::Bytes(drifted.clone()));
    let withheld = verified_to(&api, &id, "QUARANTINED").await;
    assert!(text(&withheld, "reason").starts_with("DRIFT: "), "{withheld}");
    host.serve("/files/drifts.msi", Page::Bytes(bytes.clone()));
    let lifted = verified_to(&api, &id, "AVAILABLE").await;
    assert_eq!(lifted["reason"], json!(null), "{lifted}");

    host.serve("/files/drifts.msi", Page::Bytes(drifted));
    verified_to(&api, &id, "QUARANTINED").await;
    let order = json!({"reason": "nobody installs this before we know more"});
    api.post(&format!("/v1/artifacts/{id}/quarantine"), &order).await.ok(200);
    host.serve("/files/drifts.msi", Page::Bytes(bytes));
    let matches = |seen: &Value| {
        let checks = seen["checks"].as_array().expect("checks");
        checks.iter().filter(|check| check["result"] == "MATCH").count()
    };
    let path = format!("/v1/artifacts/{id}/verification");
    let before = matches(&api.get(&path).await.ok(200));
    api.post_empty(&format!("/v1/artifacts/{id}/verify")).await.ok(202);
    api.get_until(&path, |seen| matches(seen) > before).await;
    let artifact = api.get(&format!("/v1/artifacts/{id}")).await.ok(200);
    assert_eq!((&artifact["state"], &artifact["reason"]), (&json!("QUARANTINED"), &order["reason"]));
}

#[tokio::test]
async fn the_query_of_an_address_behind_a_token_is_shown_nowhere_and_that_of_a_public_one_is() {
    let (host, server, api) = world().await;
    let product = api.product("queries").await;
    for (access, shown) in [("public", true), ("token", false)] {
        let bytes = installer(5_000);
        let url = host.serve(&format!("/files/{access}.msi"), Page::Bytes(bytes.clone()));
        let query = format!("key=opens-{access}-4711");
        let mut body = reference(&format!("{url}?{query}"), &bytes);
        body["access"] = json!(access);
        let made = api.post("/v1/artifacts", &body).await;
        let again = api.post("/v1/artifacts", &body).await;
        assert_eq!((made.status, again.status), (201, 200));
        let id = text(&made.json(), "artifact_id").to_owned();
        settled(&api, &id).await;
        // A failed check has a message, too.
        host.serve(&format!("/files/{access}.msi"), Page::Status(503));
        api.post_empty(&format!("/v1/artifacts/{id}/verify")).await.ok(202);
        let checks = format!("/v1/artifacts/{id}/verification");
        api.get_until(&checks, |seen| seen["checks"].as_array().is_some_and(|checks| checks.len() > 1)).await;
        let version = if shown { "1.0.0" } else { "2.0.0" };
        api.publish(&product, version, json!({"artifacts": [msi(&id)]})).await;
        let offered = api.decide(&product, "0.9.0", json!({})).await;
        assert_eq!(verdict(&offered), format!("INSTALL/NEW_RELEASE {version}"));
        let found = api.get(&format!("/v1/artifacts/{id}")).await;
        let listed = api.get(&format!("/v1/artifacts?sha256={}", sha256(&bytes))).await;
        for (place, said) in [
            ("registered", made.text()),
            ("registered again", again.text()),
            ("read", found.text()),
            ("listed", listed.text()),
            ("offered", offered.to_string()),
        ] {
            assert!(said.contains(&format!("/files/{access}.msi")) || !shown, "{place}: {said}");
            assert_eq!(said.contains(&query), shown, "{place}: {said}");
        }
        let checks = api.get(&checks).await;
        let audit = format!("{:?}", api.audit(&id).await);
        for (place, said) in [("checks", checks.text()), ("audit", audit), ("log", server.log())] {
            assert!(!said.contains(&query), "{place}: {said}");
        }
        assert!(
            host.seen().iter().any(|head| head.contains(&query)),
            "the address is asked as it was registered"
        );
    }
}
