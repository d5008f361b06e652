//! The documented lines, typed as they stand.

use std::process::Command;

use e2e::Server;
use e2e::bytes::{installer, sha256};
use e2e::story::text;
use serde_json::{Value, json};

/// Runs lines in bash, in a folder with `installer.msi`; answers what they print.
fn bash(folder: &std::path::Path, variables: &[(&str, &str)], lines: &str) -> String {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", lines])
        .envs(variables.iter().copied())
        .env("no_proxy", "127.0.0.1")
        .current_dir(folder)
        .output()
        .expect("bash");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{lines}\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[tokio::test]
async fn the_documented_curl_line_uploads_and_complete_makes_the_artifact() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(200_000);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("installer.msi"), &bytes).expect("a file");
    let upload = api.initiate(&bytes, json!({})).await;
    bash(
        folder.path(),
        &[("UPLOAD_URL", text(&upload, "upload_url"))],
        r#"curl -X PUT "$UPLOAD_URL" --data-binary @installer.msi -H "Content-Type: application/octet-stream""#,
    );
    let artifact = api.completed(&upload).await;
    assert_eq!((&artifact["state"], &artifact["sha256"]), (&json!("AVAILABLE"), &json!(sha256(&bytes))));
}

#[tokio::test]
async fn the_whole_way_from_installer_to_decision_can_be_gone_with_curl_alone() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(50_000);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("installer.msi"), &bytes).expect("a file");
    let product = api.product("by-curl").await;
    let token = server.admin_token();
    let (size, digest) = (bytes.len().to_string(), sha256(&bytes));
    let variables = [
        ("BP_BASE_URL", server.base()),
        ("BP_API_TOKEN", token.as_str()),
        ("PRODUCT", product.as_str()),
        ("SIZE", size.as_str()),
        ("SHA256", digest.as_str()),
    ];
    let upload: Value = serde_json::from_str(&bash(
        folder.path(),
        &variables,
        r#"curl -sS --fail-with-body "${BP_BASE_URL}/v1/artifacts/uploads" -H "Authorization: Bearer ${BP_API_TOKEN}" \
          -H "Content-Type: application/json" -d "{\"size_bytes\":$SIZE,\"sha256\":\"$SHA256\",\"file_name\":\"installer.msi\"}""#,
    ))
    .expect("JSON");
    let mut more = variables.to_vec();
    more.extend([("UPLOAD_URL", text(&upload, "upload_url")), ("UPLOAD_ID", text(&upload, "upload_id"))]);
    let artifact: Value = serde_json::from_str(&bash(
        folder.path(),
        &more,
        r#"curl -sS --fail-with-body -X PUT "$UPLOAD_URL" --data-binary @installer.msi -H "Content-Type: application/octet-stream"
        curl -sS --fail-with-body -X POST "${BP_BASE_URL}/v1/artifacts/uploads/$UPLOAD_ID/complete" -H "Authorization: Bearer ${BP_API_TOKEN}""#,
    ))
    .expect("JSON");
    let mut more = variables.to_vec();
    more.push(("ARTIFACT_ID", text(&artifact, "artifact_id")));
    let said: Value = serde_json::from_str(&bash(
        folder.path(),
        &more,
        r#"curl -sS --fail-with-body -o release.json "${BP_BASE_URL}/v1/releases" -H "Authorization: Bearer ${BP_API_TOKEN}" \
          -H "Content-Type: application/json" -d "{\"product_id\":\"$PRODUCT\",\"version\":\"1.5.0\",\"channel\":\"stable\",
          \"artifacts\":[{\"artifact_id\":\"$ARTIFACT_ID\",\"platform\":\"windows\",\"arch\":\"x86_64\",\"installer_type\":\"msi\"}]}"
        curl -sS --fail-with-body "${BP_BASE_URL}/v1/decision" -H "Content-Type: application/json" \
          -d "{\"products\":[{\"product_id\":\"$PRODUCT\",\"current_version\":\"1.4.0\",\"platform\":\"windows\",\"arch\":\"x86_64\"}]}""#,
    ))
    .expect("JSON");
    assert_eq!(e2e::story::verdict(&said["decisions"][0]), "INSTALL/NEW_RELEASE 1.5.0");
    let url = text(&said["decisions"][0]["artifact"], "url");
    bash(
        folder.path(),
        &[("URL", url)],
        r#"curl -sS --fail -L -o got.msi "$URL" && cmp got.msi installer.msi"#,
    );
}
