//! What `bp` asks of the service, and what it makes of the answers, against a stand-in.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may")]

#[path = "http/decisions.rs"]
mod decisions;
#[path = "http/double.rs"]
mod double;
#[path = "http/upload.rs"]
mod upload;

use double::{Answer, Double, code, stderr, stdout};
use serde_json::{Value, json};

fn release(status: &str) -> Value {
    json!({"release_id": "rel_1", "product_id": "editor", "version": "1.5.0", "channel": "stable", "status": status,
        "artifacts": [{"artifact_id": "art_1", "platform": "windows", "arch": "x86_64", "installer_type": "msi",
        "requires_admin": false}], "rollout": {"percentage": 100, "paused": false}, "critical": false,
        "created_at": "2026-01-01T00:00:00Z"})
}

#[tokio::test]
async fn the_token_of_the_environment_is_sent_and_never_shown() {
    let double = Double::start(|_, _| Answer::json(200, &json!({"products": [], "next_cursor": null}))).await;
    let output = double.bp(&["product", "list"]).await;
    assert_eq!(code(&output), 0);
    assert_eq!(double.only("GET /v1/products").header("authorization"), "Bearer bp_test_token");
    assert!(!stdout(&output).contains("bp_test_token") && !stderr(&output).contains("bp_test_token"));
}

#[tokio::test]
async fn a_token_file_goes_before_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "bp_of_the_file\n").unwrap();
    let double = Double::start(|_, _| Answer::json(200, &json!({"status": "ok"}))).await;
    assert_eq!(code(&double.bp(&["health", "--token-file", file.to_str().unwrap()]).await), 0);
    assert_eq!(double.only("GET /healthz").header("authorization"), "Bearer bp_of_the_file");
}

#[tokio::test]
async fn a_list_is_a_table_for_people_and_the_answer_itself_for_programs() {
    let page = json!({"products": [{"product_id": "editor", "name": "Editor"}], "next_cursor": null});
    let answer = page.clone();
    let double = Double::start(move |_, _| Answer::json(200, &answer)).await;
    let people = stdout(&double.bp(&["product", "list"]).await);
    assert_eq!(people, "PRODUCT  NAME    RESTRICTED\neditor   Editor  -\n");
    let programs: Value =
        serde_json::from_str(&stdout(&double.bp(&["product", "list", "--json"]).await)).unwrap();
    assert_eq!(programs, page);
}

#[tokio::test]
async fn all_follows_the_cursor_to_the_end() {
    let double = Double::start(|_, seen| {
        let (found, next) =
            if seen.query.contains("cursor=next") { ("b", Value::Null) } else { ("a", "next".into()) };
        Answer::json(200, &json!({"products": [{"product_id": found}], "next_cursor": next}))
    })
    .await;
    let output = double.bp(&["product", "list", "--all", "--limit", "1", "--json"]).await;
    let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(answer, json!({"products": [{"product_id": "a"}, {"product_id": "b"}], "next_cursor": null}));
}

#[tokio::test]
async fn a_refusal_tells_code_request_and_next_step_and_sets_the_exit_code() {
    for (status, word, exit) in
        [(401, "UNAUTHORIZED", 4), (403, "FORBIDDEN", 4), (404, "NOT_FOUND", 1), (409, "ARTIFACT_IN_USE", 5)]
    {
        let double = Double::start(move |_, _| Answer::refusal(status, word)).await;
        let output = double.bp(&["artifact", "delete", "art_1"]).await;
        assert_eq!(code(&output), exit, "{word}");
        let text = stderr(&output);
        assert!(text.starts_with(&format!("error: what happened\n  code: {status} {word}\n")), "{text}");
        assert!(text.contains("request id: req-7") && text.contains("next step: "), "{text}");
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test]
async fn nobody_there_is_exit_code_3() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let command = std::process::Command::new(env!("CARGO_BIN_EXE_bp"))
        .args(["health", "--json", "--base-url", &url])
        .output()
        .unwrap();
    assert_eq!(code(&command), 3);
    let error: Value = serde_json::from_str(&stderr(&command)).unwrap();
    assert_eq!(error["code"], "UNREACHABLE");
}

