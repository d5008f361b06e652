//! Who may do what: tokens, their scopes and their limits.

use super::{
    context::{Caller, Context},
    error::AppError,
    keys,
    store::{Batch, Stored},
};
use crate::domain::{
    artifact::{Artifact, Use},
    ids::ArtifactId,
    names::{ProductId, TenantId},
    token::{Scope, Token, TokenText},
};
use crate::ports::items::Expect;

/// Finds out who brings a token.
///
/// # Errors
/// [`AppError::Unauthorized`], and those of the store.
pub async fn authenticate(context: &Context, text: &str) -> Result<Caller, AppError> {
    let text: TokenText = text
        .parse()
        .map_err(|_| AppError::Unauthorized("the token is mistyped, or not one of this service's"))?;
    let unknown = AppError::Unauthorized("the token is unknown or was revoked");
    let Some(Stored { value: token, .. }) = context.store.get::<Token>(keys::token(text.token_id)).await?
    else {
        return Err(unknown);
    };
    // Hashes are compared, not secrets: how long it takes says nothing about the token.
    if token.hash != text.hash() {
        return Err(unknown);
    }
    if token.expires_at.is_some_and(|end| end <= context.clock.now_ms()) {
        return Err(AppError::Unauthorized("the token has ended"));
    }
    Ok(Caller {
        token_id: token.token_id,
        scopes: token.scopes,
        tenant_id: token.tenant_id,
        product_id: token.product_id,
        expires_at: token.expires_at,
        request_id: String::new(),
        source_ip: None,
    })
}

impl Caller {
    /// Whether the token has the scope.
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Asks for a scope on a route that belongs to no tenant.
    ///
    /// # Errors
    /// [`AppError::ScopeMissing`], [`AppError::BeyondLimit`] for a token that is limited to a tenant.
    pub fn need(&self, scope: Scope) -> Result<(), AppError> {
        if self.tenant_id.is_some() {
            return Err(AppError::BeyondLimit("one tenant's routes"));
        }
        self.need_scope(scope)
    }

    /// Asks for a scope on a route of a tenant.
    ///
    /// # Errors
    /// [`AppError::ScopeMissing`], [`AppError::NotFound`] for a token that is limited to another tenant.
    pub fn need_for_tenant(&self, scope: Scope, tenant: &TenantId) -> Result<(), AppError> {
        self.need_scope(scope)?;
        match &self.tenant_id {
            Some(own) if own != tenant => Err(AppError::NotFound),
            Some(_) | None => Ok(()),
        }
    }

    fn need_scope(&self, scope: Scope) -> Result<(), AppError> {
        if self.has(scope) { Ok(()) } else { Err(AppError::ScopeMissing(scope)) }
    }

    /// Whether a product is within the token's limit.
    pub fn sees_product(&self, product: &ProductId) -> bool {
        self.product_id.as_ref().is_none_or(|own| own == product)
    }

    /// Asks that a product is within the token's limit.
    ///
    /// # Errors
    /// [`AppError::NotFound`]
    pub fn need_product(&self, product: &ProductId) -> Result<(), AppError> {
        if self.sees_product(product) { Ok(()) } else { Err(AppError::NotFound) }
    }

    /// Asks that the token is limited to no product.
    ///
    /// # Errors
    /// [`AppError::BeyondLimit`]
    pub fn need_no_product_limit(&self) -> Result<(), AppError> {
        if self.product_id.is_none() { Ok(()) } else { Err(AppError::BeyondLimit("one product")) }
    }
}

/// Reads an artifact that the caller may see: any, or with a product limit those it registered or that its product uses.
///
/// # Errors
/// [`AppError::NotFound`], and those of the store.
pub async fn artifact(
    context: &Context,
    caller: &Caller,
    id: ArtifactId,
) -> Result<Stored<Artifact>, AppError> {
    let found = context.store.get::<Artifact>(keys::artifact(id)).await?.ok_or(AppError::NotFound)?;
    if sees_artifact(context, caller, &found.value).await? { Ok(found) } else { Err(AppError::NotFound) }
}

/// Notes that a product-limited caller registered bytes that are an artifact already, so that it can use the artifact.
///
/// # Errors
/// [`AppError::Corrupt`]
pub fn note_registrant(
    batch: &mut Batch,
    product: Option<&ProductId>,
    artifact: ArtifactId,
) -> Result<(), AppError> {
    let Some(product) = product else { return Ok(()) };
    batch.put(keys::registrant(artifact, product), &serde_json::json!({}), Expect::Anything)
}

/// Whether the caller may see an artifact.
///
/// # Errors
/// Those of the store.
pub async fn sees_artifact(
    context: &Context,
    caller: &Caller,
    artifact: &Artifact,
) -> Result<bool, AppError> {
    let Some(product) = &caller.product_id else { return Ok(true) };
    if artifact.registered_by == caller.token_id || artifact.registered_for.as_ref() == Some(product) {
        return Ok(true);
    }
    let registrant = keys::registrant(artifact.artifact_id, product);
    if context.store.get_raw(&[registrant]).await?.iter().any(Option::is_some) {
        return Ok(true);
    }
    let partition = keys::of_artifact(artifact.artifact_id);
    let uses = context.store.query_all::<Use>(&partition, keys::USE).await?;
    Ok(uses.iter().any(|(_, stored)| stored.value.product_id == *product))
}
