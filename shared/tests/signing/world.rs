//! A deployment in memory whose signing key is somewhere else, with a clock moved by hand.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use decision::{jwk::Alg, keyset::Keyset, verify};
use serde_json::{Value, json};
use shared::{
    adapters::metadata::memory::MemoryItems,
    app::{
        context::Context,
        decisions::{Decider, Signed},
        error::AppError,
        keys, keyset,
        products::{self, Product},
        signing::{Budget, Mode, Plan, Signing},
        store::{Batch, Stored, unchanged},
    },
    domain::{
        catalogue::CatalogueRelease,
        decide::Question,
        ids::{ArtifactId, ReleaseId},
    },
    http::error::ApiError,
    ports::{
        clock::Clock,
        items::{Expect, Items},
    },
    testing::{
        build,
        items::FailingItems,
        signer::{RemoteKey, RemoteKeys},
        time::TestClock,
    },
};

/// When every test begins, Unix milliseconds.
pub(crate) const START: i64 = 1_700_000_000_000;
pub(crate) const SECOND: i64 = 1_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
/// The product of every test.
pub(crate) const PRODUCT: &str = "editor";
pub(crate) const NONCE: &str = "a-nonce-of-a-client-01";
/// The budget that is the default.
pub(crate) const BUDGET: Budget = Budget { per_second: 5, burst: 20 };

/// A deployment with one product, and a key somewhere else.
pub(crate) struct World {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) key: Arc<RemoteKey>,
    pub(crate) context: Context,
    pub(crate) items: Arc<FailingItems>,
    pub(crate) store: Arc<dyn Items>,
}

/// One process of a deployment.
pub(crate) struct Process {
    pub(crate) context: Context,
    pub(crate) items: Arc<FailingItems>,
    pub(crate) decider: Arc<Decider>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::of(Alg::Es256).await
    }

    pub(crate) async fn of(alg: Alg) -> Self {
        let clock = Arc::new(TestClock::at(START));
        let store: Arc<dyn Items> = Arc::new(MemoryItems::default());
        let (items, context) = process(&store, &clock, 1);
        let id = PRODUCT.parse().unwrap();
        products::create(&context, &build::caller(), (&id, None), &[], None).await.unwrap();
        Self { clock, key: RemoteKey::fresh(alg), context, items, store }
    }

    /// The only process, which has not begun to sign.
    pub(crate) fn decider(&self, mode: Mode) -> Arc<Decider> {
        decider(&self.context, &self.key, mode)
    }

    /// One more process over the same store and key.
    pub(crate) fn another(&self, mode: Mode, number: u8) -> Arc<Decider> {
        decider(&process(&self.store, &self.clock, number).1, &self.key, mode)
    }

    /// One more process over the same store, with these keys of its own, which sign freely.
    pub(crate) fn with_keys(&self, mode: Mode, number: u8, keys: &[&Arc<RemoteKey>]) -> Process {
        self.planned(number, keys, (mode, None))
    }

    /// One more process over the same store, with these keys of its own, which sign themselves, within the budget.
    pub(crate) fn within_the_budget(&self, number: u8, keys: &[&Arc<RemoteKey>]) -> Process {
        self.planned(number, keys, (Mode::Direct, Some(BUDGET)))
    }

    fn planned(
        &self,
        number: u8,
        keys: &[&Arc<RemoteKey>],
        (mode, budget): (Mode, Option<Budget>),
    ) -> Process {
        let (items, context) = process(&self.store, &self.clock, number);
        let remote = keys.iter().map(|key| Arc::new(RemoteKeys(Arc::clone(key))) as _).collect();
        let plan = Plan { mode, unlisted: keyset::Unlisted::Refuse, budget };
        let signing = Signing::new(context.clone(), remote, plan);
        Process { decider: Arc::new(Decider::new(context.clone(), signing)), context, items }
    }

    /// The newest keyset, as another process would see it.
    pub(crate) async fn keyset(&self) -> Keyset {
        keyset::newest(&self.context).await.unwrap().unwrap()
    }

    /// Another process publishes a changed keyset.
    pub(crate) async fn publish(&self, change: impl FnOnce(&mut Keyset)) -> Keyset {
        let mut next = self.keyset().await;
        next.version += 1;
        change(&mut next);
        let mut batch = Batch::default();
        batch.put(keys::keyset(next.version), &next, Expect::Absent).unwrap();
        process(&self.store, &self.clock, 99).1.store.commit(batch).await.unwrap();
        next
    }

    /// Another process publishes a next version of the keyset, with the key that signs.
    pub(crate) async fn publish_record(&self, mut record: keyset::Record) {
        record.keyset.version += 1;
        let mut batch = Batch::default();
        batch.put(keys::keyset(record.keyset.version), &record, Expect::Absent).unwrap();
        process(&self.store, &self.clock, 99).1.store.commit(batch).await.unwrap();
    }

    /// Another process has released these versions, in `stable`: written as a publish writes them, all at once.
    pub(crate) async fn released(&self, versions: impl IntoIterator<Item = String>) {
        self.released_in("stable", versions).await;
    }

    /// Another process has released these versions in a channel.
    pub(crate) async fn released_in(&self, channel: &str, versions: impl IntoIterator<Item = String>) {
        let store = process(&self.store, &self.clock, 98).1.store;
        let product = keys::product(&PRODUCT.parse().unwrap());
        let page = keys::catalogue_page(&PRODUCT.parse().unwrap(), 0);
        let head: Stored<Product> = store.get(product.clone()).await.unwrap().unwrap();
        let known: Option<Stored<Vec<CatalogueRelease>>> = store.get(page.clone()).await.unwrap();
        let (head_expect, page_expect) = (head.unchanged(), unchanged(known.as_ref()));
        let (mut releases, revision) = known.map_or((Vec::new(), 0), |known| (known.value, known.revision));
        for version in versions {
            releases.push(release(u64::try_from(releases.len()).unwrap(), channel, &version));
        }
        let mut batch = Batch::default();
        batch.put(product, &Product { pages: vec![revision + 1], ..head.value }, head_expect).unwrap();
        batch.put(page, &releases, page_expect).unwrap();
        store.commit(batch).await.unwrap();
    }

    /// Goes to this time after the beginning, in milliseconds.
    pub(crate) fn at(&self, ms: i64) {
        self.clock.set(START + ms);
    }

    /// What a client makes of an answer, now and with the newest keyset.
    pub(crate) async fn verified(
        &self,
        signed: &Signed,
        question: &Question,
        nonce: Option<&str>,
    ) -> verify::Verified {
        verified(&self.keyset().await, signed, question, nonce, self.clock.now())
    }

    /// Asks as a client does, and believes nothing unverified.
    pub(crate) async fn ask(
        &self,
        decider: &Decider,
        question: &Question,
        nonce: Option<&str>,
    ) -> Result<Signed, AppError> {
        let signed = decider.answer(question, nonce, false).await?;
        self.verified(&signed, question, nonce).await;
        Ok(signed)
    }
}

