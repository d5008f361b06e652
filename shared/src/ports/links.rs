//! Links to external bytes that clients cannot read by themselves.

use std::{fmt, time::Duration};

use async_trait::async_trait;

use super::fetcher::Cause;
use crate::domain::{artifact::Validators, external_url::ExternalUrl};

/// What a link is to lead to.
#[derive(Debug, Clone, Copy)]
pub struct LinkRequest<'a> {
    /// Where the bytes are.
    pub url: &'a ExternalUrl,
    /// What was said of them when they were proved: where the repository has versions, the link is to the proved one.
    pub validators: Option<&'a Validators>,
    /// The name that the download gets.
    pub file_name: Option<&'a str>,
    /// When this is, Unix milliseconds.
    pub now: i64,
}

/// There is no link. No message has anything that the repository said.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It could not be signed here.
    #[error("no link could be signed")]
    Unsigned,
    /// The repository, or who keeps its credentials, cannot be asked now.
    #[error("the repository cannot be asked for a link now")]
    Unavailable {
        /// How long it asks to wait.
        retry_after: Option<Duration>,
        /// The cause.
        #[source]
        cause: Cause,
    },
    /// The repository gives out none with these credentials, or none that may be passed on.
    #[error("the repository gives out no link: {reason}")]
    Refused {
        /// Why, for the operator.
        reason: String,
    },
}

/// Who gets links to the objects of one repository: signs them, or asks the repository.
#[async_trait]
pub trait Links: fmt::Debug + Send + Sync {
    /// A link that leads to the bytes for some minutes, for whoever has it.
    ///
    /// # Errors
    /// [`LinkError`]
    async fn link(&self, request: &LinkRequest<'_>) -> Result<String, LinkError>;
}
