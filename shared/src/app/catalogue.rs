//! What decisions are made from, kept in memory: read again when it is old or this process has changed something.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use super::{
    context::Context,
    error::AppError,
    keys,
    policies::Tenant,
    products::{Deployment, Product},
    store::{Store, Stored},
};
use crate::domain::{
    catalogue::{Catalogue, CatalogueRelease},
    ids::ArtifactId,
    names::{Channel, ProductId, TenantId},
    policy::{Policy, PolicyStack},
};
use crate::ports::items::ItemsUnavailable;

/// When and at which counts of own commits something was last found to be current.
#[derive(Debug, Clone, Copy)]
struct Seen {
    at_ms: i64,
    own_commits: u64,
    own_decisive: u64,
}

/// After which of its own commits a process does not decide from memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// Any at all: reading again is cheap.
    Any,
    /// One that can alter a decision: a release that this process has revoked must not come back.
    Decisive,
    /// None, since it was read just now.
    None,
}

#[derive(Debug, Clone)]
struct Entry<T> {
    value: Arc<T>,
    revision: u64,
    seen: Seen,
}

/// A product, ready to be decided about.
#[derive(Debug)]
pub struct PreparedProduct {
    /// Its releases.
    pub catalogue: Catalogue,
    /// Its own policy.
    pub policy: Policy,
    /// The channels that look empty to most.
    pub restricted_channels: Vec<Channel>,
}

/// Everything that one question depends on.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Which products and tenants exist, and the global policy.
    pub deployment: Arc<Deployment>,
    /// The artifacts that no decision may name.
    pub unavailable: Arc<HashSet<ArtifactId>>,
    /// The product; `None` where it does not exist.
    pub product: Option<Arc<PreparedProduct>>,
    /// The tenant's policies; `None` where it has none.
    pub tenant: Option<Arc<Tenant>>,
    /// The counter that every change which can alter the answer raises: the sum of the revisions it depends on.
    pub seq: u64,
}

impl Facts {
    /// The policies that bear on a product's questions.
    pub fn policies<'a>(&'a self, product: &ProductId) -> PolicyStack<'a> {
        PolicyStack {
            tenant_product: self.tenant.as_ref().and_then(|tenant| tenant.products.get(product)),
            product: self.product.as_ref().map(|product| &product.policy),
            tenant: self.tenant.as_ref().map(|tenant| &tenant.policy),
            global: Some(&self.deployment.policy),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    deployment: Option<Entry<Deployment>>,
    unavailable: Option<Entry<HashSet<ArtifactId>>>,
    products: BTreeMap<ProductId, Entry<PreparedProduct>>,
    tenants: BTreeMap<TenantId, Entry<Tenant>>,
}

/// The catalogues of a process.
#[derive(Debug)]
pub struct Catalogues {
    context: Context,
    state: RwLock<State>,
    /// Held while reading the store, so that a thousand waiting requests read once.
    reading: tokio::sync::Mutex<()>,
    /// When the store last did not answer, Unix milliseconds: for a moment it is not asked again.
    failed_at: AtomicI64,
}

/// How long after a failure the store is left alone, in milliseconds.
const PAUSE_AFTER_FAILURE_MS: i64 = 1_000;
/// How long a read may take before memory is asked instead.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

