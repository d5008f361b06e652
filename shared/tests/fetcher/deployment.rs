//! A deployment in memory whose fetcher is the real one: what becomes of artifacts in repositories, from their registration on.

use std::sync::Arc;

use shared::{
    adapters::{
        fetcher::https::{HttpsFetcher, HttpsRepository},
        metadata::memory::MemoryItems,
        objects::{memory::MemoryObjects, signed_url::UrlKey},
    },
    app::{
        access, artifacts,
        context::{Context, Repository, Settings},
        error::AppError,
        external::{self, Checker, Which},
        products, register, releases, sentinel,
    },
    domain::{
        artifact::{Artifact, ArtifactState, Verification},
        external_url::UrlRules,
        ids::ArtifactId,
        names::ProductId,
    },
    testing::{build, time::TestClock},
};

use crate::world::{BODY, NOW};

pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;

pub(crate) struct Deployment {
    pub(crate) context: Context,
    pub(crate) clock: Arc<TestClock>,
    checker: Checker,
}

impl Deployment {
    /// A deployment with this fetcher and a product.
    pub(crate) async fn with(fetcher: HttpsFetcher, entries: &[HttpsRepository]) -> Self {
        // The names of the doubles are none of the public web.
        Self::under(UrlRules::widest(), fetcher, entries).await
    }

    /// The same, which takes URLs by these rules.
    pub(crate) async fn under(
        url_rules: UrlRules,
        fetcher: HttpsFetcher,
        entries: &[HttpsRepository],
    ) -> Self {
        let repositories = entries.iter().map(|entry| Repository {
            has_credentials: entry.credentials.is_some(),
            allow_private: true,
            ..build::private_repository(entry.url_prefix.as_str())
        });
        let settings = Settings { url_rules, repositories: repositories.collect(), ..build::settings() };
        let objects = Arc::new(MemoryObjects::new(&settings.base_url, UrlKey::from_bytes(&[7; 32])));
        let clock = Arc::new(TestClock::at(NOW));
        let context = build::context(Arc::new(MemoryItems::default()), &clock, settings, 1);
        let id: ProductId = "editor".parse().unwrap();
        products::create(&context, &build::caller(), (&id, None), &[], None).await.unwrap();
        Self { context, clock, checker: Checker { fetcher: Arc::new(fetcher), objects } }
    }

    /// Registers these bytes at a URL, without looking at them yet.
    pub(crate) async fn register(&self, content: &[u8], url: &str) -> ArtifactId {
        self.try_register(content, url).await.unwrap()
    }

    pub(crate) async fn try_register(&self, content: &[u8], url: &str) -> Result<ArtifactId, AppError> {
        let registration = build::registration(content, url);
        let made = register::register(&self.context, &build::caller(), &registration, None).await?;
        Ok(made.0.artifact_id)
    }

    /// Registers [`BODY`] at a URL, has it proved, and publishes it.
    pub(crate) async fn released(&self, url: &str) -> ArtifactId {
        let id = self.register(BODY, url).await;
        self.check().await;
        assert_eq!(self.artifact(id).await.state, ArtifactState::Available, "{:?}", self.artifact(id).await);
        let release = build::release("editor", "1.0.0", vec![build::msi(id)]);
        releases::create(&self.context, &build::caller(), &release, None).await.unwrap();
        id
    }

    pub(crate) async fn artifact(&self, id: ArtifactId) -> Artifact {
        access::artifact(&self.context, &build::caller(), id).await.unwrap().value
    }

    pub(crate) async fn check(&self) {
        external::run(&self.context, &self.checker, Which::Due).await.unwrap();
    }

    /// Some time later, what is done every minute.
    pub(crate) async fn later(&self, ms: i64) {
        self.clock.advance(ms);
        sentinel::run(&self.context, &self.checker).await.unwrap();
        self.check().await;
    }

    /// All that is told of an artifact.
    pub(crate) async fn told(&self, id: ArtifactId) -> String {
        let checks = artifacts::checks(&self.context, &build::caller(), id).await.unwrap();
        format!("{checks:?} {:?}", self.artifact(id).await.reason)
    }

    /// Has the sentinel find that other bytes are there, and that the right ones are back: by `change`, which is told whether
    /// they are right.
    pub(crate) async fn drifts(&self, url: &str, means: Verification, change: impl Fn(bool)) -> String {
        let id = self.released(url).await;
        assert_eq!(self.artifact(id).await.verification, Some(means));
        self.later(2 * HOUR).await;
        assert_eq!(self.artifact(id).await.state, ArtifactState::Available, "all is well");
        change(false);
        self.later(2 * HOUR).await;
        assert_eq!(self.artifact(id).await.state, ArtifactState::Available, "once is no drift");
        self.later(5 * MINUTE).await;
        let artifact = self.artifact(id).await;
        assert_eq!(artifact.state, ArtifactState::Quarantined, "{}", self.told(id).await);
        assert!(artifact.reason.is_some_and(|reason| reason.starts_with("DRIFT: ")));
        change(true);
        self.later(24 * HOUR).await;
        assert_eq!(self.artifact(id).await.state, ArtifactState::Available, "{}", self.told(id).await);
        self.told(id).await
    }
}
