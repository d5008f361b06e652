//! What a command can fail with, how it is told, and the exit code it ends in.

mod next_step;

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
            Self::Usage(_)
            | Self::File { .. }
            | Self::Client(ClientError::BaseUrl { .. } | ClientError::Version(_)) => EXIT_USAGE,
            Self::Unreachable { .. }
            | Self::TookTooLong { .. }
            | Self::Client(ClientError::Unreachable { .. } | ClientError::TooSlow { .. }) => 3,
            _ => 1,
        }
    }

    /// What to do now, where there is something.
    pub(crate) fn next_step(&self) -> Option<&'static str> {
        next_step::of_code(self.code()).or_else(|| self.status().and_then(next_step::of_status))
    }

    /// For people: what happened, under which id, what to do.
    pub(crate) fn to_text(&self) -> String {
        let code = Some(self.code()).filter(|code| !code.is_empty());
        let status = self.status().map(|status| format!("{status} ")).unwrap_or_default();
        let details = match self {
            Self::Refused { details: Some(details), .. } => Some(details.to_string()),
            _ => None,
        };
        let lines = [
            Some(format!("error: {}", self.with_sources())),
            code.map(|code| format!("  code: {status}{code}")),
            details.map(|details| format!("  details: {details}")),
            self.request_id().map(|id| format!("  request id: {id}")),
            self.next_step().map(|step| format!("  next step: {step}")),
        ];
        let text = lines.into_iter().flatten().collect::<Vec<_>>().join("\n");
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
        ClientError::BaseUrl { .. } | ClientError::Version(_) => "USAGE",
        ClientError::Unreachable { .. } => "UNREACHABLE",
        ClientError::NotUnderstood { .. } => "NOT_UNDERSTOOD",
        ClientError::SizeMismatch { .. } => "SIZE_MISMATCH",
        ClientError::DigestMismatch { .. } => "CHECKSUM_MISMATCH",
        ClientError::File { .. } => "FILE",
        ClientError::TooSlow { .. } => "TIMEOUT",
        ClientError::DiskSpace { .. } => "DISK_SPACE",
        ClientError::Busy { .. } => "BUSY",
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
        assert_eq!(
            refused(422, "SOMETHING_NEW").next_step(),
            Some("correct the member that the message names")
        );
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
