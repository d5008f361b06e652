//! What `bp artifact doctor` says of artifacts in order, and of those that are not.

use e2e::bytes::{installer, sha256};
use e2e::host::{Host, Page};
use e2e::story::text;
use e2e::{Api, Server, settings};
use serde_json::{Value, json};

async fn settled(api: &Api, url: &str, bytes: &[u8], more: Value) -> Value {
    let mut body = json!({"source_type": "EXTERNAL", "external_url": url, "sha256": sha256(bytes),
        "size_bytes": bytes.len(), "file_name": "editor.msi"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = api.post("/v1/artifacts", &body).await.ok(201);
    let path = format!("/v1/artifacts/{}", text(&made, "artifact_id"));
    api.get_until(&path, |artifact| artifact["state"] != "VERIFYING").await
}

/// What the doctor says: how it ended, and each step with its result and its remedy.
async fn doctor(
    host: &Host,
    api: Option<&Server>,
    arguments: &[&str],
) -> (bool, Vec<(String, String, String)>) {
    let mut command = tokio::process::Command::new(settings::program());
    command.args(["artifact", "doctor", "--json", "--ca-file"]).arg(host.authority()).args(arguments);
    command.env_remove("BP_API_TOKEN").env("NO_PROXY", "*");
    if let Some(server) = api {
        command.args(["--base-url", server.base()]).env("BP_API_TOKEN", server.admin_token());
    }
    let output = command.output().await.expect("bp");
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let steps = said["steps"].as_array().expect("steps").iter().map(|step| {
        let member = |name: &str| step[name].as_str().unwrap_or_default().to_owned();
        (member("step"), member("result"), format!("{} | {}", member("found"), member("fix")))
    });
    assert_eq!(said["healthy"], json!(output.status.success()), "{said}");
    (output.status.success(), steps.collect())
}

fn result<'a>(steps: &'a [(String, String, String)], step: &str) -> (&'a str, &'a str) {
    let found = steps.iter().rev().find(|(name, ..)| name == step);
    found.map_or(("", ""), |(_, result, text)| (result, text))
}

#[tokio::test]
async fn the_doctor_finds_each_ill_with_its_remedy() {
    let (host, untrusted, bytes) = (Host::start().await, Host::start().await, installer(5_000));
    let good = host.serve("/good.msi", Page::Bytes(bytes.clone()));
    host.serve("/moved.msi", Page::Redirect(good.clone()));
    host.serve("/loop.msi", Page::Redirect(host.url("/loop.msi")));
    host.serve("/down.msi", Page::Redirect("http://127.0.0.1:1/x".into()));
    host.serve("/gone.msi", Page::Status(404));
    host.serve("/shut.msi", Page::Status(403));
    host.serve("/busy.msi", Page::Status(429));
    let (digest, size) = (sha256(&bytes), bytes.len().to_string());
    let expected = ["--sha256", &digest, "--size-bytes", &size];

    let (healthy, steps) =
        doctor(&host, None, &[&[host.url("/moved.msi").as_str()], &expected[..]].concat()).await;
    assert!(healthy, "{steps:?}");
    let order: Vec<_> = steps.iter().map(|(step, ..)| step.as_str()).collect();
    assert_eq!(order, ["url", "expiry", "dns", "connect", "tls", "redirect", "access", "size", "digest"]);
    assert_eq!(result(&steps, "dns").0, "warning", "loopback is open to an entry with `allow_private` alone");

    let other = sha256(b"other");
    let ended = format!("{good}?Expires=1000000000");
    let foreign = untrusted.serve("/a.msi", Page::Bytes(bytes.clone()));
    for (arguments, step, words) in [
        (vec![foreign.as_str()], "tls", "ca_file"),
        (vec!["https://no-such-host.invalid/a"], "url", "URL_HOST_NOT_ALLOWED"),
        (vec!["https://127.0.0.1:1/a"], "url", "URL_PORT_NOT_ALLOWED"),
        (vec!["ftp://127.0.0.1/a"], "url", "correct"),
        (vec![ended.as_str(), "--no-read"], "expiry", "sign a new"),
        (vec![&host.url("/gone.msi")], "access", "404"),
        (vec![&host.url("/shut.msi")], "access", "credentials"),
        (vec![&host.url("/busy.msi")], "access", "limits requests"),
        (vec![&host.url("/loop.msi")], "redirect", "more than five"),
        (vec![&host.url("/down.msi")], "redirect", "URL_"),
        (vec![good.as_str(), "--size-bytes", "4711"], "size", "declared were 4711"),
        (vec![good.as_str(), "--sha256", &other], "digest", &other),
    ] {
        let (healthy, steps) = doctor(&host, None, &arguments).await;
        let (outcome, text) = result(&steps, step);
        assert!(!healthy && outcome == "bad" && text.contains(words), "{arguments:?}: {steps:?}");
        assert!(steps.iter().all(|(_, result, text)| result == "ok" || !text.ends_with("| ")), "{steps:?}");
    }
}

#[tokio::test]
async fn the_doctor_knows_of_an_artifact_what_the_service_knows() {
    let (host, bytes) = (Host::start().await, installer(5_000));
    let server = Server::start_with(&host.configuration(""));
    let api = server.admin();
    let url = host.serve("/files/a.msi", Page::Bytes(bytes.clone()));
    let artifact = settled(&api, &url, &bytes, json!({})).await;
    let id = text(&artifact, "artifact_id");
    let (healthy, steps) = doctor(&host, Some(&server), &[id]).await;
    assert!(healthy && result(&steps, "service") == ("ok", "AVAILABLE, FETCHED | "), "{steps:?}");
    host.serve("/files/a.msi", Page::Bytes(installer(5_000)));
    let (healthy, steps) = doctor(&host, Some(&server), &[id]).await;
    assert!(!healthy && result(&steps, "digest").0 == "bad", "{steps:?}");
}

/// A repository that needs a secret.
fn private(host: &Host, kind: &str, secret: &str) -> (tempfile::NamedTempFile, Server) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), secret).unwrap();
    let credentials = format!(", credentials: \"file:{}\"", file.path().display());
    (file, Server::start_with(&host.repository(kind, "/private", &credentials)))
}

