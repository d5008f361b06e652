//! What a command can fail with, how it is told, and the exit code it ends in.

use std::{error::Error, io, path::Path, path::PathBuf};

use client::ClientError;
use serde_json::{Value, json};

/// The command line, or a file that it names, is wrong.
pub(crate) const EXIT_USAGE: u8 = 2;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The service said no, in its own envelope.
    #[error("{message}")]
    Refused {
        status: u16,
        code: String,
        message: String,
        details: Option<Box<Value>>,
        request_id: Option<String>,
    },
    /// Nobody answered, or the answer broke off.
    #[error("cannot reach `{url}`")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    /// The service did answer, but the work had no end in time.
    #[error("{what} after {seconds} seconds")]
    TookTooLong { what: String, seconds: u64 },
    /// The answer is not what the interface promises.
    #[error("the answer is not understood: {0}")]
    NotUnderstood(String),
    /// Everything worked, and the answer is no.
    #[error("{message}")]
    Negative { code: String, message: String },
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// A file that the command line names cannot be used.
    #[error("cannot use `{}`", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The embedded client failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The service in this process failed.
    #[error("the service failed")]
    Service(#[source] Box<dyn Error + Send + Sync>),
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    pub(crate) fn negative(code: &str, message: impl Into<String>) -> Self {
        Self::Negative { code: code.to_owned(), message: message.into() }
    }

    /// Wraps an error of the file system around the path that it is about.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::File { path, source }
    }

    /// The stable word for it: the service's own where it said no.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } | Self::Negative { code, .. } => code,
            Self::Unreachable { .. } => "UNREACHABLE",
            Self::TookTooLong { .. } => "TIMEOUT",
            Self::NotUnderstood(_) => "NOT_UNDERSTOOD",
            Self::Usage(_) => "USAGE",
            Self::File { .. } => "FILE",
            Self::Service(_) => "SERVICE",
            Self::Client(error) => client_code(error),
        }
    }

    /// The HTTP status of a refusal.
    fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } | Self::Client(ClientError::Refused { status, .. }) => Some(*status),
            _ => None,
        }
    }

    fn request_id(&self) -> Option<&str> {
        match self {
            Self::Refused { request_id, .. } | Self::Client(ClientError::Refused { request_id, .. }) => {
                request_id.as_deref()
            }
            _ => None,
        }
    }

    /// The exit code, as `bp --help` and `docs/cli.md` list them.
    pub(crate) fn exit_code(&self) -> u8 {
        if let Some(status) = self.status() {
            return status_exit_code(status);
        }
        match self {
            Self::Usage(_) | Self::File { .. } | Self::Client(ClientError::BaseUrl { .. } | ClientError::Version(_)) => {
                EXIT_USAGE
            },
            Self::Unreachable { .. } | Self::TookTooLong { .. } | Self::Client(ClientError::Unreachable { .. }) => 3,
            _ => 1,
        }
    }

    /// What to do now, where there is something.
    pub(crate) fn next_step(&self) -> Option<&'static str> {
        next_step(self.code()).or_else(|| self.status().and_then(status_next_step))
    }

    /// For people: what happened, under which id, what to do.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("error: {}", self.with_sources());
        let code = self.code();
        if !code.is_empty() {
            let status = self.status().map(|status| format!("{status} ")).unwrap_or_default();
            text.push_str(&format!("\n  code: {status}{code}"));
        }
        if let Self::Refused { details: Some(details), .. } = self {
            text.push_str(&format!("\n  details: {details}"));
        }
        if let Some(id) = self.request_id() {
            text.push_str(&format!("\n  request id: {id}"));
        }
        if let Some(step) = self.next_step() {
            text.push_str(&format!("\n  next step: {step}"));
        }
        crate::table::printable_lines(&text)
    }

    /// For programs: the service's envelope, and what `bp` adds to it.
    pub(crate) fn to_json(&self) -> Value {
        let mut value = json!({
            "code": self.code(),
            "message": self.with_sources(),
            "exit_code": self.exit_code(),
        });
        if let Value::Object(members) = &mut value {
            let mut put = |name: &str, found: Option<Value>| {
                if let Some(found) = found {
                    members.insert(name.to_owned(), found);
                }
            };
            put("status", self.status().map(Value::from));
            put("request_id", self.request_id().map(Value::from));
            put("next_step", self.next_step().map(Value::from));
            if let Self::Refused { details: Some(details), .. } = self {
                put("details", Some((**details).clone()));
            }
        }
        value
    }

    fn with_sources(&self) -> String {
        with_sources(self)
    }
}

