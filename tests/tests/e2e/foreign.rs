//! Files of real repositories, by `cargo xtask live-repositories FILE` alone: `BP_TEST_REPOSITORIES` names the file.
//! `repositories::what_is_run_against_real_services_holds_over_doubles` runs the same against doubles.

use e2e::foreign::Foreign;
use e2e::settings;

async fn holds(system: &str) {
    let file = settings::variable("BP_TEST_REPOSITORIES").expect("BP_TEST_REPOSITORIES names the file");
    let all = Foreign::read(std::path::Path::new(&file));
    let foreign = all.get(system).unwrap_or_else(|| panic!("{file} says nothing of {system}"));
    for shown in foreign.show().await {
        let download =
            if shown.downloaded { "downloaded without credentials" } else { "clients authenticate" };
        println!("{system}, {}: {}, {download}", shown.what, shown.verification);
    }
}

#[tokio::test]
async fn what_is_said_of_s3_holds() {
    holds("s3").await;
}

#[tokio::test]
async fn what_is_said_of_minio_holds() {
    holds("minio").await;
}

#[tokio::test]
async fn what_is_said_of_gcs_holds() {
    holds("gcs").await;
}

#[tokio::test]
async fn what_is_said_of_jfrog_holds() {
    holds("jfrog").await;
}

#[tokio::test]
async fn what_is_said_of_github_holds() {
    holds("github").await;
}

#[tokio::test]
async fn what_is_said_of_https_holds() {
    holds("https").await;
}
