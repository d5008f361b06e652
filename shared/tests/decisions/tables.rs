//! Every case of every table: a world, a question, and the one right answer.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::PathBuf,
};

use serde::Deserialize;
use serde_json::{Value, json};
use shared::domain::{
    catalogue::{Catalogue, CatalogueRelease},
    decide::{Answer, Question, World, decide, explain},
    ids::ArtifactId,
    names::{Channel, ProductId, TenantId},
    platform::{Arch, InstallerType, Platform},
    policy::{Policy, PolicyStack},
    version::Version,
};

use super::reference;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    world: WorldText,
    question: QuestionText,
    client_id: Option<String>,
    #[serde(default)]
    hidden_channels: Vec<Channel>,
    #[serde(default)]
    now: i64,
    expect: Value,
    #[serde(default, rename = "open")]
    _open: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WorldText {
    products: BTreeMap<ProductId, ProductText>,
    tenants: BTreeMap<TenantId, TenantText>,
    #[serde(default)]
    policy: Policy,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProductText {
    #[serde(default)]
    policy: Policy,
    releases: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantText {
    #[serde(default)]
    policy: Policy,
    #[serde(default)]
    products: BTreeMap<ProductId, Policy>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QuestionText {
    product_id: ProductId,
    current_version: Version,
    channel: Option<Channel>,
    tenant_id: Option<TenantId>,
    platform: Platform,
    arch: Arch,
    os_version: Option<String>,
    #[serde(default)]
    installer_types: Vec<InstallerType>,
}

/// Releases that were published, with what the table leaves out; and the artifacts that are not AVAILABLE.
fn catalogue(releases: &[Value]) -> (Vec<CatalogueRelease>, HashSet<ArtifactId>) {
    let mut unavailable = HashSet::new();
    let mut read = |release: &Value| {
        let mut release = release.clone();
        for artifact in release["artifacts"].as_array_mut().unwrap() {
            if artifact.get("state").is_some_and(|state| state != "AVAILABLE") {
                unavailable.insert(serde_json::from_value(artifact["artifact_id"].clone()).unwrap());
            }
            artifact["sha256"] = json!("0".repeat(64));
            artifact["size_bytes"] = json!(1);
        }
        serde_json::from_value(release).unwrap()
    };
    let published = |release: &&Value| release["status"] == "published" || release["status"] == "revoked";
    let releases = releases.iter().filter(published).map(&mut read).collect();
    (releases, unavailable)
}

impl Case {
    fn question(&self) -> Question {
        let QuestionText {
            product_id,
            current_version,
            channel,
            tenant_id,
            platform,
            arch,
            os_version,
            installer_types,
        } = &self.question;
        Question {
            product_id: product_id.clone(),
            current_version: current_version.clone(),
            channel: channel.clone(),
            tenant_id: tenant_id.clone(),
            platform: *platform,
            arch: *arch,
            os_version: os_version.clone(),
            installer_types: installer_types.clone(),
            client_id: self.client_id.clone(),
        }
    }

    fn policies(&self) -> PolicyStack<'_> {
        let product = &self.question.product_id;
        let tenant = self.question.tenant_id.as_ref().and_then(|tenant| self.world.tenants.get(tenant));
        PolicyStack {
            tenant_product: tenant.and_then(|tenant| tenant.products.get(product)),
            product: self.world.products.get(product).map(|product| &product.policy),
            tenant: tenant.map(|tenant| &tenant.policy),
            global: Some(&self.world.policy),
        }
    }

    /// What differs from the expected answer, if anything does.
    fn check(&self) -> Option<String> {
        let product = self.world.products.get(&self.question.product_id);
        let (releases, unavailable) = product.map(|product| catalogue(&product.releases)).unwrap_or_default();
        let prepared = Catalogue::prepare(releases.clone());
        let world = World {
            catalogue: product.map(|_| &prepared),
            policies: self.policies(),
            unavailable: &unavailable,
            hidden_channels: &self.hidden_channels,
        };
        let question = self.question();
        let answer = decide(&world, &question, self.now);
        let explained = explain(&world, &question, self.now);
        let naive = reference::answer(product.map(|_| &*releases), &world, &question, self.now);
        assert_eq!(explained.answer, answer, "{}: explain says something else", self.name);
        assert_eq!(reference::outline(&answer), naive, "{}: the reference says something else", self.name);
        (told(&answer) != self.expect).then(|| {
            format!(
                "{}\n  expected {}\n  got      {}\n  {:#?}",
                self.name,
                self.expect,
                told(&answer),
                explained.steps
            )
        })
    }
}

fn told(answer: &Answer<'_>) -> Value {
    let offer = answer.offer.as_ref();
    json!({
        "action": answer.action,
        "reason": answer.reason,
        "version": offer.map(|offer| &offer.release.version),
        "release_id": offer.map(|offer| offer.release.release_id),
        "artifact_id": offer.map(|offer| offer.artifact.artifact_id),
        "allow_downgrade": offer.is_some_and(|offer| offer.allow_downgrade),
    })
}

fn cases() -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/decisions");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let read = |file: &PathBuf| -> Vec<Case> {
        serde_json::from_slice(&std::fs::read(file).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    };
    files.iter().flat_map(read).collect()
}

#[test]
fn every_case_of_the_tables_has_its_answer() {
    let cases = cases();
    assert!(cases.len() >= 190, "only {} cases were found", cases.len());
    let failed: Vec<String> = cases.iter().filter_map(Case::check).collect();
    assert!(failed.is_empty(), "{} of {} fail:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

#[test]
fn the_tables_show_every_reason_and_no_case_twice() {
    let cases = cases();
    let names: BTreeSet<&str> = cases.iter().map(|case| &*case.name).collect();
    assert_eq!(names.len(), cases.len());
    let reasons: BTreeSet<&str> = cases.iter().filter_map(|case| case.expect["reason"].as_str()).collect();
    assert_eq!(reasons.len(), decision::payload::Reason::ALL.len(), "{reasons:?}");
}
