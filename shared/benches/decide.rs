//! What a decision costs beside its bare signature, with few releases and with many.
//!
//! `unsigned` is decide, build the payload and serialise it; `signed` is that, signed into a token; `bare signature` is
//! the signature alone, over the same bytes. Run with `cargo bench -p shared --bench decide`.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark fails by panicking")]

use std::{collections::HashSet, hint::black_box};

use criterion::{Criterion, criterion_group, criterion_main};
use decision::{
    jwk::Alg,
    jws,
    payload::{ArtifactRef, Payload, ReleaseRef},
    sign::LocalKey,
};
use serde_json::json;
use shared::domain::{
    catalogue::{Catalogue, CatalogueRelease},
    decide::{Answer, Offer, Question, World, decide},
    ids::{ArtifactId, ReleaseId},
    names::Channel,
    platform::{Arch, Platform},
    policy::{Policy, PolicyStack},
};

const NOW: i64 = 1_700_000_000;

/// The versions `1.0.0`, `1.0.1` and so on, ten patches to a minor and ten minors to a major.
fn version(index: u64) -> String {
    format!("{}.{}.{}", index / 100 + 1, index / 10 % 10, index % 10)
}

fn catalogue(count: u64) -> Catalogue {
    let targets = [("windows", "x86_64", "msi"), ("macos", "arm64", "dmg"), ("linux", "x86_64", "deb")];
    let artifact = |index: u64, place: usize| {
        let (platform, arch, installer_type) = targets[place];
        json!({
            "artifact_id": ArtifactId::from_parts(index, place as u128), "platform": platform, "arch": arch,
            "installer_type": installer_type, "sha256": "5".repeat(64), "size_bytes": 123_456_789, "file_name": "editor.msi",
        })
    };
    let release = |index: u64| -> CatalogueRelease {
        let artifacts: Vec<_> = (0..targets.len()).map(|place| artifact(index, place)).collect();
        serde_json::from_value(json!({
            "release_id": ReleaseId::from_parts(index, 1), "version": version(index), "channel": "stable",
            "status": "published", "artifacts": artifacts, "has_notes": true,
        }))
        .expect("a release")
    };
    Catalogue::prepare((0..count).map(release).collect())
}

fn question(version: &str) -> Question {
    Question {
        product_id: "acme-editor".parse().expect("a name"),
        current_version: version.parse().expect("a version"),
        channel: Some(Channel::stable()),
        tenant_id: Some("acme".parse().expect("a name")),
        platform: Platform::Linux,
        arch: Arch::X86_64,
        os_version: None,
        installer_types: vec![],
        client_id: None,
    }
}

fn payload(question: &Question, answer: &Answer<'_>) -> Payload {
    Payload {
        v: 1,
        iss: "https://updates.example.com".into(),
        jti: "dec_01h455vb4pex5vsknk084sn02q".into(),
        iat: NOW,
        exp: NOW + 3_600,
        nonce: None,
        product_id: question.product_id.as_str().into(),
        channel: question.asked_channel().as_str().into(),
        platform: question.platform.as_str().into(),
        arch: question.arch.as_str().into(),
        from_version: question.current_version.clone(),
        tenant_id: question.tenant_id.as_ref().map(|tenant| tenant.as_str().into()),
        epoch: 1,
        seq: 42,
        action: answer.action,
        reason: answer.reason,
        release: answer.offer.as_ref().map(release_ref),
        artifact: answer.offer.as_ref().map(artifact_ref),
        crit_claims: None,
    }
}

fn release_ref(offer: &Offer<'_>) -> ReleaseRef {
    let release = offer.release;
    ReleaseRef {
        release_id: release.release_id.to_string().into(),
        version: release.version.clone(),
        channel: Some(release.channel.as_str().into()),
        floor: release.floor.clone(),
        allow_downgrade: offer.allow_downgrade,
        critical: release.critical,
        notes_url: Some(
            format!("https://updates.example.com/v1/releases/{}/notes", release.release_id).into(),
        ),
    }
}

fn artifact_ref(offer: &Offer<'_>) -> ArtifactRef {
    let artifact = offer.artifact;
    let url = format!("https://updates.example.com/v1/artifacts/{}/download", artifact.artifact_id);
    ArtifactRef {
        artifact_id: artifact.artifact_id.to_string().into(),
        sha256: artifact.sha256.to_string().into(),
        size_bytes: artifact.size_bytes,
        url: url.into(),
        installer_type: artifact.installer_type.as_str().into(),
        requires_admin: None,
        file_name: artifact.file_name.as_deref().map(Into::into),
        access: None,
        verification: None,
    }
}

fn unsigned(world: &World<'_>, question: &Question) -> Vec<u8> {
    let answer = decide(world, question, NOW);
    serde_json::to_vec(&payload(question, &answer)).expect("a payload")
}

/// The questions that are usual, against a catalogue of so many releases.
fn questions(count: u64) -> [(&'static str, Question, Policy); 4] {
    let pin =
        json!({"pinned_range": format!("<={}", version(count / 2)), "blocked_versions": ["1.0.1", "~1.0.3"]});
    let pinned: Policy = serde_json::from_value(pin).expect("a policy");
    [
        ("up to date", question(&version(count - 1)), Policy::default()),
        ("old", question("1.0.0"), Policy::default()),
        ("pinned", question("1.0.0"), pinned.clone()),
        ("pinned where it is", question(&version(count / 2)), pinned),
    ]
}

fn decisions(criterion: &mut Criterion) {
    let nothing = HashSet::new();
    let keys = [Alg::Es256, Alg::EdDsa]
        .map(|alg| (alg, LocalKey::from_pkcs8_der(&LocalKey::generate(alg).expect("a key")).expect("a key")));
    for count in [16, 10_000] {
        let catalogue = catalogue(count);
        for (name, question, policy) in questions(count) {
            let policies = PolicyStack { product: Some(&policy), ..PolicyStack::default() };
            let world =
                World { catalogue: Some(&catalogue), policies, unavailable: &nothing, hidden_channels: &[] };
            let id = |kind: &str| format!("{kind}: {name}, {count} releases");
            criterion.bench_function(&id("decide"), |bench| {
                bench.iter(|| decide(black_box(&world), black_box(&question), NOW).action);
            });
            criterion.bench_function(&id("unsigned"), |bench| {
                bench.iter(|| unsigned(black_box(&world), black_box(&question)));
            });
            for (alg, key) in &keys {
                let header = jws::encode_header(*alg, key.kid(), None);
                let input = jws::signing_input(&header, &unsigned(&world, &question));
                criterion.bench_function(&id(&format!("bare signature {alg}")), |bench| {
                    bench.iter(|| key.sign(black_box(input.as_bytes())).expect("a signature"));
                });
                criterion.bench_function(&id(&format!("signed {alg}")), |bench| {
                    bench.iter(|| {
                        let input =
                            jws::signing_input(&header, &unsigned(black_box(&world), black_box(&question)));
                        let signature = key.sign(input.as_bytes()).expect("a signature");
                        jws::compact(input, &signature)
                    });
                });
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).warm_up_time(std::time::Duration::from_millis(300)).measurement_time(std::time::Duration::from_secs(1));
    targets = decisions
}
criterion_main!(benches);