#[tokio::test]
async fn a_busy_service_is_asked_again_with_the_same_key() {
    let double = Double::start(|double, _| match double.seen().len() {
        0 => Answer::refusal(503, "UNAVAILABLE").header("retry-after", "0"),
        _ => Answer::json(201, &json!({"product_id": "editor"})),
    })
    .await;
    assert_eq!(code(&double.bp(&["product", "create", "editor", "--name", "Editor"]).await), 0);
    let seen = double.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].json(), json!({"product_id": "editor", "name": "Editor"}));
    assert!(!seen[0].header("idempotency-key").is_empty());
    assert_eq!(seen[0].header("idempotency-key"), seen[1].header("idempotency-key"));
}

#[tokio::test]
async fn a_release_is_sent_as_it_was_written_and_awaited() {
    let double = Double::start(|_, seen| match seen.line().as_str() {
        "POST /v1/releases" => Answer::json(201, &release("pending_artifacts")),
        _ => Answer::json(200, &release("published")),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let notes = folder.path().join("notes.md");
    std::fs::write(&notes, "Better.\n").unwrap();
    let args = [
        "release",
        "create",
        "--product",
        "editor",
        "--version",
        "1.5.0",
        "--channel",
        "stable",
        "--artifact",
        "art_1:windows/x86_64/msi:min_os=10.0:admin",
        "--artifact",
        "art_2:linux/arm64/tar.gz",
        "--notes-file",
        notes.to_str().unwrap(),
        "--rollout",
        "12.5",
        "--min-from",
        "1.0.0",
        "--floor",
        "1.2.0",
        "--critical",
        "--require",
        "windows/x86_64",
        "--wait",
        "--json",
    ];
    let output = double.bp(&args).await;
    assert_eq!(code(&output), 0);
    let expected = json!({
        "product_id": "editor", "version": "1.5.0", "channel": "stable",
        "artifacts": [
            {"artifact_id": "art_1", "platform": "windows", "arch": "x86_64", "installer_type": "msi",
             "min_os_version": "10.0", "requires_admin": true},
            {"artifact_id": "art_2", "platform": "linux", "arch": "arm64", "installer_type": "tar.gz"},
        ],
        "release_notes": "Better.\n", "rollout": {"percentage": 12.5}, "min_from_version": "1.0.0",
        "floor": "1.2.0", "critical": true, "require_platforms": ["windows/x86_64"],
    });
    assert_eq!(double.only("POST /v1/releases").json(), expected);
    let shown: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(shown["status"], "published");
}

#[tokio::test]
async fn a_rejected_release_is_shown_and_fails() {
    let mut rejected = release("rejected");
    rejected["rejected_reason"] = "CHECKSUM_MISMATCH".into();
    let double = Double::start(move |_, _| Answer::json(201, &rejected)).await;
    let args = [
        "release",
        "create",
        "--product",
        "editor",
        "--version",
        "1.5.0",
        "--channel",
        "stable",
        "--artifact",
        "art_1:windows/x86_64/msi",
    ];
    let output = double.bp(&args).await;
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).contains("status           rejected"));
    assert!(stderr(&output).contains("code: RELEASE_REJECTED"));
}

#[tokio::test]
async fn rollout_pause_resume_and_revoke_send_their_one_thing() {
    let double = Double::start(|_, _| Answer::json(200, &release("published"))).await;
    for args in [
        vec!["release", "rollout", "rel_1", "25"],
        vec!["release", "pause", "rel_1"],
        vec!["release", "resume", "rel_1"],
        vec!["release", "revoke", "rel_1", "--reason", "broken", "--allow-downgrade"],
        vec!["release", "promote", "rel_1", "--channel", "beta", "--rollout", "5"],
    ] {
        assert_eq!(code(&double.bp(&args).await), 0, "{args:?}");
    }
    let sent: Vec<(String, Value)> = double.seen().iter().map(|seen| (seen.line(), seen.json())).collect();
    let rollout = "PATCH /v1/releases/rel_1/rollout".to_owned();
    assert_eq!(
        sent,
        [
            (rollout.clone(), json!({"percentage": 25})),
            (rollout.clone(), json!({"paused": true})),
            (rollout, json!({"paused": false})),
            (
                "POST /v1/releases/rel_1/revoke".to_owned(),
                json!({"reason": "broken", "allow_downgrade": true})
            ),
            (
                "POST /v1/releases/rel_1/promote".to_owned(),
                json!({"channel": "beta", "rollout": {"percentage": 5}})
            ),
        ]
    );
}

