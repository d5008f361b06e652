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
    policies::Tenant,
    products::{Deployment, Product},
    store::Stored,
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

mod known;
mod pages;

use self::{
    known::{Entry, Heads, Known, Seen},
    pages::Pages,
};

/// After which of its own commits a process does not decide from memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// Any at all: reading again is cheap.
    Any,
    /// One that can alter a decision: a release that this process has revoked must not come back.
    Decisive,
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
    /// When the store was last silent, Unix milliseconds: for a moment it is not asked again.
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
        let late = || AppError::Items(ItemsUnavailable::Silent("it did not answer in time".into()));
        let refreshed = tokio::time::timeout(READ_TIMEOUT, self.refresh(product, tenant)).await;
        match refreshed.unwrap_or_else(|_| Err(late())) {
            // What was just read is current by definition, even if another commit happened while it was read, or the clock
            // was set.
            Ok(facts) => Ok(facts),
            // Where it answers and refuses, or others are in the middle of changes, they may be revoking: then nothing
            // older than a catalogue may be is given.
            Err(error @ AppError::Items(ItemsUnavailable::Silent(_))) => {
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
        self.known(product, tenant, max_age_ms, after).facts(product, tenant)
    }

    /// What is in memory and fresh.
    fn known(&self, product: &ProductId, tenant: Option<&TenantId>, max_age_ms: i64, after: After) -> Known {
        let now = self.context.clock.now_ms();
        let store = &self.context.store;
        let (commits, decisive) = (store.own_commits(), store.own_decisive());
        let fresh = |seen: Seen| {
            // A clock that was set back makes nothing younger.
            let age = now.saturating_sub(seen.at_ms);
            let current = match after {
                After::Any => seen.own_commits == commits,
                After::Decisive => seen.own_decisive == decisive,
            };
            (0..=max_age_ms).contains(&age) && current
        };
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        Known {
            deployment: state.deployment.as_ref().filter(|entry| fresh(entry.seen)).cloned(),
            unavailable: state.unavailable.as_ref().filter(|entry| fresh(entry.seen)).cloned(),
            product: state.products.get(product).filter(|entry| fresh(entry.seen)).cloned(),
            tenant: tenant
                .and_then(|tenant| state.tenants.get(tenant))
                .filter(|entry| fresh(entry.seen))
                .cloned(),
        }
    }

    /// Reads in one call the heads that are not known to be current, and behind them only what has changed.
    async fn refresh(&self, product: &ProductId, tenant: Option<&TenantId>) -> Result<Facts, AppError> {
        for attempt in 0..MAX_TRIES {
            let store = &self.context.store;
            let (own_commits, own_decisive) = (store.own_commits(), store.own_decisive());
            let seen = Seen { at_ms: self.context.clock.now_ms(), own_commits, own_decisive };
            let max_age = self.context.settings.catalogue_max_age_ms;
            let known = self.known(product, tenant, max_age, After::Any);
            let heads = Heads::read(store, &known, product, tenant).await?;
            if let Some(known) = self.behind(heads, known, product, seen).await? {
                self.remember((product, tenant), &known);
                let nothing = AppError::Internal("a product that the deployment lists is not there");
                return known.facts(product, tenant).ok_or(nothing);
            }
            // Somebody is in the middle of a change.
            tokio::time::sleep(Duration::from_millis(attempt)).await;
        }
        Err(AppError::Busy)
    }

    /// What is known, and what the heads that were read stand for; `None` where that is being changed.
    async fn behind(
        &self,
        heads: Heads,
        known: Known,
        product: &ProductId,
        seen: Seen,
    ) -> Result<Option<Known>, AppError> {
        let unavailable = match &heads.unavailable {
            Some(head) => match self.unavailable(head).await? {
                Some(value) => Some(Entry { value, revision: head.revision, seen }),
                None => return Ok(None),
            },
            None => known.unavailable,
        };
        let product = match &heads.product {
            Some(head) => match self.prepare(product, head).await? {
                Some(value) => Some(Entry { value, revision: head.revision, seen }),
                None => return Ok(None),
            },
            None => known.product,
        };
        let deployment = heads.deployment.map(|head| Entry::of(head, seen)).or(known.deployment);
        let tenant = heads.tenant.map(|head| Entry::of(head, seen)).or(known.tenant);
        Ok(Some(Known { deployment, unavailable, product, tenant }))
    }

    /// The product as its head has it; `None` where its pages are being changed.
    async fn prepare(
        &self,
        id: &ProductId,
        head: &Stored<Product>,
    ) -> Result<Option<Arc<PreparedProduct>>, AppError> {
        let known = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            state.products.get(id).map(|known| (known.revision, Arc::clone(&known.value)))
        };
        if let Some((_, known)) = known.as_ref().filter(|(revision, _)| *revision == head.revision) {
            return Ok(Some(Arc::clone(known)));
        }
        let known = known.as_ref().map(|(_, known)| (&known.catalogue, &known.pages));
        let read = pages::read(&self.context.store, &head.value, known).await?;
        Ok(read.map(|(catalogue, pages)| {
            let policy = head.value.policy.clone();
            let restricted_channels = head.value.restricted_channels.clone();
            Arc::new(PreparedProduct { catalogue, policy, restricted_channels, pages })
        }))
    }

    /// What is withheld, as its head has it; `None` where it is being changed.
    async fn unavailable(
        &self,
        head: &Stored<unavailable::Head>,
    ) -> Result<Option<Arc<HashSet<ArtifactId>>>, AppError> {
        {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            let known = state.unavailable.as_ref().filter(|known| known.revision == head.revision);
            if let Some(known) = known {
                return Ok(Some(Arc::clone(&known.value)));
            }
        }
        let head = &head.value;
        let listed =
            if head.is_empty() { HashSet::new() } else { unavailable::list(&self.context.store).await? };
        Ok(head.is_of(&listed).then(|| Arc::new(listed)))
    }

    fn remember(&self, (product, tenant): (&ProductId, Option<&TenantId>), known: &Known) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.deployment.clone_from(&known.deployment);
        state.unavailable.clone_from(&known.unavailable);
        if let Some(entry) = &known.product {
            state.products.insert(product.clone(), entry.clone());
        }
        if let (Some(tenant), Some(entry)) = (tenant, &known.tenant) {
            state.tenants.insert(tenant.clone(), entry.clone());
        }
    }
}
