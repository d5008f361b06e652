//! Everything that operators and release engineers manage: artifacts, products, releases, policies, tokens, the audit log,
//! cleaning up; and what answers where nothing else does.

use std::sync::Arc;

use axum::{
    Router,
    extract::{FromRef, RawQuery},
};
use shared::{
    app::context::{Caller, Context},
    http::{error::ApiError, query::Parameters},
    ports::objects::Objects,
};

mod artifacts;
mod audit;
mod gc;
mod keys;
mod policies;
mod products;
mod releases;
mod service;
mod tokens;

/// What this function needs.
#[derive(Debug, Clone)]
pub struct Ports {
    /// What every use case is given.
    pub context: Context,
    /// Who removes the bytes of deleted artifacts.
    pub objects: Arc<dyn Objects>,
    /// The ids of the signing keys that are configured; `None` where this process cannot know them.
    pub signing_keys: Option<Arc<[String]>>,
}

impl FromRef<Ports> for Context {
    fn from_ref(ports: &Ports) -> Self {
        ports.context.clone()
    }
}

/// The routes of this function.
pub fn router(ports: Ports) -> Router {
    Router::new()
        .merge(artifacts::router())
        .merge(products::router())
        .merge(releases::router())
        .merge(policies::router())
        .merge(tokens::router())
        .merge(audit::router())
        .merge(keys::router())
        .merge(gc::router())
        .merge(service::router())
        .with_state(ports)
}

/// A list's page: which list, after what, how long.
struct Page {
    parameters: Parameters,
    list: String,
    after: Option<String>,
    limit: usize,
}

impl Page {
    fn read(
        caller: &Caller,
        list: String,
        RawQuery(raw): RawQuery,
        filters: &[&str],
    ) -> Result<Self, ApiError> {
        let known = [filters, &["limit", "cursor"]].concat();
        let parameters = Parameters::read(raw.as_deref(), &known)?;
        let after = parameters.after(caller, &list)?;
        let limit = parameters.limit()?;
        Ok(Self { parameters, list, after, limit })
    }

    fn next(&self, caller: &Caller, sort: Option<String>) -> Option<String> {
        self.parameters.next(caller, &self.list, sort)
    }
}
