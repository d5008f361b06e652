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
    unavailable,
};
use crate::domain::{
    catalogue::Catalogue,
    decide::Question,
    ids::ArtifactId,
    names::{Channel, ProductId, TenantId},
    policy::{Policy, PolicyStack},
};
use crate::ports::items::ItemsUnavailable;

mod pages;

use self::pages::Pages;

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
    /// None, since it was read just now, when the clock showed this.
    Read(i64),
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
    pages: Pages,
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
    /// Whether everything that a question names is there: the product, the version as it was released in any channel, and
    /// the channel and the tenant where it names them. What anybody can invent is not.
    pub fn know(&self, question: &Question) -> bool {
        let Some(product) = &self.product else { return false };
        let channel = question.channel.as_ref();
        channel.is_none_or(|channel| product.catalogue.channel(channel).is_some())
            && (question.tenant_id.is_none() || self.tenant.is_some())
            && product.catalogue.has_version(&question.current_version)
    }

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
/// How often a change that is under way is waited for.
const MAX_TRIES: u64 = 16;
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
            // What was just read is current by definition, even if another commit happened while it was read, or the clock
            // was set.
            Ok(at_ms) => self
                .remembered(product, tenant, max_age, After::Read(at_ms))
                .ok_or(AppError::Internal("what was just read is not remembered")),
            Err(error @ (AppError::Items(_) | AppError::Busy)) => {
                self.failed_at.store(self.context.clock.now_ms(), Ordering::Relaxed);
                let max_stale = self.context.settings.catalogue_max_stale_ms;
                let facts = self.remembered(product, tenant, max_stale, After::Decisive).ok_or(error)?;
                tracing::warn!(
                    event = "decided_from_memory", product.id = %product, "the metadata store does not answer"
                );
                Ok(facts)
            }
            Err(other) => Err(other),
        }
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
                After::Read(at_ms) => return seen.at_ms == at_ms,
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

    /// Reads the heads in one call, and behind them only what has changed; answers with the time that is noted of it.
    async fn refresh(&self, product: &ProductId, tenant: Option<&TenantId>) -> Result<i64, AppError> {
        for attempt in 0..MAX_TRIES {
            let store = &self.context.store;
            let (own_commits, own_decisive) = (store.own_commits(), store.own_decisive());
            let seen = Seen { at_ms: self.context.clock.now_ms(), own_commits, own_decisive };
            let heads = Heads::read(store, product, tenant).await?;
            let unavailable = self.unavailable(&heads).await?;
            let prepared = self.prepare(product, &heads).await?;
            if let (Some(prepared), Some(unavailable)) = (prepared, unavailable) {
                self.remember((product, tenant), heads, prepared, unavailable, seen);
                return Ok(seen.at_ms);
            }
            // Somebody is in the middle of a change.
            tokio::time::sleep(Duration::from_millis(attempt)).await;
        }
        Err(AppError::Busy)
    }

    /// The product as its head has it; the outer `None` where its pages are being changed.
    async fn prepare(
        &self,
        id: &ProductId,
        heads: &Heads,
    ) -> Result<Option<Option<Arc<PreparedProduct>>>, AppError> {
        let Some(head) = &heads.product else { return Ok(Some(None)) };
        let known = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            state.products.get(id).map(|known| (known.revision, Arc::clone(&known.value)))
        };
        if let Some((_, known)) = known.as_ref().filter(|(revision, _)| *revision == head.revision) {
            return Ok(Some(Some(Arc::clone(known))));
        }
        let known = known.as_ref().map(|(_, known)| (&known.catalogue, &known.pages));
        let read = pages::read(&self.context.store, &head.value, known).await?;
        Ok(read.map(|(catalogue, pages)| {
            let policy = head.value.policy.clone();
            let restricted_channels = head.value.restricted_channels.clone();
            Some(Arc::new(PreparedProduct { catalogue, policy, restricted_channels, pages }))
        }))
    }

    /// What is withheld, as its head has it; `None` where it is being changed.
    async fn unavailable(&self, heads: &Heads) -> Result<Option<Arc<HashSet<ArtifactId>>>, AppError> {
        {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            let known =
                state.unavailable.as_ref().filter(|known| known.revision == heads.unavailable.revision);
            if let Some(known) = known {
                return Ok(Some(Arc::clone(&known.value)));
            }
        }
        let head = &heads.unavailable.value;
        let listed =
            if head.is_empty() { HashSet::new() } else { unavailable::list(&self.context.store).await? };
        Ok(head.is_of(&listed).then(|| Arc::new(listed)))
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
        state.unavailable = Some(Entry { value: unavailable, revision: heads.unavailable.revision, seen });
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
    unavailable: Stored<unavailable::Head>,
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
            unavailable: Store::record(next())?
                .unwrap_or(Stored { value: unavailable::Head::default(), revision: 0 }),
            product: Store::record(next())?,
            tenant: Store::record(next())?,
        })
    }
}
