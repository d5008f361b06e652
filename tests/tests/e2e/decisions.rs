//! Questions and answers: what is asked, what is said, and why.

use e2e::Server;
use e2e::story::{fits, msi, payload, text, verdict};
use reqwest::Method;
use serde_json::{Value, json};

fn row(product: &str, version: &str) -> Value {
    json!({"product_id": product, "current_version": version, "platform": "windows", "arch": "x86_64"})
}

#[tokio::test]
async fn an_offer_names_the_release_and_the_bytes_and_mirrors_what_was_signed() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("offer").await;
    let release = api.publish(&product, "1.5.0", json!({"release_notes": "New.", "critical": true})).await;
    let decision = api.decide(&product, "1.4.0", json!({})).await;
    let signed = payload(&decision);
    let mut mirror = decision.clone();
    mirror.as_object_mut().expect("an object").remove("signature");
    assert_eq!(mirror, signed);
    assert_eq!((&signed["v"], &signed["iss"]), (&json!(1), &json!(server.base())));
    assert_eq!((&signed["from_version"], &signed["channel"]), (&json!("1.4.0"), &json!("stable")));
    assert_eq!((text(&signed, "action"), text(&signed, "reason")), ("INSTALL", "NEW_RELEASE"));
    assert!(text(&signed, "jti").starts_with("dec_"), "{signed}");
    assert_eq!(signed["release"]["release_id"], release["release_id"]);
    assert_eq!(signed["release"]["critical"], true);
    let life = signed["exp"].as_i64().expect("exp") - signed["iat"].as_i64().expect("iat");
    assert!((1..=86_400).contains(&life), "{life}");
    fits(&decision, 1_600);

    let anyone = server.anonymous();
    let notes = anyone.get(text(&signed["release"], "notes_url")).await;
    assert_eq!((notes.status, notes.text().as_str()), (200, "New."));
    let artifact =
        api.get(&format!("/v1/artifacts/{}", text(&signed["artifact"], "artifact_id"))).await.ok(200);
    for member in ["sha256", "size_bytes"] {
        assert_eq!(signed["artifact"][member], artifact[member]);
    }
    let url = text(&signed["artifact"], "url");
    assert!(url.starts_with(server.base()), "{url}");
    let mut got = anyone.get(url).await;
    if got.status == 302 {
        got = anyone.get(got.header("location")).await;
    }
    assert_eq!(e2e::bytes::sha256(&got.body), text(&artifact, "sha256"));
}

#[tokio::test]
async fn no_update_and_an_unknown_product_are_signed_too() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("none").await;
    assert_eq!(verdict(&api.decide(&product, "1.0.0", json!({})).await), "NONE/UP_TO_DATE");
    let unknown = api.decide("never-made", "1.0.0", json!({})).await;
    assert_eq!(verdict(&unknown), "NONE/UNKNOWN_PRODUCT");
    fits(&unknown, 700);
    assert!(unknown.get("release").is_none() && unknown.get("artifact").is_none(), "{unknown}");
}

#[tokio::test]
async fn rows_are_answered_in_the_order_asked_with_the_defaults_of_the_request() {
    let server = Server::shared();
    let api = server.admin();
    let (one, two) = (api.product("order").await, api.product("order").await);
    api.publish(&one, "1.1.0", json!({"channel": "beta"})).await;
    api.publish(&two, "1.1.0", json!({})).await;
    let mut stable = row(&two, "1.0.0");
    stable["channel"] = json!("stable");
    let asked = json!({"products": [stable, row(&one, "1.0.0"), row(&two, "1.0.0")], "channel": "beta",
        "tenant_id": "acme"});
    let said = server.anonymous().post("/v1/decision", &asked).await.ok(200);
    let verdicts: Vec<String> = said["decisions"].as_array().expect("rows").iter().map(verdict).collect();
    assert_eq!(verdicts, ["INSTALL/NEW_RELEASE 1.1.0", "INSTALL/NEW_RELEASE 1.1.0", "NONE/UP_TO_DATE"]);
    let first = payload(&said["decisions"][0]);
    assert_eq!((&first["product_id"], &first["tenant_id"]), (&json!(two), &json!("acme")));
}

#[tokio::test]
async fn a_nonce_is_echoed_and_a_client_id_is_not() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("nonce").await;
    let nonce = "bm9uY2Utbm9uY2UtMDAwMQ";
    let asked =
        json!({"products": [row(&product, "1.0.0")], "nonce": nonce, "client_id": "device-4711-secret"});
    let answer = api.post("/v1/decision", &asked).await;
    assert_eq!(payload(&answer.ok(200)["decisions"][0])["nonce"], nonce);
    assert!(!answer.text().contains("device-4711-secret"));
    assert!(!server.log().contains("device-4711-secret"), "a client id in the log");
    for bad in ["short", "not base64url!!!!!!!!!!!!!", &"A".repeat(120)] {
        let asked = json!({"products": [row(&product, "1.0.0")], "nonce": bad});
        api.post("/v1/decision", &asked).await.refused(422, "");
    }
}