/// The message of an error with its causes, each once.
pub(crate) fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

fn client_code(error: &ClientError) -> &str {
    match error {
        ClientError::Refused { code, .. } => code,
        ClientError::BaseUrl { .. } => "USAGE",
        ClientError::Unreachable { .. } => "UNREACHABLE",
        ClientError::NotUnderstood { .. } => "NOT_UNDERSTOOD",
        ClientError::SizeMismatch { .. } => "SIZE_MISMATCH",
        ClientError::DigestMismatch { .. } => "CHECKSUM_MISMATCH",
        ClientError::File { .. } => "FILE",
        ClientError::Version(_) => "USAGE",
        ClientError::Tls(_) | ClientError::Randomness => "SYSTEM",
    }
}

fn status_exit_code(status: u16) -> u8 {
    match status {
        401 | 403 => 4,
        409 | 412 => 5,
        408 | 429 | 502 | 503 | 504 => 3,
        _ => 1,
    }
}

/// What to do about a stable code.
pub(crate) fn next_step(code: &str) -> Option<&'static str> {
    Some(match code {
        "UNREACHABLE" => "is the service running, and is --base-url (BP_BASE_URL) right? `bp health` asks it",
        "TIMEOUT" => "the work goes on without you: look again later, or run the same command again",
        "USAGE" => "`bp help` and `bp help COMMAND` show what is accepted",
        "UNAUTHORIZED" => "set BP_API_TOKEN (or --token-file) to a token that is neither expired nor revoked",
        "FORBIDDEN" => "use a token with the scope that this needs: `bp token create --scope …` with an admin's token",
        "ACCESS_DENIED" => "use a token with `artifacts:download`, or check the credentials of the repository",
        "NOT_FOUND" => "check the id; what a token may not see is not found either",
        "BAD_REQUEST" => "`bp` and the service may be of different versions: `bp --version`, `bp health`",
        "CHECKSUM_MISMATCH" => "the bytes are not the declared ones: hash the file again and start a new upload",
        "UPLOAD_FAILED" => "start again: `bp artifact upload FILE` begins a new upload",
        "UPLOAD_IN_PROGRESS" => "somebody is completing it already: `bp artifact upload-status UPLOAD` shows how far",
        "OBJECT_NOT_UPLOADED" => "no bytes have arrived: run `bp artifact upload FILE` again, it goes on where it was",
        "UPLOAD_EXPIRED" | "UPLOAD_ABORTED" => "the upload is over: `bp artifact upload FILE` begins a new one",
        "ARTIFACT_NOT_ACCESSIBLE" => "check that the url answers and may be read: `bp artifact verification ARTIFACT`",
        "ARTIFACT_NOT_AVAILABLE" => "`bp artifact show ARTIFACT` tells its state and why",
        "ARTIFACT_IN_USE" => "revoke the releases that name it first: `bp release revoke RELEASE --reason …`",
        "ARTIFACT_EXISTS" => "the same bytes are there with other access: use that artifact, its id is in the details",
        "ARTIFACT_REVOKED" => "these bytes were revoked for good: publish other bytes under a new version",
        "PRODUCT_EXISTS" => "`bp product show PRODUCT` shows the one that is there",
        "RELEASE_EXISTS" => "`bp release list PRODUCT` shows the release that has this version in this channel",
        "VERSION_USED" => "a version means one set of bytes for ever: publish these under a new version",
        "RELEASE_NOT_PUBLISHED" => "`bp release show RELEASE` tells its status and why",
        "RELEASE_REVOKED" => "a revoked release stays revoked: publish a new version",
        "RELEASE_REJECTED" => "see why (`bp artifact verification ARTIFACT`), then create it again: the version is free",
        "PRECONDITION_FAILED" => "somebody else changed it: read it again, then repeat with the new ETag",
        "IDEMPOTENCY_KEY_REUSED" => "the key belongs to another request: choose a new --idempotency-key",
        "IDEMPOTENCY_IN_PROGRESS" => "the same request is being worked on: run the command again in a minute",
        "INVALID_MEMBER" => "correct the member that the details name",
        "NOT_SUPPORTED_YET" => "this deployment cannot do that yet: leave the option out",
        "PAYLOAD_TOO_LARGE" => "shorten what you send: JSON bodies may have 1 MiB",
        "RATE_LIMITED" | "SERVICE_UNAVAILABLE" => "wait, then try again",
        "INTERNAL_ERROR" => "tell the operators the request id",
        _ => return None,
    })
}

