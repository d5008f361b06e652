//! Errors as callers see them: a status, a stable code, a sentence with the next step. Given out here alone.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    app::error::AppError,
    domain::upload::FailureCode,
    ports::{links::LinkError, objects::ReceiveError},
};

/// How many missing parts an answer names; the others are told when these are there.
const MAX_PARTS_TOLD: usize = 1_000;

/// The longest wait that is passed on from a repository, in seconds.
const MAX_RETRY_SECONDS: u64 = 3_600;

/// What is said where a store is to blame.
const SILENT: &str = "a store that this service depends on does not answer: try again later";

/// An error as callers see it. `http::layer` writes it into the envelope, with the request's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The status.
    pub status: StatusCode,
    /// The stable code.
    pub code: &'static str,
    /// What happened, and what to do.
    pub message: String,
    /// Facts for programs.
    pub details: Option<Value>,
    /// After how many seconds trying again makes sense.
    pub retry_after: Option<u64>,
}

impl ApiError {
    /// An error with this status, code and message.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: None, retry_after: None }
    }

    /// 400: the request cannot be read.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    /// 404: there is no such thing, or it may not be seen; the same words for both.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", AppError::NotFound.to_string())
    }

    /// 503: what the request depends on has taken too long.
    pub fn late() -> Self {
        tracing::error!(code = "UNAVAILABLE", "a request took too long and was given up");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", SILENT).after(5)
    }

    /// 422: a member of the request breaks a rule.
    pub fn invalid(member: &str, rule: impl std::fmt::Display) -> Self {
        AppError::invalid(member, rule).into()
    }

    fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    fn after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

/// Logs the cause of an error that is ours, and answers with nothing but its code.
fn ours(status: StatusCode, code: &'static str, message: &str, error: &AppError) -> ApiError {
    let mut causes = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        causes.push_str(": ");
        causes.push_str(&cause.to_string());
        source = cause.source();
    }
    let event = matches!(error, AppError::Signer(_)).then_some("signer_failed");
    tracing::error!(event, code, causes, "a request failed for a reason of ours");
    ApiError::new(status, code, message)
}