impl Catalogues {
    /// Catalogues read from the context's store.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            state: RwLock::default(),
            reading: tokio::sync::Mutex::new(()),
            failed_at: AtomicI64::new(0),
        }
    }

    /// What a question about a product, for a tenant, depends on.
    ///
    /// # Errors
    /// [`AppError::Items`] where the store does not answer and what is remembered is too old.
    pub async fn facts(&self, product: &ProductId, tenant: Option<&TenantId>) -> Result<Facts, AppError> {
        let max_age = self.context.settings.catalogue_max_age_ms;
        if let Some(facts) = self.remembered(product, tenant, max_age, After::Any) {
            return Ok(facts);
        }
        if let Some(facts) = self.remembered_while_failing(product, tenant) {
            return Ok(facts);
        }
        let _reading = self.reading.lock().await;
        if let Some(facts) = self.remembered_while_failing(product, tenant) {
            return Ok(facts);
        }
        if let Some(facts) = self.remembered(product, tenant, max_age, After::Any) {
            return Ok(facts);
        }
        let late = || AppError::Items(ItemsUnavailable("it did not answer in time".into()));
        let refreshed = tokio::time::timeout(READ_TIMEOUT, self.refresh(product, tenant)).await;
        match refreshed.unwrap_or_else(|_| Err(late())) {
            Ok(()) => {}
            Err(error @ (AppError::Items(_) | AppError::Busy)) => {
                self.failed_at.store(self.context.clock.now_ms(), Ordering::Relaxed);
                let max_stale = self.context.settings.catalogue_max_stale_ms;
                let facts = self.remembered(product, tenant, max_stale, After::Decisive).ok_or(error)?;
                tracing::warn!(product.id = %product, "the metadata store does not answer: deciding from memory");
                return Ok(facts);
            }
            Err(other) => return Err(other),
        }
        // What was just read is current by definition, even if another commit happened while it was read.
        self.remembered(product, tenant, max_age.max(1_000), After::None)
            .ok_or(AppError::Internal("what was just read is not remembered"))
    }

    /// What is in memory, for a moment after the store did not answer: no request waits for it in vain.
    fn remembered_while_failing(&self, product: &ProductId, tenant: Option<&TenantId>) -> Option<Facts> {
        let since = self.context.clock.now_ms().saturating_sub(self.failed_at.load(Ordering::Relaxed));
        let failing = (0..PAUSE_AFTER_FAILURE_MS).contains(&since);
        let max_stale = self.context.settings.catalogue_max_stale_ms;
        failing.then(|| self.remembered(product, tenant, max_stale, After::Decisive)).flatten()
    }

    fn remembered(
        &self,
        product: &ProductId,
        tenant: Option<&TenantId>,
        max_age_ms: i64,
        after: After,
    ) -> Option<Facts> {
        let now = self.context.clock.now_ms();
        let store = &self.context.store;
        let (commits, decisive) = (store.own_commits(), store.own_decisive());
        let fresh = |seen: Seen| {
            // A clock that was set back makes nothing younger.
            let age = now.saturating_sub(seen.at_ms);
            let current = match after {
                After::Any => seen.own_commits == commits,
                After::Decisive => seen.own_decisive == decisive,
                After::None => true,
            };
            (0..=max_age_ms).contains(&age) && current
        };
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let deployment = state.deployment.as_ref().filter(|entry| fresh(entry.seen))?;
        let unavailable = state.unavailable.as_ref().filter(|entry| fresh(entry.seen))?;
        let mut seq = 1_u64.saturating_add(deployment.revision).saturating_add(unavailable.revision);
        let product = if deployment.value.products.contains(product) {
            let entry = state.products.get(product).filter(|entry| fresh(entry.seen))?;
            seq = seq.saturating_add(entry.revision);
            Some(Arc::clone(&entry.value))
        } else {
            None
        };
        let tenant = match tenant.filter(|tenant| deployment.value.tenants.contains(*tenant)) {
            Some(tenant) => {
                let entry = state.tenants.get(tenant).filter(|entry| fresh(entry.seen))?;
                seq = seq.saturating_add(entry.revision);
                Some(Arc::clone(&entry.value))
            }
            None => None,
        };
        let (deployment, unavailable) = (Arc::clone(&deployment.value), Arc::clone(&unavailable.value));
        Some(Facts { deployment, unavailable, product, tenant, seq })
    }

    /// Reads the heads in one call, and behind them only what has changed.
    async fn refresh(&self, product: &ProductId, tenant: Option<&TenantId>) -> Result<(), AppError> {
        for _ in 0..16 {
            let store = &self.context.store;
            let (own_commits, own_decisive) = (store.own_commits(), store.own_decisive());
            let seen = Seen { at_ms: self.context.clock.now_ms(), own_commits, own_decisive };
            let heads = Heads::read(store, product, tenant).await?;
            let prepared = self.prepare(product, &heads).await?;
            let unavailable = self.unavailable(&heads).await?;
            // Pages are read after their head: only if the heads stand still do they belong together.
            if Heads::read(store, product, tenant).await?.revisions() == heads.revisions() {
                self.remember((product, tenant), heads, prepared, unavailable, seen);
                return Ok(());
            }
        }
        Err(AppError::Busy)
    }

    async fn prepare(&self, id: &ProductId, heads: &Heads) -> Result<Option<Arc<PreparedProduct>>, AppError> {
        let Some(head) = &heads.product else { return Ok(None) };
        {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = state.products.get(id).filter(|known| known.revision == head.revision) {
                return Ok(Some(Arc::clone(&known.value)));
            }
        }
        let pages = self.context.store.query_all::<Vec<CatalogueRelease>>(&keys::catalogue(id), "").await?;
        let releases = pages.into_iter().flat_map(|(_, page)| page.value).collect();
        Ok(Some(Arc::new(PreparedProduct {
            catalogue: Catalogue::prepare(releases),
            policy: head.value.policy.clone(),
            restricted_channels: head.value.restricted_channels.clone(),
        })))
    }

    async fn unavailable(&self, heads: &Heads) -> Result<Arc<HashSet<ArtifactId>>, AppError> {
        {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            let known = state.unavailable.as_ref().filter(|known| known.revision == heads.unavailable);
            if let Some(known) = known {
                return Ok(Arc::clone(&known.value));
            }
        }
        let listed = self.context.store.query_all::<serde_json::Value>(keys::UNAVAILABLE, "").await?;
        Ok(Arc::new(listed.iter().filter_map(|(sort, _)| sort.parse().ok()).collect()))
    }

    fn remember(
        &self,
        (product, tenant): (&ProductId, Option<&TenantId>),
        heads: Heads,
        prepared: Option<Arc<PreparedProduct>>,
        unavailable: Arc<HashSet<ArtifactId>>,
        seen: Seen,
    ) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let entry =
            Entry { value: Arc::new(heads.deployment.value), revision: heads.deployment.revision, seen };
        state.deployment = Some(entry);
        state.unavailable = Some(Entry { value: unavailable, revision: heads.unavailable, seen });
        if let (Some(value), Some(head)) = (prepared, heads.product) {
            state.products.insert(product.clone(), Entry { value, revision: head.revision, seen });
        }
        if let (Some(tenant), Some(head)) = (tenant, heads.tenant) {
            let entry = Entry { value: Arc::new(head.value), revision: head.revision, seen };
            state.tenants.insert(tenant.clone(), entry);
        }
    }
}

/// The small items whose revisions make up `seq`.
#[derive(Debug)]
struct Heads {
    deployment: Stored<Deployment>,
    unavailable: u64,
    product: Option<Stored<Product>>,
    tenant: Option<Stored<Tenant>>,
}

impl Heads {
    async fn read(store: &Store, product: &ProductId, tenant: Option<&TenantId>) -> Result<Self, AppError> {
        let mut wanted = vec![keys::deployment(), keys::unavailable_head(), keys::product(product)];
        wanted.extend(tenant.map(keys::tenant));
        let items = store.get_raw(&wanted).await?;
        let mut items = items.iter().map(Option::as_ref);
        let mut next = || items.next().flatten();
        let nothing = || Stored { value: Deployment::default(), revision: 0 };
        Ok(Self {
            deployment: Store::record(next())?.unwrap_or_else(nothing),
            unavailable: next().map_or(0, |item| item.revision),
            product: Store::record(next())?,
            tenant: Store::record(next())?,
        })
    }

    fn revisions(&self) -> [u64; 4] {
        [
            self.deployment.revision,
            self.unavailable,
            self.product.as_ref().map_or(0, |head| head.revision),
            self.tenant.as_ref().map_or(0, |head| head.revision),
        ]
    }
}
