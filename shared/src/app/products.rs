//! Products and the head of the deployment.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    audit::{self, Entry},
    context::{Caller, Context},
    error::AppError,
    idempotency::{Claim, Made},
    keys,
    store::{Batch, Stored, retrying, unchanged},
};
use crate::{
    domain::{
        names::{Channel, ProductId, TenantId},
        policy::Policy,
    },
    ports::items::{Expect, Query},
};

/// A product, with its policy and the head of its catalogue. Every change of it raises the `seq` of its decisions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// Its name.
    pub product_id: ProductId,
    /// What people call it.
    pub name: Option<String>,
    /// Channels that look empty without a token that has `decisions:restricted`.
    #[serde(default)]
    pub restricted_channels: Vec<Channel>,
    /// When it was made, Unix milliseconds.
    pub created_at: i64,
    /// The policy of this level.
    #[serde(default)]
    pub policy: Policy,
    /// The revision of each page of the catalogue; the last page takes the next release.
    #[serde(default)]
    pub pages: Vec<u64>,
    /// How many artifacts the releases of the last page name.
    #[serde(default)]
    pub page_artifacts: u32,
}

/// Which products and tenants exist, and the global policy: names that have nothing behind them cost no read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// The products.
    #[serde(default)]
    pub products: BTreeSet<ProductId>,
    /// The tenants with policies.
    #[serde(default)]
    pub tenants: BTreeSet<TenantId>,
    /// The global policy.
    #[serde(default)]
    pub policy: Policy,
}

/// Makes a product.
///
/// # Errors
/// [`AppError::ProductExists`], [`AppError::BeyondLimit`], and those of the store.
pub async fn create(
    context: &Context,
    caller: &Caller,
    (product_id, name): (&ProductId, Option<String>),
    restricted_channels: &[Channel],
    claim: Option<&Claim>,
) -> Result<Product, AppError> {
    caller.need_no_product_limit()?;
    retrying(|| async {
        let found: Option<Stored<Product>> = context.store.get(keys::product(product_id)).await?;
        if found.is_some() {
            return Err(AppError::ProductExists(product_id.to_string()));
        }
        let product = Product {
            product_id: product_id.clone(),
            name: name.clone(),
            restricted_channels: restricted_channels.to_vec(),
            created_at: context.clock.now_ms(),
            policy: Policy::default(),
            pages: Vec::new(),
            page_artifacts: 0,
        };
        let head: Option<Stored<Deployment>> = context.store.get(keys::deployment()).await?;
        let expect = unchanged(head.as_ref());
        let mut deployment = head.map(|head| head.value).unwrap_or_default();
        deployment.products.insert(product_id.clone());
        let mut batch = Batch::default();
        batch.put(keys::product(product_id), &product, Expect::Absent)?;
        batch.put(keys::deployment(), &deployment, expect)?;
        let after = json!({ "name": product.name, "restricted_channels": product.restricted_channels });
        let subject = product_id.to_string();
        let entry = Entry { kind: "product.created", subject, before: None, after: Some(after) };
        audit::record(&mut batch, context, Some(caller), entry)?;
        if let Some(claim) = claim {
            claim.made(&mut batch, context, Made::Product(product_id.clone()))?;
        }
        context.store.commit(batch).await?;
        Ok(product)
    })
    .await
}

/// Reads a product that the caller may see.
///
/// # Errors
/// [`AppError::NotFound`], and those of the store.
pub async fn find(context: &Context, caller: &Caller, id: &ProductId) -> Result<Stored<Product>, AppError> {
    caller.need_product(id)?;
    context.store.get(keys::product(id)).await?.ok_or(AppError::NotFound)
}

/// Products by name, and the sort key to go on from.
///
/// # Errors
/// Those of the store.
pub async fn list(
    context: &Context,
    caller: &Caller,
    after: Option<String>,
    limit: usize,
) -> Result<(Vec<Product>, Option<String>), AppError> {
    if let Some(own) = &caller.product_id {
        let found = context.store.get::<Product>(keys::product(own)).await?;
        let beyond = after.is_some_and(|after| after.as_str() >= own.as_str());
        return Ok((found.into_iter().filter(|_| !beyond).map(|stored| stored.value).collect(), None));
    }
    let query =
        Query { partition: keys::PRODUCTS.into(), prefix: String::new(), after, limit, descending: false };
    let page = context.store.query::<Product>(&query).await?;
    let next = if page.len() < limit { None } else { page.last().map(|(sort, _)| sort.clone()) };
    Ok((page.into_iter().map(|(_, stored)| stored.value).collect(), next))
}
