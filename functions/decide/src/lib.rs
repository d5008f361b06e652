//! Decisions: `POST /v1/decision`, its explanation, what IT tools read, and the keyset that proves them.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{FromRef, Path, RawQuery, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::json;
use shared::{
    app::{
        context::{Caller, Context},
        decisions::Decider,
        keyset,
    },
    domain::{
        decide::{Answer, Explanation, Question},
        names::{ProductId, TenantId},
        token::Scope,
    },
    http::{
        auth::{Anyone, Authenticated},
        body::JsonBytes,
        error::ApiError,
        query::Parameters,
        text,
    },
};

mod request;
mod view;

/// What this function needs.
#[derive(Debug, Clone)]
pub struct Ports {
    /// What every use case is given.
    pub context: Context,
    /// Who answers.
    pub decider: Arc<Decider>,
}

impl FromRef<Ports> for Context {
    fn from_ref(ports: &Ports) -> Self {
        ports.context.clone()
    }
}

/// The routes of this function.
pub fn router(ports: Ports) -> Router {
    Router::new()
        .route("/v1/decision", post(decide))
        .route("/v1/decision/explain", post(explain))
        .route("/v1/tenants/{tenant}/update-decisions", get(update_decisions))
        .route("/v1/keyset", get(current_keyset))
        .route("/v1/keyset/{version}", get(keyset_version))
        .route("/.well-known/jwks.json", get(jwks))
        .with_state(ports)
}

async fn decide(
    State(ports): State<Ports>,
    Anyone(caller): Anyone,
    JsonBytes(bytes): JsonBytes,
) -> Result<Response, ApiError> {
    let asked = request::read(&bytes)?;
    // Written by hand: each row is its signed payload as it is, with the token added.
    let mut text = String::from("{\"decisions\":[");
    for (index, question) in asked.questions.iter().enumerate() {
        let restricted = caller.as_ref().is_some_and(|caller| sees_restricted(caller, question));
        let signed = ports.decider.answer(question, asked.nonce.as_deref(), restricted).await?;
        if index > 0 {
            text.push(',');
        }
        text.push_str(signed.payload_json.strip_suffix('}').unwrap_or(&signed.payload_json));
        text.push_str(",\"signature\":\"");
        text.push_str(&signed.token);
        text.push_str("\"}");
    }
    text.push_str("]}");
    Ok(json_text(Bytes::from(text), "no-store"))
}

/// Whether restricted channels are open to a token: within its limits alone.
fn sees_restricted(caller: &Caller, question: &Question) -> bool {
    let within_tenant = caller.tenant_id.is_none() || caller.tenant_id == question.tenant_id;
    caller.has(Scope::DecisionsRestricted) && within_tenant && caller.sees_product(&question.product_id)
}

fn json_text(text: Bytes, cache: &'static str) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json), (header::CACHE_CONTROL, HeaderValue::from_static(cache))], text)
        .into_response()
}

async fn explain(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    JsonBytes(bytes): JsonBytes,
) -> Result<Response, ApiError> {
    caller.need(Scope::AdminRead)?;
    let asked = request::read(&bytes)?;
    let mut decisions = Vec::with_capacity(asked.questions.len());
    for question in &asked.questions {
        caller.need_product(&question.product_id)?;
        let decider = &ports.decider;
        let restricted = sees_restricted(&caller, question);
        let show = |found: &Explanation<'_>| view::explanation(decider, question, found);
        decisions.push(decider.explain(question, restricted, show).await?);
    }
    Ok(Json(json!({ "decisions": decisions })).into_response())
}

/// A version that every `min_os_version` is below.
const NEWEST_OS: &str = "999999999999999999";

async fn update_decisions(
    State(ports): State<Ports>,
    Authenticated(caller): Authenticated,
    Path(tenant): Path<String>,
    RawQuery(raw): RawQuery,
) -> Result<Response, ApiError> {
    let tenant: TenantId = text::read_path(&tenant)?;
    caller.need_for_tenant(Scope::AdminRead, &tenant)?;
    let parameters =
        Parameters::read(raw.as_deref(), &["product_id", "platform", "arch", "current_version"])?;
    let product: ProductId = parameters.need("product_id")?;
    let question = Question {
        product_id: product,
        current_version: parameters.need("current_version")?,
        channel: None,
        tenant_id: Some(tenant),
        platform: parameters.need("platform")?,
        arch: parameters.need("arch")?,
        // The IT department knows its systems: it is shown what the newest could have, with what each artifact needs.
        os_version: Some(NEWEST_OS.to_owned()),
        installer_types: Vec::new(),
        client_id: None,
    };
    caller.need_product(&question.product_id)?;
    let decider = &ports.decider;
    let restricted = sees_restricted(&caller, &question);
    let show = |answer: &Answer<'_>| view::available(decider, &question, answer);
    let row = decider.available(&question, restricted, show).await?;
    Ok(Json(json!({ "decisions": [row] })).into_response())
}

const CACHE: [(header::HeaderName, HeaderValue); 1] =
    [(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"))];

/// What root keys have signed never changes.
const SIGNED_CACHE: [(header::HeaderName, HeaderValue); 1] =
    [(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"))];

async fn current_keyset(State(ports): State<Ports>) -> Result<Response, ApiError> {
    Ok((CACHE, Json(ports.decider.keyset().await?.as_ref())).into_response())
}

async fn keyset_version(
    State(ports): State<Ports>,
    Path(version): Path<String>,
) -> Result<Response, ApiError> {
    if let Some(version) = version.strip_suffix(".keyset") {
        let file = keyset::signed_file(&ports.context, text::read_path(version)?).await?;
        let jose = [(header::CONTENT_TYPE, HeaderValue::from_static("application/jose+json"))];
        return Ok((SIGNED_CACHE, jose, file).into_response());
    }
    let version: u64 = text::read_path(&version)?;
    Ok((CACHE, Json(keyset::version(&ports.context, version).await?)).into_response())
}

async fn jwks(State(ports): State<Ports>) -> Result<Response, ApiError> {
    Ok((CACHE, Json(ports.decider.keyset().await?.jwks(ports.context.clock.now()))).into_response())
}