#[tokio::test]
async fn unknown_members_are_ignored_camel_case_is_accepted_and_two_spellings_are_422() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("camel").await;
    api.publish(&product, "1.1.0", json!({})).await;
    let camel = json!({"productId": product, "currentVersion": "1.0.0", "platform": "windows", "arch": "x86_64",
        "installerTypes": ["msi"], "colour": {"deep": [1]}});
    let said = api.post("/v1/decision", &json!({"products": [camel], "future": true})).await.ok(200);
    assert_eq!(verdict(&said["decisions"][0]), "INSTALL/NEW_RELEASE 1.1.0");
    let mut both = row(&product, "1.0.0");
    both["productId"] = json!(product);
    api.post("/v1/decision", &json!({"products": [both]})).await.refused(422, "");
}

#[tokio::test]
async fn what_cannot_be_asked_is_422_for_the_whole_request() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("cannot").await;
    let good = row(&product, "1.0.0");
    for (member, value) in [
        ("current_version", json!("1.0")),
        ("platform", json!("beos")),
        ("arch", json!("vax")),
        ("product_id", json!("No Such Name")),
        ("channel", json!("Über")),
        ("tenant_id", json!("a b")),
        ("installer_types", json!(["floppy"])),
        ("installer_types", json!([])),
        ("installer_types", json!(vec!["msi"; 11])),
    ] {
        let mut bad = good.clone();
        bad[member] = value.clone();
        let answer = api.post("/v1/decision", &json!({"products": [good, bad]})).await;
        assert_eq!(answer.status, 422, "{member}: {value}: {}", answer.text());
        answer.refused(422, "");
    }
    api.post("/v1/decision", &json!({"products": []})).await.refused(422, "");
    api.post("/v1/decision", &json!({"products": vec![good.clone(); 21]})).await.refused(422, "");
    api.post("/v1/decision", &json!({"products": vec![good.clone(); 20]})).await.ok(200);
    let long = json!({"products": [good], "client_id": "x".repeat(129)});
    api.post("/v1/decision", &long).await.refused(422, "");
}

#[tokio::test]
async fn no_token_is_needed_and_a_bad_one_is_401() {
    let server = Server::shared();
    let asked = json!({"products": [row("any", "1.0.0")]});
    server.anonymous().post("/v1/decision", &asked).await.ok(200);
    let bad = server.anonymous().with_token("bp_nonsense");
    bad.post("/v1/decision", &asked).await.refused(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn a_release_with_min_from_version_is_reached_by_a_step() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("step").await;
    api.publish(&product, "2.0.0", json!({})).await;
    api.publish(&product, "3.0.0", json!({"min_from_version": "2.0.0"})).await;
    assert_eq!(verdict(&api.decide(&product, "1.0.0", json!({})).await), "INSTALL/STEP_REQUIRED 2.0.0");
    assert_eq!(verdict(&api.decide(&product, "2.0.0", json!({})).await), "INSTALL/NEW_RELEASE 3.0.0");
    let blocked = json!({"blocked_versions": ["2.0.0"]});
    api.put(&format!("/v1/products/{product}/policy"), &blocked).await.ok(200);
    assert_eq!(verdict(&api.decide(&product, "1.0.0", json!({})).await), "NONE/STEP_REQUIRED");
}

#[tokio::test]
async fn the_artifact_fits_the_platform_the_os_version_and_the_clients_preference() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("fits").await;
    let id = api.artifact().await;
    let mut exe = msi(&id);
    exe["installer_type"] = json!("exe");
    let mut msix = msi(&id);
    msix["installer_type"] = json!("msix");
    msix["min_os_version"] = json!("10.0.17763");
    api.publish(&product, "1.1.0", json!({"artifacts": [msix, exe, msi(&id)]})).await;
    for (more, wanted) in [
        (json!({}), "exe"),
        (json!({"os_version": "10.0"}), "exe"),
        (json!({"os_version": "10.0.17763.1"}), "msix"),
        (json!({"os_version": "11"}), "msix"),
        (json!({"installer_types": ["msi", "exe"]}), "msi"),
        (json!({"os_version": "11", "installer_types": ["exe", "msix"]}), "exe"),
    ] {
        let decision = api.decide(&product, "1.0.0", more.clone()).await;
        assert_eq!(decision["artifact"]["installer_type"], wanted, "{more}: {decision}");
    }
    for more in [json!({"arch": "arm64"}), json!({"platform": "linux"}), json!({"installer_types": ["dmg"]})]
    {
        let said = verdict(&api.decide(&product, "1.0.0", more).await);
        assert_eq!(said, "NONE/NO_COMPATIBLE_ARTIFACT");
    }
}