/// What to do about a status whose code is not known here.
fn status_next_step(status: u16) -> Option<&'static str> {
    match status {
        401 => next_step("UNAUTHORIZED"),
        403 => next_step("FORBIDDEN"),
        404 => next_step("NOT_FOUND"),
        409 => Some("look at the present state, then decide"),
        412 => next_step("PRECONDITION_FAILED"),
        422 => Some("correct the member that the message names"),
        429 | 502..=504 => Some("wait, then try again"),
        500 => next_step("INTERNAL_ERROR"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> Failure {
        Failure::Refused {
            status,
            code: code.to_owned(),
            message: "what happened".to_owned(),
            details: None,
            request_id: Some("req-1".to_owned()),
        }
    }

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let codes = [
            (refused(401, "UNAUTHORIZED"), 4),
            (refused(403, "FORBIDDEN"), 4),
            (refused(404, "NOT_FOUND"), 1),
            (refused(409, "ARTIFACT_IN_USE"), 5),
            (refused(412, "PRECONDITION_FAILED"), 5),
            (refused(422, "CHECKSUM_MISMATCH"), 1),
            (refused(503, "UNAVAILABLE"), 3),
            (Failure::usage("no"), 2),
            (Failure::negative("EXPIRED", "no"), 1),
            (Failure::TookTooLong { what: "still verifying".to_owned(), seconds: 3 }, 3),
        ];
        for (failure, expected) in codes {
            assert_eq!(failure.exit_code(), expected, "{failure:?}");
        }
    }

    #[test]
    fn an_error_tells_what_happened_the_code_the_request_and_the_next_step() {
        let text = refused(409, "ARTIFACT_IN_USE").to_text();
        assert_eq!(
            text,
            "error: what happened\n  code: 409 ARTIFACT_IN_USE\n  request id: req-1\n  next step: revoke the \
             releases that name it first: `bp release revoke RELEASE --reason …`"
        );
    }

    #[test]
    fn an_unknown_code_still_gets_the_next_step_of_its_status() {
        assert_eq!(refused(422, "SOMETHING_NEW").next_step(), Some("correct the member that the message names"));
        assert_eq!(refused(418, "SOMETHING_NEW").next_step(), None);
    }

    #[test]
    fn the_json_of_an_error_holds_the_envelope_and_the_exit_code() {
        let value = refused(404, "NOT_FOUND").to_json();
        assert_eq!(value["code"], "NOT_FOUND");
        assert_eq!(value["status"], 404);
        assert_eq!(value["request_id"], "req-1");
        assert_eq!(value["exit_code"], 1);
    }

    #[test]
    fn a_message_cannot_write_to_the_terminal_as_it_likes() {
        let text = Failure::negative("X", "a\u{1b}[2Jb").to_text();
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}
