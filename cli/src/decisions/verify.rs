//! `bp decision verify`: offline, for scripts and for whoever does not believe.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use decision::verify::Expected;
use serde_json::{Map, Value};

use crate::clock;
use crate::context::read_object;
use crate::failure::Failure;
use crate::output::Output;

/// The members of an expectation.
const MEMBERS: [&str; 13] = [
    "now",
    "issuer",
    "product_id",
    "channel",
    "platform",
    "arch",
    "tenant_id",
    "installed_version",
    "nonce",
    "stored",
    "max_artifact_bytes",
    "allow_loopback_http",
    "installer_types",
];

/// What to verify against. The token is read from standard input.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The pinned keyset.
    #[arg(long, value_name = "FILE")]
    keyset: PathBuf,
    /// What was asked, as JSON: `now` (this moment where absent), `issuer`, `product_id`, `channel`, `platform`,
    /// `arch`, `tenant_id`, `installed_version`, `nonce`, `stored`, `max_artifact_bytes`.
    #[arg(long, value_name = "FILE")]
    expected: PathBuf,
}

/// Prints the exact payload, or fails with the reason.
pub(super) fn run(out: Output, args: &VerifyArgs) -> Result<(), Failure> {
    let keyset = std::fs::read(&args.keyset).map_err(Failure::file(&args.keyset))?;
    let keyset = super::keyset(&keyset)?;
    let expected = expected(read_object(&args.expected)?, clock::now())?;
    let verified = super::verified(&token_from_input()?, &keyset, &expected)?;
    out.line(&verified.payload_json)
}

/// Standard input less one new line at its end, which every shell adds.
fn token_from_input() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).map_err(Failure::file(Path::new("/dev/stdin")))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    String::from_utf8(bytes).map_err(|_| Failure::negative("TOKEN_BASE64", "the token is not even text"))
}

/// The expectation as it was written; a member that is not understood may be the one that matters.
fn expected(mut written: Map<String, Value>, now: i64) -> Result<Expected, Failure> {
    if let Some(name) = written.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
        return Err(Failure::usage(format!(
            "`{name}` is no member of an expectation: {}",
            MEMBERS.join(", ")
        )));
    }
    written.retain(|_, value| !value.is_null());
    written.entry("now").or_insert_with(|| Value::from(now));
    serde_json::from_value(Value::Object(written))
        .map_err(|error| Failure::usage(format!("the expectation is not well formed: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(value: &Value) -> Map<String, Value> {
        let base = json!({"issuer": "https://u", "product_id": "p", "channel": "stable", "platform": "linux",
            "arch": "x86_64", "installed_version": "1.0.0", "max_artifact_bytes": 10, "nonce": null});
        let mut members = base.as_object().unwrap().clone();
        members.extend(value.as_object().unwrap().clone());
        members
    }

    #[test]
    fn an_expectation_without_a_time_means_now() {
        assert_eq!(expected(written(&json!({})), 7).unwrap().now, 7);
        assert_eq!(expected(written(&json!({"now": 5})), 7).unwrap().now, 5);
    }

    #[test]
    fn a_member_that_is_not_understood_is_wrong_usage() {
        let failure = expected(written(&json!({"isuer": "x"})), 7).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.to_string().starts_with("`isuer` is no member"), "{failure}");
    }
}
