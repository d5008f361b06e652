//! Rotation and compromise of the key that signs, by the commands that operators and clients have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use e2e::story::{payload, text};
use e2e::{Server, settings};
use reqwest::Method;
use serde_json::{Value, json};

const TWO_KEYS: &str = "signing: { local: { next_key_file: '{DATA}/next.pem' } }\n";

/// An operator beside a service: a folder of their own, and the admin's token.
struct Desk<'a> {
    server: &'a Server,
    folder: tempfile::TempDir,
}

impl<'a> Desk<'a> {
    fn at(server: &'a Server) -> Self {
        Self { server, folder: tempfile::tempdir().expect("a folder") }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(settings::program());
        command.args(arguments).arg("--json").current_dir(self.folder.path()).env("no_proxy", "127.0.0.1");
        command.env("BP_BASE_URL", self.server.base()).env("BP_API_TOKEN", self.server.admin_token());
        command.stdin(Stdio::null()).output().expect("an ended bp")
    }

    fn ok(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// The exit code and the stable code of a failure.
    fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        // Notes may come before the error.
        let told = said.find('{').map(|start| &said[start..]).unwrap_or_default();
        let told: Value = serde_json::from_str(told).unwrap_or_else(|_| panic!("{arguments:?}: {said}"));
        (output.status.code().expect("a code"), text(&told, "code").to_owned())
    }

    fn next_key(&self) -> String {
        self.server.data().join("next.pem").display().to_string()
    }

    /// Has the next key listed; the ids of the key that signs and of the next.
    fn added(&self) -> [String; 2] {
        let listed = self.ok(&["key", "add", "--key-file", &self.next_key()]);
        [0, 1].map(|index| text(&listed["keys"][index], "kid").to_owned())
    }

    /// Two of three root keys sign a keyset.
    fn signed(&self, name: &str) {
        if !self.folder.path().join("ceremony").exists() {
            self.ok(&["root", "init", "ceremony", "--keys", "3", "--threshold", "2"]);
        }
        let make =
            ["--keyset", "keyset.json", "--root", "ceremony/root.json", "--issuer", self.server.base()];
        self.ok(&[&["root", "sign", name, "--key", "ceremony/root-1.pem"][..], &make].concat());
        self.ok(&["root", "sign", name, "--key", "ceremony/root-3.pem"]);
    }

    fn check<'b>(product: &'b str, keyset: &'b str) -> Vec<&'b str> {
        let question = ["--current-version", "1.0.0", "--platform", "windows", "--arch", "x86_64"];
        let state = ["update", "check", "--state", "state", "--keyset", keyset, "--product", product];
        [&state[..], &question].concat()
    }
}

