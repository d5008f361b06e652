//! The API document held to the running service by a property-based tester.

use std::process::Command;

use e2e::{Server, settings};

#[test]
fn schemathesis_finds_no_difference_between_the_document_and_the_service() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(settings::python("st"))
        .arg("--config-file")
        .arg(settings::checkout("docs/api/schemathesis.toml"))
        .arg("run")
        .arg(settings::checkout("docs/api/openapi.yaml"))
        .args([
            "--url",
            server.base(),
            "--header",
            &format!("Authorization: Bearer {}", server.admin_token()),
        ])
        .args(["--checks", "all", "--max-examples", "20", "--seed", "20260101", "--workers", "1"])
        .args([
            "--request-timeout",
            "20",
            "--max-redirects",
            "0",
            "--warnings",
            "off",
            "--continue-on-failure",
        ])
        .env("NO_COLOR", "1")
        .env("no_proxy", "127.0.0.1")
        .current_dir(folder.path())
        .output()
        .expect("schemathesis starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    // Every operation of the document is asked.
    let counts = said.lines().find_map(|line| line.trim().strip_prefix("Operations:")).expect("a count");
    let (selected, total) = counts.trim().split_once(" selected / ").expect("two counts");
    assert_eq!(Some(selected), total.strip_suffix(" total"), "{said}");
}
