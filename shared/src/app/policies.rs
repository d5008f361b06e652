//! Policies: four levels, each replaced as a whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::Digest;

use super::{
    audit::{self, Entry},
    context::{Caller, Context},
    error::AppError,
    keys,
    products::{Deployment, Product},
    store::{Batch, Stored, retrying, unchanged},
};
use crate::{
    domain::{
        digest::Sha256,
        names::{ProductId, TenantId},
        policy::Policy,
    },
    ports::items::{Expect, Query},
};

/// A tenant's policies: its own level, and one for each product. Every change raises the `seq` of its decisions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tenant {
    /// The tenant's own level.
    #[serde(default)]
    pub policy: Policy,
    /// The levels of the tenant's products.
    #[serde(default)]
    pub products: BTreeMap<ProductId, Policy>,
}

/// One of the four levels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Level {
    /// Everybody.
    Global,
    /// All clients of a product.
    Product(ProductId),
    /// All clients of a tenant.
    Tenant(TenantId),
    /// A tenant's clients of a product.
    TenantProduct(TenantId, ProductId),
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Global => f.write_str("global"),
            Self::Product(product) => write!(f, "product/{product}"),
            Self::Tenant(tenant) => write!(f, "tenant/{tenant}"),
            Self::TenantProduct(tenant, product) => write!(f, "tenant/{tenant}/product/{product}"),
        }
    }
}

/// The entity tag of a level: it names what is set, so that setting the same again is no change.
pub fn etag(policy: &Policy) -> String {
    let text = serde_json::to_vec(policy).unwrap_or_default();
    let digest = Sha256::from_bytes(sha2::Sha256::digest(&text).into()).to_string();
    format!("\"{}\"", digest.get(..32).unwrap_or(&digest))
}

fn limits(caller: &Caller, level: &Level) -> Result<(), AppError> {
    match level {
        Level::Global | Level::Tenant(_) => caller.need_no_product_limit(),
        Level::Product(product) | Level::TenantProduct(_, product) => caller.need_product(product),
    }
}

/// Reads a level; one that was never set is empty.
///
/// # Errors
/// [`AppError::NotFound`] for a product that does not exist, [`AppError::BeyondLimit`], and those of the store.
pub async fn read(context: &Context, caller: &Caller, level: &Level) -> Result<Policy, AppError> {
    limits(caller, level)?;
    match level {
        Level::Global => {
            let head: Option<Stored<Deployment>> = context.store.get(keys::deployment()).await?;
            Ok(head.map(|head| head.value.policy).unwrap_or_default())
        }
        Level::Product(product) => {
            let found: Option<Stored<Product>> = context.store.get(keys::product(product)).await?;
            Ok(found.ok_or(AppError::NotFound)?.value.policy)
        }
        Level::Tenant(tenant) => {
            Ok(tenant_record(context, tenant).await?.map(|t| t.value.policy).unwrap_or_default())
        }
        Level::TenantProduct(tenant, product) => {
            need_product_exists(context, product).await?;
            let found = tenant_record(context, tenant).await?;
            Ok(found.and_then(|mut tenant| tenant.value.products.remove(product)).unwrap_or_default())
        }
    }
}

async fn need_product_exists(context: &Context, product: &ProductId) -> Result<(), AppError> {
    let found: Option<Stored<Product>> = context.store.get(keys::product(product)).await?;
    found.map(|_| ()).ok_or(AppError::NotFound)
}

async fn tenant_record(context: &Context, tenant: &TenantId) -> Result<Option<Stored<Tenant>>, AppError> {
    context.store.get(keys::tenant(tenant)).await
}