/// A release with one artifact for whoever asks in these tests.
fn release(number: u64, channel: &str, version: &str) -> CatalogueRelease {
    let artifact = json!({ "artifact_id": ArtifactId::from_parts(number, 1), "platform": "windows", "arch": "x86_64",
        "installer_type": "msi", "sha256": "0".repeat(64), "size_bytes": 1 });
    let release = json!({ "release_id": ReleaseId::from_parts(number, 1), "version": version, "channel": channel,
        "status": "published", "artifacts": [artifact] });
    serde_json::from_value(release).unwrap()
}

fn process(store: &Arc<dyn Items>, clock: &Arc<TestClock>, number: u8) -> (Arc<FailingItems>, Context) {
    let items = Arc::new(FailingItems::new(Arc::clone(store)));
    let context = build::context(Arc::clone(&items) as _, clock, build::settings(), number);
    (items, context)
}

fn decider(context: &Context, key: &Arc<RemoteKey>, mode: Mode) -> Arc<Decider> {
    let plan = Plan { mode, unlisted: keyset::Unlisted::Refuse, budget: Some(BUDGET) };
    let signing = Signing::new(context.clone(), vec![Arc::new(RemoteKeys(Arc::clone(key)))], plan);
    Arc::new(Decider::new(context.clone(), signing))
}

/// What a client with this keyset makes of an answer, which it has to believe.
pub(crate) fn verified(
    keyset: &Keyset,
    signed: &Signed,
    question: &Question,
    nonce: Option<&str>,
    now: i64,
) -> verify::Verified {
    judged(keyset, signed, question, nonce, now).unwrap()
}

/// What a client with this keyset makes of an answer.
pub(crate) fn judged(
    keyset: &Keyset,
    signed: &Signed,
    question: &Question,
    nonce: Option<&str>,
    now: i64,
) -> Result<verify::Verified, verify::Refusal> {
    verify::verify(&signed.token, keyset, &expected(question, nonce, now))
}

/// What a client expects that has seen nothing before.
pub(crate) fn expected(question: &Question, nonce: Option<&str>, now: i64) -> verify::Expected {
    verify::Expected {
        now,
        issuer: build::settings().base_url,
        product_id: question.product_id.to_string(),
        channel: question.asked_channel().to_string(),
        platform: question.platform.to_string(),
        arch: question.arch.to_string(),
        tenant_id: question.tenant_id.as_ref().map(ToString::to_string),
        installed_version: question.current_version.clone(),
        nonce: nonce.map(Into::into),
        stored: None,
        max_artifact_bytes: 1 << 40,
        allow_loopback_http: false,
        installer_types: Vec::new(),
    }
}

/// A question about the product, by a client on this version.
pub(crate) fn question(version: &str) -> Question {
    build::question(PRODUCT, version)
}

/// One of many versions.
pub(crate) fn version(number: i64) -> String {
    format!("77.{}.{}", number / 1_000, number % 1_000)
}

/// The header of a token.
pub(crate) fn header(signed: &Signed) -> Value {
    part(&signed.token, 0)
}

/// The payload of the delegation that a token carries.
pub(crate) fn delegation(signed: &Signed) -> Value {
    part(header(signed)["dlg"].as_str().unwrap(), 1)
}

/// Which key of the keyset answers for a token: the one that signed it, or that delegated to the one that did.
pub(crate) fn root_kid(signed: &Signed) -> String {
    let header = header(signed);
    let delegation = header["dlg"].as_str().map(|dlg| part(dlg, 0));
    delegation.unwrap_or(header)["kid"].as_str().unwrap().to_owned()
}

/// Which key signed a token.
pub(crate) fn kid(signed: &Signed) -> String {
    header(signed)["kid"].as_str().unwrap().to_owned()
}

fn part(jws: &str, index: usize) -> Value {
    let part = jws.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// No answer now, and HTTP says when to ask again.
pub(crate) fn is_later(refused: Result<Signed, AppError>) -> bool {
    let Err(error) = refused else { return false };
    let shown = ApiError::from(error);
    shown.status == 503 && shown.code == "UNAVAILABLE" && shown.retry_after.is_some()
}
