//! API tokens: making, listing, revoking, and the first one of a deployment.

use serde_json::json;

use super::{
    audit::{self, Entry},
    context::{Caller, Context},
    error::AppError,
    keys,
    store::{Batch, Stored, retrying, unchanged},
};
use crate::{
    domain::{
        digest::Sha256,
        ids::TokenId,
        names::{ProductId, TenantId},
        token::{Scope, Token, TokenText},
    },
    ports::items::{Expect, Query},
};

/// What a new token is to be.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Limited to this tenant's routes.
    pub tenant_id: Option<TenantId>,
    /// Limited to this product.
    pub product_id: Option<ProductId>,
    /// When it ends, Unix milliseconds.
    pub expires_at: Option<i64>,
}

/// Makes a token; its text is shown this once. A token grants only what it has.
///
/// # Errors
/// [`AppError::ScopeMissing`], [`AppError::BeyondLimit`], and those of the store.
pub async fn create(
    context: &Context,
    caller: &Caller,
    new: &NewToken,
) -> Result<(Token, TokenText), AppError> {
    if let Some(missing) = new.scopes.iter().find(|scope| !caller.has(**scope)) {
        return Err(AppError::ScopeMissing(*missing));
    }
    if caller.product_id.is_some() && caller.product_id != new.product_id {
        return Err(AppError::BeyondLimit("one product"));
    }
    let outlives = |end: i64| new.expires_at.is_none_or(|new| new > end);
    if caller.expires_at.is_some_and(outlives) {
        return Err(AppError::invalid("expires_at", "a token cannot outlive the one that makes it"));
    }
    let text = new_text(context)?;
    let token = describe(context, new, (text.token_id, text.hash()), Some(caller.token_id));
    store(context, Some(caller), &token, Batch::default()).await?;
    Ok((token, text))
}

fn describe(
    context: &Context,
    new: &NewToken,
    (token_id, hash): (TokenId, Sha256),
    by: Option<TokenId>,
) -> Token {
    Token {
        token_id,
        name: new.name.clone(),
        hash,
        scopes: new.scopes.clone(),
        tenant_id: new.tenant_id.clone(),
        product_id: new.product_id.clone(),
        created_at: context.clock.now_ms(),
        expires_at: new.expires_at,
        created_by: by,
    }
}

async fn store(
    context: &Context,
    caller: Option<&Caller>,
    token: &Token,
    mut batch: Batch,
) -> Result<(), AppError> {
    batch.put(keys::token(token.token_id), token, Expect::Absent)?;
    let after = json!({ "name": token.name, "scopes": token.scopes, "tenant_id": token.tenant_id,
        "product_id": token.product_id, "expires_at": token.expires_at });
    let subject = token.token_id.to_string();
    let entry = Entry { kind: "token.created", subject, before: None, after: Some(after) };
    audit::record(&mut batch, context, caller, entry)?;
    context.store.commit(batch).await
}

/// What a deployment without any token needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bootstrap {
    /// Nothing: there are tokens.
    Done,
    /// Its first token. One that was written down before a crash is as good as a new one.
    First,
    /// A new token, since all that there were have been revoked.
    Again,
}

/// Whether the deployment needs a token that can make others.
///
/// # Errors
/// Those of the store.
pub async fn bootstrap_needed(context: &Context) -> Result<Bootstrap, AppError> {
    let query = Query {
        partition: keys::TOKENS.into(),
        prefix: String::new(),
        after: None,
        limit: 1,
        descending: false,
    };
    if !context.store.query::<Token>(&query).await?.is_empty() {
        return Ok(Bootstrap::Done);
    }
    let before = context.store.get_raw(&[keys::bootstrap()]).await?.iter().any(Option::is_some);
    Ok(if before { Bootstrap::Again } else { Bootstrap::First })
}

/// The text of a token that is yet to be stored: write it where the operator finds it, then call [`bootstrap`].
///
/// # Errors
/// [`AppError::Entropy`]
pub fn new_text(context: &Context) -> Result<TokenText, AppError> {
    let mut random = [0_u8; 32];
    context.ids.secret(&mut random)?;
    Ok(TokenText::make(context.ids.token()?, &random))
}

/// Stores the first token of a deployment, with every scope.
///
/// # Errors
/// [`AppError::Raced`] where somebody else has made one, and those of the store.
pub async fn bootstrap(context: &Context, text: &TokenText) -> Result<(), AppError> {
    bootstrap_unseen(context, text.token_id, text.hash()).await
}

/// The same for a token whose text stays with the operator: its hash is all that is ever seen here. Doing it again with
/// the same token changes nothing.
///
/// # Errors
/// [`AppError::Raced`] where the deployment has another token, and those of the store.
pub async fn bootstrap_unseen(context: &Context, token_id: TokenId, hash: Sha256) -> Result<(), AppError> {
    // Read before the tokens are looked for: whoever makes one meanwhile changes it.
    let before: Option<Stored<serde_json::Value>> = context.store.get(keys::bootstrap()).await?;
    if bootstrap_needed(context).await? == Bootstrap::Done {
        let known: Option<Stored<Token>> = context.store.get(keys::token(token_id)).await?;
        return if known.is_some_and(|known| known.value.hash == hash) {
            Ok(())
        } else {
            Err(AppError::Raced)
        };
    }
    let new = NewToken {
        name: "bootstrap".into(),
        scopes: Scope::ALL.to_vec(),
        tenant_id: None,
        product_id: None,
        expires_at: None,
    };
    let token = describe(context, &new, (token_id, hash), None);
    let mut batch = Batch::default();
    batch.put(keys::bootstrap(), &json!({ "token_id": token.token_id }), unchanged(before.as_ref()))?;
    store(context, None, &token, batch).await
}

/// Tokens from the oldest to the newest, and the sort key to go on from.
///
/// # Errors
/// Those of the store.
pub async fn list(
    context: &Context,
    caller: &Caller,
    after: Option<String>,
    limit: usize,
) -> Result<(Vec<Token>, Option<String>), AppError> {
    let query =
        Query { partition: keys::TOKENS.into(), prefix: String::new(), after, limit, descending: false };
    let page = context.store.query::<Token>(&query).await?;
    let next = if page.len() < limit { None } else { page.last().map(|(sort, _)| sort.clone()) };
    let seen = |token: &Token| caller.product_id.is_none() || token.product_id == caller.product_id;
    Ok((page.into_iter().map(|(_, stored)| stored.value).filter(seen).collect(), next))
}

/// Revokes a token: the next request with it is refused.
///
/// # Errors
/// [`AppError::NotFound`], and those of the store.
pub async fn revoke(context: &Context, caller: &Caller, id: TokenId) -> Result<(), AppError> {
    retrying(|| async {
        let found = context.store.get::<Token>(keys::token(id)).await?.ok_or(AppError::NotFound)?;
        if caller.product_id.is_some() && found.value.product_id != caller.product_id {
            return Err(AppError::NotFound);
        }
        let mut batch = Batch::default();
        batch.delete(keys::token(id), found.unchanged());
        let before = json!({ "name": found.value.name, "scopes": found.value.scopes });
        let entry =
            Entry { kind: "token.revoked", subject: id.to_string(), before: Some(before), after: None };
        audit::record(&mut batch, context, Some(caller), entry)?;
        context.store.commit(batch).await
    })
    .await
}
