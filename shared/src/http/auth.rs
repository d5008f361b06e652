//! Who asks: reading the token of a request.

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{header, request::Parts},
};

use super::{
    error::ApiError,
    layer::{RequestId, TokenSlot, source_ip},
};
use crate::app::{
    access,
    context::{Caller, Context},
    error::AppError,
};

/// The caller of a route that needs a token.
#[derive(Debug)]
pub struct Authenticated(pub Caller);

/// The caller of a route that needs none; a token that is brought must be good all the same.
#[derive(Debug)]
pub struct Anyone(pub Option<Caller>);

async fn caller(parts: &Parts, context: &Context) -> Result<Option<Caller>, ApiError> {
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let refusal = || ApiError::from(AppError::Unauthorized("send one header `Authorization: Bearer TOKEN`"));
    let text = value.to_str().ok().filter(|_| values.next().is_none()).ok_or_else(refusal)?;
    let (scheme, token) = text.split_once(' ').ok_or_else(refusal)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(refusal());
    }
    let mut caller = access::authenticate(context, token.trim()).await?;
    caller.request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    caller.source_ip = source_ip(&parts.extensions);
    if let Some(slot) = parts.extensions.get::<TokenSlot>() {
        slot.get_or_init(|| caller.token_id);
    }
    Ok(Some(caller))
}

impl<S> FromRequestParts<S> for Authenticated
where
    S: Send + Sync,
    Context: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let context = Context::from_ref(state);
        let missing = AppError::Unauthorized("this needs a token: send `Authorization: Bearer TOKEN`");
        caller(parts, &context).await?.map(Self).ok_or_else(|| missing.into())
    }
}

impl<S> FromRequestParts<S> for Anyone
where
    S: Send + Sync,
    Context: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Self(caller(parts, &Context::from_ref(state)).await?))
    }
}