#[tokio::test]
async fn of_a_private_artifact_that_is_whole_the_doctor_goes_the_way_of_a_client() {
    let host = Host::start().await;
    let (_secret, server) = private(&host, "s3", "AKIDEXAMPLE:s3cret");
    let api = server.admin();
    let signed = |bytes: &[u8]| Page::Signed("s3cret".into(), Vec::new(), bytes.to_vec());
    for access in ["public", "token"] {
        let bytes = installer(5_000);
        let url = host.serve(&format!("/private/{access}.msi"), signed(&bytes));
        let artifact = settled(&api, &url, &bytes, json!({"access": access, "file_name": access})).await;
        assert_eq!(artifact["state"], "AVAILABLE", "{artifact}");
        let id = text(&artifact, "artifact_id");
        let (healthy, steps) = doctor(&host, Some(&server), &[id]).await;
        assert!(healthy, "{steps:?}");
        let told: Vec<_> = steps.iter().filter(|(step, ..)| step == "access").collect();
        assert!(told[0].2.contains("403 without credentials, as expected"), "{steps:?}");
        assert!(result(&steps, "download").1.contains(&url), "{steps:?}");
        assert!(result(&steps, "digest").1.contains("as declared"), "{steps:?}");
        // What clients get is what counts.
        host.serve(&format!("/private/{access}.msi"), signed(&installer(5_000)));
        let (healthy, steps) = doctor(&host, Some(&server), &[id]).await;
        assert!(!healthy && result(&steps, "digest").0 == "bad", "{steps:?}");
        host.serve(&format!("/private/{access}.msi"), Page::Status(403));
        let (healthy, steps) = doctor(&host, Some(&server), &[id]).await;
        assert!(!healthy && result(&steps, "access").0 == "bad", "{steps:?}");
    }
}

#[tokio::test]
async fn the_doctor_expects_what_clients_read_with_their_own_credentials_or_as_a_copy() {
    let (host, own, copied, open) =
        (Host::start().await, installer(5_000), installer(5_001), installer(5_002));
    let (_secret, server) = private(&host, "https", "Bearer a-secret");
    let api = server.admin();
    let guarded = |bytes: &[u8]| Page::Guarded("Bearer a-secret".into(), Vec::new(), bytes.to_vec());
    let url = host.serve("/private/own.msi", guarded(&own));
    let artifact = settled(&api, &url, &own, json!({"access": "client_authenticates"})).await;
    let (healthy, steps) = doctor(&host, Some(&server), &[text(&artifact, "artifact_id")]).await;
    assert!(healthy && result(&steps, "access").0 == "warning", "{steps:?}");
    let url = host.serve("/private/copied.msi", guarded(&copied));
    let artifact = settled(&api, &url, &copied, json!({"escrow": true})).await;
    let (healthy, steps) = doctor(&host, Some(&server), &[text(&artifact, "artifact_id")]).await;
    // It comes from the service, or from its bucket.
    let download = result(&steps, "download").1;
    assert!(healthy && (download.contains("its copy") || download.contains("/escrow-1")), "{steps:?}");
    assert!(result(&steps, "digest").1.contains("as declared"), "{steps:?}");
    // One that everybody could read, and nobody can any more, is ill.
    let server = Server::start_with(&host.configuration(""));
    let url = host.serve("/files/open.msi", Page::Bytes(open.clone()));
    let artifact = settled(&server.admin(), &url, &open, json!({})).await;
    host.serve("/files/open.msi", Page::Status(403));
    let (healthy, steps) = doctor(&host, Some(&server), &[text(&artifact, "artifact_id")]).await;
    assert!(!healthy && result(&steps, "access").1.contains("credentials"), "{steps:?}");
}
