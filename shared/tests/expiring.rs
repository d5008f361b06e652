//! Registering URLs that end by themselves.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::sync::Arc;

use shared::{
    adapters::metadata::memory::MemoryItems,
    app::{error::AppError, register},
    domain::artifact::{Artifact, Location},
    testing::{build, time::TestClock},
};

/// 2026-08-01T12:00:00Z.
const NOW: i64 = 1_785_585_600;

async fn registered(query: &str) -> Result<Artifact, AppError> {
    let clock = Arc::new(TestClock::at(NOW * 1_000));
    let context = build::context(Arc::new(MemoryItems::default()), &clock, build::settings(), 1);
    let url = format!("https://downloads.example.com/a.msi?{query}");
    let registration = build::registration(b"bytes", &url);
    register::register(&context, &build::caller(), &registration, None).await.map(|(artifact, _)| artifact)
}

#[tokio::test]
async fn a_url_that_is_still_to_end_is_accepted_with_its_end_and_a_warning() {
    let artifact = registered(&format!("Expires={}", NOW + 1)).await.unwrap();
    assert_eq!(artifact.warnings.len(), 1);
    let Location::External { expires_at, .. } = artifact.location else { unreachable!() };
    assert_eq!(expires_at, Some(NOW + 1));
    assert_eq!(registered("v=1").await.unwrap().warnings, []);
}

#[tokio::test]
async fn a_url_that_has_ended_or_whose_end_cannot_be_read_is_refused() {
    for query in [
        &format!("Expires={NOW}"),
        "X-Amz-Date=20260801T110000Z&X-Amz-Expires=600",
        "X-Amz-Expires=600",
        "Expires=2030-01-01T00:00:00Z",
        "se=2026-08-01&sig=x",
    ] {
        let refused = registered(query).await.unwrap_err();
        assert!(
            matches!(&refused, AppError::Invalid { member, rule } if member == "external_url" && rule.contains("expiry")),
            "{query}: {refused}"
        );
    }
}
