//! What an answer costs from question to token: freshly signed, and served from memory.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a benchmark")]

use std::{collections::BTreeMap, hint::black_box, path::Path, time::Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use shared::{
    app::{
        products,
        register::{self, Registration},
        releases::{self, NewRelease},
    },
    config::Config,
    domain::{artifact::Access, decide::Question, release::ReleaseArtifact, rollout::Rollout},
    testing::build,
    wiring::{self, Embedded},
};

fn question() -> Question {
    Question {
        product_id: "editor".parse().unwrap(),
        current_version: "1.0.0".parse().unwrap(),
        channel: None,
        tenant_id: None,
        platform: "windows".parse().unwrap(),
        arch: "x86_64".parse().unwrap(),
        os_version: None,
        installer_types: Vec::new(),
        client_id: None,
    }
}

/// A service with one product that offers one release, on the registrant's word.
async fn service(folder: &Path) -> Embedded {
    let config = Config::read("external: { allow_declared: true }", &BTreeMap::new(), folder).unwrap();
    let service = wiring::embedded(&config, "http://127.0.0.1:8080", folder).await.unwrap();
    let (context, caller) = (&service.context, build::caller());
    let product = "editor".parse().unwrap();
    products::create(context, &caller, (&product, None), &[], None).await.unwrap();
    let registration = Registration {
        sha256: build::sha256(b"installer"),
        size_bytes: 9,
        external_url: "https://downloads.example.com/editor.msi".into(),
        file_name: None,
        content_type: None,
        escrow: false,
        labels: BTreeMap::new(),
        access: Access::ClientAuthenticates,
    };
    let (artifact, _) = register::register(context, &caller, &registration, None).await.unwrap();
    let part = ReleaseArtifact {
        artifact_id: artifact.artifact_id,
        platform: "windows".parse().unwrap(),
        arch: "x86_64".parse().unwrap(),
        installer_type: "msi".parse().unwrap(),
        requires_admin: false,
        min_os_version: None,
    };
    let release = NewRelease {
        product_id: product,
        version: "2.0.0".parse().unwrap(),
        channel: "stable".parse().unwrap(),
        artifacts: vec![part],
        release_notes: None,
        rollout: Rollout::default(),
        min_from_version: None,
        floor: None,
        critical: false,
        require_platforms: Vec::new(),
        promoted_from: None,
    };
    releases::create(context, &caller, &release, None).await.unwrap();
    service
}

fn answers(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let service = runtime.block_on(service(folder.path()));
    let question = question();
    for (name, nonce) in [("served from memory", None), ("freshly signed", Some("AAAAAAAAAAAAAAAAAAAAAA"))] {
        c.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                runtime.block_on(async {
                    let started = Instant::now();
                    for _ in 0..rounds {
                        black_box(service.decider.answer(black_box(&question), nonce, false).await.unwrap());
                    }
                    started.elapsed()
                })
            });
        });
    }
}

criterion_group!(benches, answers);
criterion_main!(benches);