/// Replaces a level as a whole.
///
/// # Errors
/// [`AppError::PreconditionFailed`] where `if_match` names another state, and as [`read`].
pub async fn replace(
    context: &Context,
    caller: &Caller,
    level: &Level,
    policy: &Policy,
    if_match: Option<&str>,
) -> Result<(), AppError> {
    retrying(|| async {
        let before = read(context, caller, level).await?;
        if if_match.is_some_and(|wanted| !matches_tag(wanted, &etag(&before))) {
            return Err(AppError::PreconditionFailed);
        }
        let mut batch = Batch::default();
        write(context, &mut batch, level, policy, &before).await?;
        let before = serde_json::to_value(&before).ok();
        let after = serde_json::to_value(policy).ok();
        let entry = Entry { kind: "policy.replaced", subject: format!("policy/{level}"), before, after };
        audit::record(&mut batch, context, Some(caller), entry)?;
        context.store.commit(batch).await
    })
    .await
}

fn matches_tag(wanted: &str, current: &str) -> bool {
    wanted.split(',').any(|tag| matches!(tag.trim(), tag if tag == "*" || tag == current))
}

/// Writes the level on condition that it is still as it was read before: the precondition holds at the commit too.
async fn write(
    context: &Context,
    batch: &mut Batch,
    level: &Level,
    policy: &Policy,
    before: &Policy,
) -> Result<(), AppError> {
    let same = |now: &Policy| if now == before { Ok(()) } else { Err(AppError::Raced) };
    match level {
        Level::Global => {
            let head: Option<Stored<Deployment>> = context.store.get(keys::deployment()).await?;
            let expect = unchanged(head.as_ref());
            let mut deployment = head.map(|head| head.value).unwrap_or_default();
            same(&deployment.policy)?;
            deployment.policy = policy.clone();
            batch.put(keys::deployment(), &deployment, expect)
        }
        Level::Product(id) => {
            let found: Option<Stored<Product>> = context.store.get(keys::product(id)).await?;
            let found = found.ok_or(AppError::NotFound)?;
            let expect = found.unchanged();
            let mut product = found.value;
            same(&product.policy)?;
            product.policy = policy.clone();
            batch.put(keys::product(id), &product, expect)
        }
        Level::Tenant(id) => {
            write_tenant(context, batch, id, |tenant| {
                same(&tenant.policy)?;
                tenant.policy = policy.clone();
                Ok(())
            })
            .await
        }
        Level::TenantProduct(id, product) => {
            write_tenant(context, batch, id, |tenant| {
                same(tenant.products.get(product).unwrap_or(&Policy::default()))?;
                tenant.products.insert(product.clone(), policy.clone());
                Ok(())
            })
            .await
        }
    }
}

async fn write_tenant(
    context: &Context,
    batch: &mut Batch,
    id: &TenantId,
    change: impl FnOnce(&mut Tenant) -> Result<(), AppError> + Send,
) -> Result<(), AppError> {
    let found = tenant_record(context, id).await?;
    let expect = unchanged(found.as_ref());
    if expect == Expect::Absent {
        let head: Option<Stored<Deployment>> = context.store.get(keys::deployment()).await?;
        let head_expect = unchanged(head.as_ref());
        let mut deployment = head.map(|head| head.value).unwrap_or_default();
        deployment.tenants.insert(id.clone());
        batch.put(keys::deployment(), &deployment, head_expect)?;
    }
    let mut tenant = found.map(|found| found.value).unwrap_or_default();
    change(&mut tenant)?;
    batch.put(keys::tenant(id), &tenant, expect)
}

/// The tenants that have policies, by name, and the sort key to go on from.
///
/// # Errors
/// [`AppError::BeyondLimit`], and those of the store.
pub async fn tenants(
    context: &Context,
    caller: &Caller,
    after: Option<String>,
    limit: usize,
) -> Result<(Vec<String>, Option<String>), AppError> {
    caller.need_no_product_limit()?;
    let query =
        Query { partition: keys::TENANTS.into(), prefix: String::new(), after, limit, descending: false };
    let page = context.store.query::<serde_json::Value>(&query).await?;
    let next = if page.len() < limit { None } else { page.last().map(|(sort, _)| sort.clone()) };
    Ok((page.into_iter().map(|(sort, _)| sort).collect(), next))
}
