//! `Idempotency-Key` on requests that create.

use std::future::Future;

use axum::http::{HeaderMap, Method, Uri};

use super::error::ApiError;
use crate::app::{
    context::{Caller, Context},
    error::AppError,
    idempotency::{Begun, Claim, Made, begin},
};

/// What identifies a request that creates.
#[derive(Debug, Clone, Copy)]
pub struct Creating<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path.
    pub uri: &'a Uri,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, as it came.
    pub body: &'a [u8],
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
/// 400 for a malformed key, 409 and 422 for a key in use, and those of the work.
pub async fn once<T, W, F>(
    context: &Context,
    caller: &Caller,
    creating: Creating<'_>,
    work: W,
) -> Result<Outcome<T>, ApiError>
where
    T: Send,
    W: FnOnce(Option<Claim>) -> F + Send,
    F: Future<Output = Result<T, AppError>> + Send,
{
    let Some(key) = key(creating.headers)? else { return Ok(Outcome::Now(work(None).await?)) };
    let request = (creating.method.as_str(), creating.uri.path());
    match begin(context, caller, request, &key, creating.body).await? {
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
