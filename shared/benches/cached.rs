//! What an answer costs from question to token: freshly signed, and served from memory.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a benchmark")]

use std::{collections::BTreeMap, hint::black_box, path::Path, time::Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use shared::{
    config::Config,
    domain::decide::Question,
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

async fn service(folder: &Path) -> Embedded {
    let config = Config::read("", &BTreeMap::new(), folder).unwrap();
    wiring::embedded(&config, "http://127.0.0.1:8080", folder).await.unwrap()
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
