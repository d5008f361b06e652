//! The heads of what decisions are made from: which of them are in memory, and reading the others.

use std::{collections::HashSet, sync::Arc};

use serde::de::DeserializeOwned;

use super::{Facts, PreparedProduct};
use crate::{
    app::{
        error::AppError,
        keys,
        policies::Tenant,
        products::{Deployment, Product},
        store::{Store, Stored},
        unavailable,
    },
    domain::{
        ids::ArtifactId,
        names::{ProductId, TenantId},
    },
    ports::items::{Item, Key},
};

/// When and at which counts of own commits something was last found to be current.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) at_ms: i64,
    pub(super) own_commits: u64,
    pub(super) own_decisive: u64,
}

#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) value: Arc<T>,
    pub(super) revision: u64,
    pub(super) seen: Seen,
}

impl<T> Entry<T> {
    pub(super) fn of(head: Stored<T>, seen: Seen) -> Self {
        Self { value: Arc::new(head.value), revision: head.revision, seen }
    }
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), ..*self }
    }
}

/// What a question depends on, as far as it is in memory. What all products share is read as often as one of them, and not
/// again with each.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) deployment: Option<Entry<Deployment>>,
    pub(super) unavailable: Option<Entry<HashSet<ArtifactId>>>,
    pub(super) product: Option<Entry<PreparedProduct>>,
    pub(super) tenant: Option<Entry<Tenant>>,
}

impl Known {
    /// All of it, where nothing that exists is missing.
    pub(super) fn facts(self, product: &ProductId, tenant: Option<&TenantId>) -> Option<Facts> {
        let (deployment, unavailable) = (self.deployment?, self.unavailable?);
        let mut seq = 1_u64.saturating_add(deployment.revision).saturating_add(unavailable.revision);
        let product = if deployment.value.products.contains(product) {
            let entry = self.product?;
            seq = seq.saturating_add(entry.revision);
            Some(entry.value)
        } else {
            None
        };
        let tenant = if tenant.is_some_and(|tenant| deployment.value.tenants.contains(tenant)) {
            let entry = self.tenant?;
            seq = seq.saturating_add(entry.revision);
            Some(entry.value)
        } else {
            None
        };
        Some(Facts { deployment: deployment.value, unavailable: unavailable.value, product, tenant, seq })
    }
}

/// The small items whose revisions make up `seq`, as far as they were read.
#[derive(Debug)]
pub(super) struct Heads {
    pub(super) deployment: Option<Stored<Deployment>>,
    pub(super) unavailable: Option<Stored<unavailable::Head>>,
    pub(super) product: Option<Stored<Product>>,
    pub(super) tenant: Option<Stored<Tenant>>,
}

impl Heads {
    /// Reads those that are not known.
    pub(super) async fn read(
        store: &Store,
        known: &Known,
        product: &ProductId,
        tenant: Option<&TenantId>,
    ) -> Result<Self, AppError> {
        let wanted = [
            known.deployment.is_none().then(keys::deployment),
            known.unavailable.is_none().then(keys::unavailable_head),
            known.product.is_none().then(|| keys::product(product)),
            tenant.filter(|_| known.tenant.is_none()).map(keys::tenant),
        ];
        let asked: Vec<Key> = wanted.iter().flatten().cloned().collect();
        let items = store.get_raw(&asked).await?;
        let mut items = items.iter().map(Option::as_ref);
        let [deployment, unavailable, product, tenant] =
            wanted.map(|key| key.map(|_| items.next().flatten()));
        Ok(Self {
            deployment: deployment.map(first).transpose()?,
            unavailable: unavailable.map(first).transpose()?,
            product: Store::record(product.flatten())?,
            tenant: Store::record(tenant.flatten())?,
        })
    }
}

/// A record that is there from the beginning, though nothing was written yet.
fn first<T: DeserializeOwned + Default>(item: Option<&Item>) -> Result<Stored<T>, AppError> {
    Ok(Store::record(item)?.unwrap_or(Stored { value: T::default(), revision: 0 }))
}