#[tokio::test]
async fn installer_types_that_the_service_does_not_know_are_passed_over_but_not_when_there_is_no_other() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("unknown-types").await;
    let id = api.artifact().await;
    let mut exe = msi(&id);
    exe["installer_type"] = json!("exe");
    api.publish(&product, "1.1.0", json!({"artifacts": [exe, msi(&id)]})).await;
    let mut asked = row(&product, "1.0.0");
    asked["installer_types"] = json!(["flatpak", "msi"]);
    for path in ["/v1/decision", "/v1/decision/explain"] {
        let said = api.post(path, &json!({"products": [asked]})).await.ok(200)["decisions"][0].clone();
        let decision = if path.ends_with("explain") { &said["decision"] } else { &said };
        assert_eq!(decision["artifact"]["installer_type"], "msi", "{path}: {said}");
    }
    let mut unknown = asked.clone();
    unknown["installer_types"] = json!(["flatpak", "floppy"]);
    let refused =
        api.post("/v1/decision", &json!({"products": [unknown]})).await.refused(422, "INVALID_MEMBER");
    assert_eq!(refused["details"]["member"], "products[0].installer_types");
    asked["installer_types"] = json!(["msi", 7]);
    api.post("/v1/decision", &json!({"products": [asked]})).await.refused(400, "BAD_REQUEST");
}

#[tokio::test]
async fn every_change_that_can_alter_an_answer_raises_seq() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("seq").await;
    let seq = async || payload(&api.decide(&product, "1.0.0", json!({})).await)["seq"].as_u64().expect("seq");
    let mut seen = vec![seq().await];
    let release = api.publish(&product, "1.1.0", json!({})).await;
    seen.push(seq().await);
    let id = text(&release, "release_id");
    api.patch(&format!("/v1/releases/{id}/rollout"), &json!({"percentage": 10})).await.ok(200);
    seen.push(seq().await);
    api.put(&format!("/v1/products/{product}/policy"), &json!({"mode": "NOTIFY_ONLY"})).await.ok(200);
    seen.push(seq().await);
    let artifact = text(&release["artifacts"][0], "artifact_id");
    api.post(&format!("/v1/artifacts/{artifact}/quarantine"), &json!({"reason": "a test"})).await.ok(200);
    seen.push(seq().await);
    api.post(&format!("/v1/releases/{id}/revoke"), &json!({"reason": "a test"})).await.ok(200);
    seen.push(seq().await);
    assert!(seen.is_sorted_by(|before, after| before < after), "{seen:?}");
}

#[tokio::test]
async fn explain_tells_the_rules_in_order_and_what_each_saw_and_did() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("explain").await;
    api.publish(&product, "2.0.0", json!({})).await;
    api.publish(&product, "3.0.0", json!({"min_from_version": "2.0.0"})).await;
    let asked = json!({"products": [row(&product, "1.0.0")]});
    let said = api.post("/v1/decision/explain", &asked).await.ok(200)["decisions"][0].clone();
    assert_eq!(said["decision"]["reason"], "STEP_REQUIRED", "{said}");
    assert_eq!(said["goal"]["version"], "3.0.0", "{said}");
    let steps = said["steps"].as_array().expect("steps");
    assert!(!steps.is_empty(), "{said}");
    for step in steps {
        assert!(step["rule"].as_u64().is_some_and(|rule| rule <= 6), "{step}");
        for member in ["saw", "did"] {
            text(step, member);
        }
    }
    server.anonymous().post("/v1/decision/explain", &asked).await.refused(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn the_keyset_and_the_jwks_are_public_cacheable_and_agree() {
    let server = Server::shared();
    let api = server.anonymous();
    let keyset = api.get("/v1/keyset").await;
    assert!(!keyset.header("cache-control").is_empty());
    let keyset = keyset.ok(200);
    for member in ["version", "epoch", "expires"] {
        assert!(keyset[member].as_u64().is_some_and(|number| number > 0), "{keyset}");
    }
    assert_eq!(api.get(&format!("/v1/keyset/{}", keyset["version"])).await.ok(200), keyset);
    api.get("/v1/keyset/999999").await.refused(404, "NOT_FOUND");
    let jwks = api.get("/.well-known/jwks.json").await;
    assert!(!jwks.header("cache-control").is_empty());
    let kids = |keys: &Value| -> Vec<String> {
        keys["keys"].as_array().expect("keys").iter().map(|key| text(key, "kid").to_owned()).collect()
    };
    assert_eq!(kids(&jwks.ok(200)), kids(&keyset));
    for key in jwks.ok(200)["keys"].as_array().expect("keys") {
        assert!(key.get("d").is_none(), "a private key in the JWKS");
    }
    assert!(api.get("/healthz").await.status == 200);
    let head = api.send(api.request(Method::GET, "/v1/openapi.json")).await.ok(200);
    assert!(text(&head, "openapi").starts_with("3.1"));
}
