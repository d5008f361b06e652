//! Links to external bytes that clients cannot read by themselves.

use std::fmt;

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

/// No link could be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no link could be signed")]
pub struct LinkError;

/// Who signs links to the objects of one repository. No request is made for it.
pub trait Links: fmt::Debug + Send + Sync {
    /// A link that leads to the bytes for some minutes, for whoever has it.
    ///
    /// # Errors
    /// [`LinkError`]
    fn link(&self, request: &LinkRequest<'_>) -> Result<String, LinkError>;
}