#[tokio::test]
async fn a_policy_field_is_set_on_what_was_read_and_the_rest_stays() {
    let double = Double::start(|_, seen| {
        let policy = json!({"channel": "beta", "mode": null, "pinned_range": null, "blocked_versions": ["1.2.3"],
            "paused": null, "min_version": null});
        assert!(matches!(seen.method.as_str(), "GET" | "PUT"));
        Answer::json(200, &policy).header("etag", "\"7\"")
    })
    .await;
    let args = [
        "policy",
        "set",
        "--tenant",
        "acme",
        "--product",
        "editor",
        "--paused",
        "true",
        "--unset",
        "channel",
    ];
    let output = double.bp(&args).await;
    assert_eq!(code(&output), 0);
    let put = double.only("PUT /v1/tenants/acme/policies/editor");
    assert_eq!(put.json(), json!({"blocked_versions": ["1.2.3"], "paused": true}));
    assert_eq!(put.header("if-match"), "\"7\"");
    assert!(stdout(&output).contains("etag              \"7\""));
}

#[tokio::test]
async fn a_policy_file_replaces_the_level_and_brings_its_etag() {
    let double = Double::start(|_, _| Answer::refusal(412, "PRECONDITION_FAILED")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.json");
    std::fs::write(&file, r#"{"mode":"NOTIFY_ONLY","etag":"\"6\""}"#).unwrap();
    let output = double.bp(&["policy", "set", "--file", file.to_str().unwrap()]).await;
    assert_eq!(code(&output), 5);
    let put = double.only("PUT /v1/policy");
    assert_eq!(put.json(), json!({"mode": "NOTIFY_ONLY"}));
    assert_eq!(put.header("if-match"), "\"6\"");
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_token_can_go_to_a_private_file_and_nowhere_else() {
    use std::os::unix::fs::PermissionsExt as _;
    let double = Double::start(|_, _| {
        Answer::json(
            201,
            &json!({"token_id": "tok_1", "token": "bp_secret", "name": "ci", "scopes": ["ci:write"]}),
        )
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let args =
        ["token", "create", "--name", "ci", "--scope", "ci:write", "--write-to", file.to_str().unwrap()];
    let output = double.bp(&args).await;
    assert_eq!(code(&output), 0);
    assert!(!stdout(&output).contains("bp_secret"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "bp_secret\n");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(double.only("POST /v1/tokens").json(), json!({"name": "ci", "scopes": ["ci:write"]}));
}

#[tokio::test]
async fn a_download_that_is_not_the_declared_bytes_leaves_no_file() {
    let sha256 = "51bc0fc1f19104fa6e89ce50be9aa1f57c3346c1ca51ab49f5f00e14ce8f8076";
    let double = Double::start(move |_, seen| {
        if seen.path.ends_with("/download") {
            Answer { status: 200, body: b"jello artifact\n".to_vec(), ..Answer::default() }
        } else {
            Answer::json(200, &json!({"artifact_id": "art_1", "sha256": sha256, "size_bytes": 15}))
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.msi");
    let output = double.bp(&["artifact", "download", "art_1", "-o", file.to_str().unwrap()]).await;
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("CHECKSUM_MISMATCH"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn completions_need_no_service() {
    for shell in ["bash", "zsh", "fish"] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_bp"))
            .args(["completions", shell])
            .output()
            .unwrap();
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).contains("upload-status"), "{shell}");
    }
}
