//! What every use case is given: the store, the time, identifiers, and the settings of the deployment.

use std::sync::Arc;

use crate::{
    app::store::Store,
    domain::{
        external_url::{ExternalUrl, UrlRules, pick},
        ids::TokenId,
        names::{ProductId, TenantId},
        token::Scope,
    },
    ports::{
        cdn::Cdn,
        clock::{Clock, Ids},
        links::Links,
        tasks::{Task, Tasks},
    },
};

/// What every use case is given.
#[derive(Debug, Clone)]
pub struct Context {
    /// Records.
    pub store: Store,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers and secrets.
    pub ids: Ids,
    /// What the operator chose.
    pub settings: Arc<Settings>,
    /// Who does work in the background; `None` where nobody is told and the sweep alone finds it.
    pub tasks: Option<Arc<dyn Tasks>>,
}

impl Context {
    /// Has a task begun soon. That nobody could be told is logged and no error: the sweep finds what is to be done.
    pub async fn start(&self, task: &Task) {
        let Some(tasks) = &self.tasks else { return };
        if let Err(error) = tasks.start(task).await {
            tracing::warn!(error = %error, cause = ?error, "a task waits for the sweep");
        }
    }
}

/// What the operator chose, as far as use cases need it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How clients reach us, without a slash at the end; the `iss` of decisions.
    pub base_url: String,
    /// How long an upload lives, in milliseconds.
    pub upload_expires_in_ms: i64,
    /// The largest upload, in bytes.
    pub upload_max_size_bytes: u64,
    /// Whether an artifact may be taken on the registrant's word alone.
    pub allow_declared: bool,
    /// What URLs may be registered where no repository is configured.
    pub url_rules: UrlRules,
    /// The repositories that are configured.
    pub repositories: Vec<Repository>,
    /// Where public managed artifacts are downloaded from instead, in the programs that send clients there.
    pub cdn: Option<Arc<dyn Cdn>>,
    /// How long a decision lives, in seconds.
    pub decision_lifetime: i64,
    /// How long a delegation lives, in seconds.
    pub delegation_lifetime: i64,
    /// How old a catalogue may be while the store answers, in milliseconds.
    pub catalogue_max_age_ms: i64,
    /// How old a catalogue may be while the store does not answer, in milliseconds.
    pub catalogue_max_stale_ms: i64,
    /// The largest upload, in bytes, whose copy is made while its uploader waits; a larger one is completed by a task.
    pub copy_at_once_max_bytes: u64,
    /// The size of a part, in bytes, below which uploads are not cut.
    pub least_part_bytes: u64,
    /// After how many bytes a hash under way is written down.
    pub slice_bytes: u64,
    /// How long one task hashes before it leaves the rest to another, in milliseconds.
    pub slice_budget_ms: i64,
    /// How long after the first failure an external check is made again, in milliseconds; it doubles up to an hour.
    pub recheck_first_ms: i64,
    /// The largest external artifact, in bytes, of which a copy is kept.
    pub escrow_max_size_bytes: u64,
    /// When things are cleaned up.
    pub gc: Gc,
    /// How long a whole reading of external bytes may take before it fails by itself.
    pub reading: Reading,
    /// How long external bytes may be read before the rest is left to another task; `None`: to their end.
    pub read_budget: Option<std::time::Duration>,
}

impl Settings {
    /// Whether nothing may be shown of what is found at a URL, but that it differs: it is read with credentials.
    pub fn conceals(&self, url: &ExternalUrl) -> bool {
        match pick(&self.repositories, url) {
            Ok(repository) => repository.is_some_and(|repository| repository.has_credentials),
            Err(_) => true,
        }
    }
}

/// How long a reading of external bytes may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Before the size counts, in milliseconds.
    pub base_ms: i64,
    /// The slowest rate, in bytes a second.
    pub bytes_per_second: u64,
}

impl Default for Reading {
    /// A minute, and what comes at 256 KiB a second.
    fn default() -> Self {
        Self { base_ms: 60_000, bytes_per_second: 256 * 1024 }
    }
}

impl Reading {
    /// The longest time for so many bytes, in milliseconds.
    pub fn longest_ms(self, size_bytes: u64) -> i64 {
        let of_size = size_bytes.saturating_mul(1_000) / self.bytes_per_second.max(1);
        self.base_ms.saturating_add(i64::try_from(of_size).unwrap_or(i64::MAX))
    }
}

/// When things are cleaned up, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gc {
    /// How long after the last it is begun by itself; 0: never.
    pub interval_ms: i64,
    /// How old something that nothing refers to must be.
    pub older_than_ms: i64,
    /// How long after the last of its releases was revoked an artifact keeps its bytes.
    pub revoked_after_ms: i64,
}

impl Default for Gc {
    /// Daily; what is a week old; thirty days.
    fn default() -> Self {
        const DAY_MS: i64 = 86_400_000;
        Self { interval_ms: DAY_MS, older_than_ms: 7 * DAY_MS, revoked_after_ms: 30 * DAY_MS }
    }
}

/// A configured repository, as far as use cases need it.
#[derive(Debug, Clone)]
pub struct Repository {
    /// What the operator calls it.
    pub name: String,
    /// The URLs that belong to it.
    pub prefix: crate::domain::external_url::RepositoryPrefix,
    /// Whether it is reached with credentials.
    pub has_credentials: bool,
    /// Whether it may be on a private network.
    pub allow_private: bool,
    /// The products whose releases may use it; `None` for all.
    pub products: Option<Vec<ProductId>>,
    /// Whether it gives out links to private files, so that clients need no credentials.
    pub gives_links: bool,
    /// Who gets these links, in the programs that hand them out.
    pub links: Option<Arc<dyn Links>>,
}

impl Repository {
    /// Whether it may be used for this product; whoever is limited to none may use it for any that it serves.
    pub fn serves(&self, product: Option<&ProductId>) -> bool {
        match (&self.products, product) {
            (Some(products), Some(product)) => products.contains(product),
            _ => true,
        }
    }
}

impl crate::domain::external_url::RepositoryRule for Repository {
    fn prefix(&self) -> &crate::domain::external_url::RepositoryPrefix {
        &self.prefix
    }

    fn allow_private(&self) -> bool {
        self.allow_private
    }
}

/// Who asks, and how it shows in the audit log.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The token.
    pub token_id: TokenId,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The tenant it is limited to.
    pub tenant_id: Option<TenantId>,
    /// The product it is limited to.
    pub product_id: Option<ProductId>,
    /// When it ends, Unix milliseconds.
    pub expires_at: Option<i64>,
    /// The request.
    pub request_id: String,
    /// The address that the request came from.
    pub source_ip: Option<String>,
}