fn kid(decision: &Value) -> String {
    let header = e2e::story::header(decision);
    text(&header, "kid").to_owned()
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target: PathBuf = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copied(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

#[tokio::test]
async fn a_key_is_added_promoted_and_retired_and_clients_with_the_keyset_of_before_notice_nothing() {
    let server = Server::start_with(TWO_KEYS);
    let (api, desk) = (server.admin(), Desk::at(&server));
    let product = api.product("rotated").await;
    let [old, next] = desk.added();
    let listed = desk.ok(&["key", "list"]);
    assert_eq!((&listed["version"], &listed["signed"]), (&json!(2), &json!(false)));
    assert_eq!(listed["keys"][1]["active"], false);
    desk.ok(&["key", "export", "keyset.json"]);
    let exported = fs::read_to_string(desk.folder.path().join("keyset.json")).expect("a file");
    assert_eq!(exported, api.get("/v1/keyset").await.text());
    let check = Desk::check(&product, "keyset.json");
    desk.ok(&check);
    assert_eq!(kid(&api.decide(&product, "1.0.0", json!({})).await), old);
    // Nobody was promoted yet, so either may be the one that signs.
    assert_eq!(desk.refused(&["key", "retire", &old]), (5, "KEY_CONFLICT".into()));
    assert_eq!(desk.ok(&["key", "promote", &next])["keys"][1]["active"], true);
    assert_eq!(kid(&api.decide(&product, "1.0.0", json!({})).await), next);
    desk.ok(&check);
    for verb in ["retire", "revoke"] {
        assert_eq!(desk.refused(&["key", verb, &next]), (5, "KEY_CONFLICT".into()));
        // An id may begin as an option does.
        for unknown in ["x".repeat(43), format!("-h{}", "x".repeat(41))] {
            assert_eq!(desk.refused(&["key", verb, &unknown]), (1, "NOT_FOUND".into()));
        }
    }
    let retired = desk.ok(&["key", "retire", &old]);
    let ends = retired["keys"][0]["exp"].as_i64().expect("a time");
    let decision = payload(&api.decide(&product, "1.0.0", json!({})).await);
    // Ten minutes more than a decision lasts; this one may have been in memory for a while.
    let margin = ends - decision["exp"].as_i64().expect("a time");
    assert!((0..=660).contains(&margin), "{margin} {retired}");
    desk.ok(&check);
    let told = api.audit("keyset/2").await;
    assert!(told.iter().any(|entry| entry["type"] == "key.promoted"), "{told:?}");
}

#[tokio::test]
async fn a_key_that_the_service_does_not_have_is_promoted_by_force_alone() {
    let server = Server::start();
    let (api, desk) = (server.admin(), Desk::at(&server));
    let listed =
        desk.ok(&["key", "add", "--key-file", "elsewhere.pem", "--product", "one", "--product", "two"]);
    let [own, other] = [0, 1].map(|index| text(&listed["keys"][index], "kid").to_owned());
    assert_eq!(desk.refused(&["key", "promote", &other]), (5, "KEY_NOT_CONFIGURED".into()));
    let decision = api.decide("any", "1.0.0", json!({})).await;
    assert_eq!(kid(&decision), own);
    let forced = desk.ok(&["key", "promote", &other, "--force"]);
    let said = forced["warnings"].to_string();
    assert!(said.contains("does not have the key") && said.contains("one, two alone"), "{forced}");
    let asked = json!({"products": [{"product_id": "any", "current_version": "1.0.0", "platform": "windows",
        "arch": "x86_64"}]});
    server.anonymous().post("/v1/decision", &asked).await.refused(503, "UNAVAILABLE");
    assert_eq!(desk.ok(&["key", "promote", &own])["warnings"], json!([]));
    assert_eq!(kid(&api.decide("any", "1.0.0", json!({})).await), own);
    let path = format!("/v1/keys/{own}/promote?force=perhaps");
    api.post_empty(&path).await.refused(422, "INVALID_MEMBER");
}

#[tokio::test]
async fn what_is_promoted_signs_after_a_restart_and_a_service_without_it_does_not_start() {
    let mut server = Server::start_with(TWO_KEYS);
    let next = {
        let desk = Desk::at(&server);
        let [_, next] = desk.added();
        desk.ok(&["key", "promote", &next]);
        next
    };
    server.kill();
    server.restart();
    assert_eq!(kid(&server.admin().decide("any", "1.0.0", json!({})).await), next);
    server.kill();
    server.configure("log: { level: info }\n");
    let said = server.refused_start();
    assert!(said.contains(&next) && !said.contains("PRIVATE KEY"), "{said}");
    // The next key becomes the only one, as after the old one has ended.
    server.configure("signing: { local: { key_file: '{DATA}/next.pem' } }\n");
    server.restart();
    assert_eq!(kid(&server.admin().decide("any", "1.0.0", json!({})).await), next);
}

#[tokio::test]
async fn after_a_compromise_a_client_with_a_signed_keyset_recovers_and_the_thief_convinces_it_of_nothing() {
    let mut server = Server::start_with(TWO_KEYS);
    let product = server.admin().product("stolen").await;
    let folder = tempfile::tempdir().expect("a folder");
    let stolen = folder.path().join("stolen");
    server.kill();
    // What the thief has: the key and everything that was stored then.
    copied(&server.data(), &stolen);
    server.restart();
    let (data, check) = {
        let desk = Desk::at(&server);
        desk.ok(&["key", "export", "keyset.json"]);
        desk.signed("1.keyset");
        // An application ships with this one, and never gets another.
        let shipped = Desk::check(&product, "1.keyset");
        desk.ok(&["key", "publish", "1.keyset"]);
        desk.ok(&shipped);
        assert_eq!(desk.refused(&["key", "add", "--key-file", &desk.next_key()]), (5, "KEY_CONFLICT".into()));
        let listed = desk.ok(&["key", "list"]);
        let old = text(&listed["keys"][0], "kid").to_owned();
        // Add.
        desk.ok(&["key", "export", "keyset.json", "--next"]);
        desk.ok(&["key", "add", "--key-file", &desk.next_key(), "--into", "keyset.json"]);
        desk.signed("2.keyset");
        let listed = desk.ok(&["key", "publish", "2.keyset"]);
        let next = text(&listed["keys"][1], "kid").to_owned();
        // Promote, revoke.
        desk.ok(&["key", "promote", &next]);
        desk.ok(&shipped);
        desk.ok(&["key", "export", "keyset.json", "--next"]);
        desk.ok(&["key", "revoke", &old, "--into", "keyset.json"]);
        desk.signed("3.keyset");
        let published = desk.ok(&["key", "publish", "3.keyset"]);
        assert_eq!((&published["version"], &published["epoch"]), (&json!(3), &json!(2)));
        desk.ok(&shipped);
        let decision = server.admin().decide(&product, "1.0.0", json!({})).await;
        assert_eq!((kid(&decision), &payload(&decision)["epoch"]), (next, &json!(2)));
        assert_eq!(desk.refused(&["key", "retire", &old, "--into", "keyset.json"]), (2, "USAGE".into()));
        let shipped: Vec<String> = shipped.into_iter().map(str::to_owned).collect();
        (desk.folder, shipped)
    };
    // The thief answers in the place of the service.
    server.kill();
    let real = folder.path().join("real");
    fs::rename(server.data(), &real).expect("a moved folder");
    fs::rename(&stolen, server.data()).expect("a moved folder");
    server.restart();
    let check: Vec<&str> = check.iter().map(String::as_str).collect();
    {
        let client = Desk { server: &server, folder: data };
        assert_eq!(client.refused(&check), (1, "KEY_REVOKED".into()));
        let folder = client.folder;
        server.kill();
        fs::rename(server.data(), &stolen).expect("a moved folder");
        fs::rename(&real, server.data()).expect("a moved folder");
        server.restart();
        Desk { server: &server, folder }.ok(&check);
    }
}

#[tokio::test]
async fn signed_keysets_are_given_out_as_they_came_and_what_clients_would_refuse_is_refused() {
    let server = Server::start_with(TWO_KEYS);
    let (api, desk) = (server.admin(), Desk::at(&server));
    desk.ok(&["key", "export", "keyset.json"]);
    desk.signed("1.keyset");
    server.anonymous().get("/v1/keyset/1.keyset").await.refused(404, "NOT_FOUND");
    desk.ok(&["key", "publish", "1.keyset"]);
    let file = fs::read_to_string(desk.folder.path().join("1.keyset")).expect("a file");
    let answer = server.anonymous().get("/v1/keyset/1.keyset").await;
    assert_eq!((answer.status, answer.text()), (200, file.clone()));
    assert_eq!(answer.header("content-type"), "application/jose+json");
    assert!(answer.header("cache-control").contains("immutable"));
    let again = api.send_text(Method::PUT, "/v1/keyset/1.keyset", &file).await.ok(200);
    assert_eq!(again["signed"], true);
    api.send_text(Method::PUT, "/v1/keyset/2.keyset", &file).await.refused(409, "KEY_CONFLICT");
    api.send_text(Method::PUT, "/v1/keyset/1", &file).await.refused(404, "NOT_FOUND");
    let details =
        api.send_text(Method::PUT, "/v1/keyset/1.keyset", "{}").await.refused(422, "SIGNED_KEYSET_REFUSED");
    assert_eq!(details["details"]["rule"], "ROOT_FORM");
    // Signed by one of the roots alone.
    desk.ok(&["key", "export", "keyset.json", "--next"]);
    let make = ["--keyset", "keyset.json", "--root", "ceremony/root.json", "--issuer", server.base()];
    desk.ok(&[&["root", "sign", "2.keyset", "--key", "ceremony/root-1.pem"][..], &make].concat());
    let few = fs::read_to_string(desk.folder.path().join("2.keyset")).expect("a file");
    let details =
        api.send_text(Method::PUT, "/v1/keyset/2.keyset", &few).await.refused(422, "SIGNED_KEYSET_REFUSED");
    assert_eq!(details["details"]["rule"], "ROOT_SIGNATURES");
    desk.ok(&["root", "sign", "2.keyset", "--key", "ceremony/root-2.pem"]);
    assert_eq!(desk.ok(&["key", "publish", "2.keyset"])["version"], 2);
}

#[tokio::test]
async fn a_stolen_key_whose_next_one_was_not_listed_is_revoked_by_force() {
    let server = Server::start_with(TWO_KEYS);
    let (api, desk) = (server.admin(), Desk::at(&server));
    desk.ok(&["key", "export", "keyset.json"]);
    desk.signed("1.keyset");
    desk.ok(&["key", "publish", "1.keyset"]);
    let stolen = text(&desk.ok(&["key", "list"])["keys"][0], "kid").to_owned();
    desk.ok(&["key", "export", "keyset.json", "--next"]);
    desk.ok(&["key", "add", "--key-file", &desk.next_key(), "--into", "keyset.json"]);
    desk.ok(&["key", "revoke", &stolen, "--into", "keyset.json"]);
    desk.signed("2.keyset");
    assert_eq!(desk.refused(&["key", "publish", "2.keyset"]), (5, "KEY_CONFLICT".into()));
    assert_eq!(kid(&api.decide("any", "1.0.0", json!({})).await), stolen, "nothing has changed");
    let listed = desk.ok(&["key", "publish", "2.keyset", "--force"]);
    let asked = json!({"products": [{"product_id": "any", "current_version": "1.0.0", "platform": "windows",
        "arch": "x86_64"}]});
    server.anonymous().post("/v1/decision", &asked).await.refused(503, "UNAVAILABLE");
    let next = text(&listed["keys"][1], "kid").to_owned();
    desk.ok(&["key", "promote", &next]);
    let decision = api.decide("any", "1.0.0", json!({})).await;
    assert_eq!((kid(&decision), &payload(&decision)["epoch"]), (next, &json!(2)));
}

#[tokio::test]
async fn the_epoch_is_raised_alone_by_a_command_or_where_root_keys_sign_by_a_file() {
    let server = Server::start();
    let (api, desk) = (server.admin(), Desk::at(&server));
    let product = api.product("restored").await;
    desk.ok(&["key", "export", "keyset.json"]);
    let before = desk.ok(&["key", "list"]);
    let raised = desk.ok(&["key", "raise-epoch"]);
    assert_eq!((&raised["version"], &raised["epoch"]), (&json!(2), &json!(2)));
    assert_eq!(raised["keys"], before["keys"]);
    assert!(raised["warnings"].to_string().contains("pinned the keyset by hand"), "{raised}");
    // Whoever has pinned it by hand has to have the new one.
    desk.refused(&Desk::check(&product, "keyset.json"));
    desk.ok(&["key", "export", "keyset.json"]);
    desk.ok(&Desk::check(&product, "keyset.json"));
    desk.signed("2.keyset");
    desk.ok(&["key", "publish", "2.keyset"]);
    assert_eq!(desk.refused(&["key", "raise-epoch"]), (5, "KEY_CONFLICT".into()));
    desk.ok(&["key", "export", "keyset.json", "--next"]);
    let draft = desk.ok(&["key", "raise-epoch", "--into", "keyset.json"]);
    assert_eq!(draft, json!({ "version": 3, "epoch": 3 }));
    desk.signed("3.keyset");
    let shipped = Desk::check(&product, "2.keyset");
    desk.ok(&shipped);
    desk.ok(&["key", "publish", "3.keyset"]);
    desk.ok(&shipped);
    assert_eq!(payload(&api.decide(&product, "1.0.0", json!({})).await)["epoch"], 3);
}

#[tokio::test]
async fn where_root_keys_sign_a_key_is_retired_by_a_file_and_clients_notice_nothing() {
    let server = Server::start_with(TWO_KEYS);
    let (api, desk) = (server.admin(), Desk::at(&server));
    let product = api.product("retired").await;
    let [old, next] = desk.added();
    desk.ok(&["key", "export", "keyset.json"]);
    desk.signed("2.keyset");
    desk.ok(&["key", "publish", "2.keyset"]);
    let shipped = Desk::check(&product, "2.keyset");
    desk.ok(&shipped);
    desk.ok(&["key", "promote", &next]);
    assert_eq!(desk.refused(&["key", "retire", &old]), (5, "KEY_CONFLICT".into()));
    desk.ok(&["key", "export", "keyset.json", "--next"]);
    assert_eq!(desk.refused(&["key", "retire", "unknown", "--into", "keyset.json"]), (2, "USAGE".into()));
    let past = ["key", "retire", &old, "--into", "keyset.json", "--expires-at", "2020-01-01T00:00:00Z"];
    assert_eq!(desk.refused(&past), (2, "USAGE".into()));
    desk.ok(&["key", "retire", &old, "--into", "keyset.json"]);
    desk.signed("3.keyset");
    let before = desk.ok(&["key", "list"])["keys"][0]["exp"].as_i64().expect("a time");
    let listed = desk.ok(&["key", "publish", "3.keyset"]);
    let ends = listed["keys"][0]["exp"].as_i64().expect("a time");
    assert!(ends < before && listed["keys"][1]["active"] == true, "{listed}");
    desk.ok(&shipped);
    assert_eq!(kid(&api.decide(&product, "1.0.0", json!({})).await), next);
}

#[tokio::test]
async fn keys_are_for_administrators_of_the_whole_deployment() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("keys").await;
    let kid = text(&api.get("/v1/keys").await.ok(200)["keys"][0], "kid").to_owned();
    let reader = api.token(&["admin:read"], json!({})).await;
    reader.get("/v1/keys").await.ok(200);
    let limited = api.token(&["admin:write", "admin:read"], json!({ "product_id": product })).await;
    server.anonymous().get("/v1/keys").await.refused(401, "UNAUTHORIZED");
    for path in [
        format!("/v1/keys/{kid}/promote"),
        format!("/v1/keys/{kid}/retire"),
        format!("/v1/keys/{kid}/revoke"),
        "/v1/keys/raise-epoch".to_owned(),
    ] {
        server.anonymous().post_empty(&path).await.refused(401, "UNAUTHORIZED");
        reader.post_empty(&path).await.refused(403, "FORBIDDEN");
        limited.post_empty(&path).await.refused(403, "FORBIDDEN");
    }
    let (private, public) = (
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "d": "secret"}),
        json!({}),
    );
    for jwk in [private, public] {
        api.post("/v1/keys", &json!({ "jwk": jwk })).await.refused(422, "INVALID_MEMBER");
    }
}