fn unavailable(error: &AppError) -> ApiError {
    ours(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", SILENT, error).after(5)
}

/// No link into a repository: what it said is for the log alone.
fn no_link(cause: &LinkError, error: &AppError) -> ApiError {
    match cause {
        LinkError::Unsigned => internal(error),
        LinkError::Unavailable { retry_after, .. } => {
            let message = "the repository that has this file does not answer now: try again later";
            let seconds = retry_after.map_or(5, |wait| wait.as_secs().clamp(1, MAX_RETRY_SECONDS));
            ours(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message, error).after(seconds)
        }
        LinkError::Refused { .. } => {
            let message = "the repository that has this file gives out no link to it: its credentials must be allowed to \
                           sign links, or the artifact is to be registered with `client_authenticates`";
            ours(StatusCode::CONFLICT, "LINK_REFUSED", message, error)
        }
    }
}

fn internal(error: &AppError) -> ApiError {
    let message = "something went wrong here: tell the operator the request id";
    ours(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", message, error)
}

fn failure_code(code: FailureCode) -> &'static str {
    match code {
        FailureCode::ChecksumMismatch => "CHECKSUM_MISMATCH",
        FailureCode::SizeMismatch => "SIZE_MISMATCH",
        FailureCode::UploadFailed => "UPLOAD_FAILED",
    }
}

/// The parts that are missing, the first of them by number.
fn missing(parts: &[u32]) -> Value {
    json!({ "missing_parts": parts.get(..MAX_PARTS_TOLD).unwrap_or(parts), "missing_count": parts.len() })
}

impl From<AppError> for ApiError {
    #[expect(clippy::too_many_lines, reason = "a line for each error, and none may be left out")]
    fn from(error: AppError) -> Self {
        use StatusCode as S;
        let plain = |status, code| Self::new(status, code, error.to_string());
        let of_member =
            |status, code, member: &str| plain(status, code).with_details(json!({ "member": member }));
        match &error {
            AppError::NotFound => plain(S::NOT_FOUND, "NOT_FOUND"),
            AppError::NotFoundMember(member) => of_member(S::NOT_FOUND, "NOT_FOUND", member),
            AppError::Unauthorized(_) => plain(S::UNAUTHORIZED, "UNAUTHORIZED"),
            AppError::ScopeMissing(scope) => {
                plain(S::FORBIDDEN, "FORBIDDEN").with_details(json!({ "scope": scope }))
            }
            AppError::BeyondLimit(_) => plain(S::FORBIDDEN, "FORBIDDEN"),
            AppError::Invalid { member, rule } => plain(S::UNPROCESSABLE_ENTITY, "INVALID_MEMBER")
                .with_details(json!({ "member": member, "rule": rule })),
            AppError::Url(rule) => {
                Self::new(S::UNPROCESSABLE_ENTITY, rule.code(), format!("`external_url`: {error}"))
                    .with_details(json!({ "member": "external_url", "rule": error.to_string() }))
            }
            AppError::OtherChecksum { .. } => plain(S::UNPROCESSABLE_ENTITY, "CHECKSUM_MISMATCH"),
            AppError::UploadFailed { code, .. } => plain(S::UNPROCESSABLE_ENTITY, failure_code(*code)),
            AppError::ObjectNotUploaded => plain(S::CONFLICT, "OBJECT_NOT_UPLOADED"),
            AppError::PartsMissing(parts) => {
                plain(S::CONFLICT, "OBJECT_NOT_UPLOADED").with_details(missing(parts))
            }
            AppError::UploadInProgress => plain(S::CONFLICT, "UPLOAD_IN_PROGRESS").after(1),
            AppError::UploadExpired => plain(S::GONE, "UPLOAD_EXPIRED"),
            AppError::UploadAborted => plain(S::GONE, "UPLOAD_ABORTED"),
            AppError::UploadCompleted => plain(S::CONFLICT, "UPLOAD_COMPLETED"),
            AppError::ArtifactExists { id, .. } => {
                plain(S::CONFLICT, "ARTIFACT_EXISTS").with_details(json!({ "artifact_id": id }))
            }
            AppError::ArtifactRevoked(id) => {
                plain(S::CONFLICT, "ARTIFACT_REVOKED").with_details(json!({ "artifact_id": id }))
            }
            AppError::ArtifactInUse(id) => {
                plain(S::CONFLICT, "ARTIFACT_IN_USE").with_details(json!({ "release_id": id }))
            }
            AppError::ArtifactNotAvailable { id, state, .. } => plain(S::CONFLICT, "ARTIFACT_NOT_AVAILABLE")
                .with_details(json!({ "artifact_id": id, "state": state })),
            AppError::ProductExists(_) => plain(S::CONFLICT, "PRODUCT_EXISTS"),
            AppError::ReleaseExists { id, .. } => {
                plain(S::CONFLICT, "RELEASE_EXISTS").with_details(json!({ "release_id": id }))
            }
            AppError::VersionUsed(_) => plain(S::CONFLICT, "VERSION_USED"),
            AppError::ReleaseRevoked => plain(S::CONFLICT, "RELEASE_REVOKED"),
            AppError::ReleaseNotPublished(_) => plain(S::CONFLICT, "RELEASE_NOT_PUBLISHED"),
            AppError::CleaningRefused(_) => plain(S::CONFLICT, "GC_REFUSED"),
            AppError::PreconditionFailed => plain(S::PRECONDITION_FAILED, "PRECONDITION_FAILED"),
            AppError::IdempotencyKeyReused => plain(S::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED"),
            AppError::IdempotencyInProgress => plain(S::CONFLICT, "IDEMPOTENCY_IN_PROGRESS").after(1),
            AppError::Busy | AppError::Raced => {
                Self::new(S::SERVICE_UNAVAILABLE, "UNAVAILABLE", AppError::Busy.to_string()).after(1)
            }
            AppError::Key(_) => plain(S::CONFLICT, "KEY_CONFLICT"),
            AppError::KeyNotConfigured(_) => plain(S::CONFLICT, "KEY_NOT_CONFIGURED"),
            AppError::SignedKeyset(rule) => plain(S::UNPROCESSABLE_ENTITY, "SIGNED_KEYSET_REFUSED")
                .with_details(json!({ "rule": rule.code() })),
            AppError::SigningBudget => plain(S::SERVICE_UNAVAILABLE, "UNAVAILABLE").after(1),
            AppError::Link(cause) => no_link(cause, &error),
            AppError::Items(_) | AppError::Objects(_) | AppError::Signer(_) => unavailable(&error),
            AppError::Entropy(_) | AppError::Corrupt { .. } | AppError::Internal(_) => internal(&error),
        }
    }
}

impl From<ReceiveError> for ApiError {
    fn from(error: ReceiveError) -> Self {
        use StatusCode as S;
        let message = error.to_string();
        match &error {
            ReceiveError::AccessDenied(_) => Self::new(S::FORBIDDEN, "ACCESS_DENIED", message),
            ReceiveError::AlreadyThere => Self::new(S::PRECONDITION_FAILED, "PRECONDITION_FAILED", message),
            ReceiveError::WrongSize { .. } => Self::new(S::UNPROCESSABLE_ENTITY, "SIZE_MISMATCH", message),
            ReceiveError::WrongDigest { .. } => {
                Self::new(S::UNPROCESSABLE_ENTITY, "CHECKSUM_MISMATCH", message)
            }
            ReceiveError::Interrupted => Self::bad_request(message),
            ReceiveError::Unavailable(cause) => {
                tracing::error!(error = %cause, "bytes that were sent could not be kept");
                Self::new(S::SERVICE_UNAVAILABLE, "UNAVAILABLE", message).after(5)
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}
