//! `Idempotency-Key` on requests that create.

use std::future::Future;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::HeaderMap,
};

use super::{body::JsonBytes, error::ApiError};
use crate::app::{
    context::{Caller, Context},
    error::AppError,
    idempotency::{Begun, Claim, Made, begin},
};

/// A request that creates: its body as it came, and what makes the same request the same.
#[derive(Debug, Clone)]
pub struct Creating {
    /// The body, JSON.
    pub body: Bytes,
    method: String,
    path: String,
    key: Option<String>,
}

impl<S: Send + Sync> FromRequest<S> for Creating {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        let key = key(request.headers())?;
        let JsonBytes(body) = JsonBytes::from_request(request, state).await?;
        Ok(Self { body, method, path, key })
    }
}

/// What a request came to.
#[derive(Debug)]
pub enum Outcome<T> {
    /// It was done now.
    Now(T),
    /// It was done before, and made this.
    Before(Made),
}

/// Does the work once for each key: the first request does it, with the claim in its creating transaction.
///
/// # Errors
/// 409 and 422 for a key in use, and those of the work.
pub async fn once<T, W, F>(
    context: &Context,
    caller: &Caller,
    request: &Creating,
    work: W,
) -> Result<Outcome<T>, ApiError>
where
    T: Send,
    W: FnOnce(Option<Claim>) -> F + Send,
    F: Future<Output = Result<T, AppError>> + Send,
{
    let Some(key) = &request.key else { return Ok(Outcome::Now(work(None).await?)) };
    match begin(context, caller, (&request.method, &request.path), key, &request.body).await? {
        Begun::Again(made) => Ok(Outcome::Before(made)),
        Begun::First(claim) => match work(Some(claim.clone())).await {
            Ok(done) => Ok(Outcome::Now(done)),
            Err(error) => {
                claim.release(context).await;
                Err(error.into())
            }
        },
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let refusal =
        || ApiError::bad_request("`Idempotency-Key` is one header of 1 to 255 visible ASCII characters");
    let text = value.to_str().ok().filter(|_| values.next().is_none()).ok_or_else(refusal)?;
    let good = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if good { Ok(Some(text.to_owned())) } else { Err(refusal()) }
}
