//! `bp decision get`.

use std::path::PathBuf;

use clap::Args;
use decision::verify::Verified;
use serde_json::{Value, json};

use super::QuestionArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::{clock, table};

/// What to ask, and what to hold the answer against.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    question: QuestionArgs,
    /// The pinned keyset; without it the service's own is fetched, which proves no more than the transport.
    #[arg(long, value_name = "FILE")]
    keyset: Option<PathBuf>,
    /// The issuer that the decision must have; the base URL where none is given.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Ask without a nonce, as clients of a deployment with cached decisions do.
    #[arg(long)]
    no_nonce: bool,
    /// Show the token without verifying it.
    #[arg(long, conflicts_with_all = ["keyset", "issuer"])]
    no_verify: bool,
    /// Print the token alone.
    #[arg(long)]
    raw: bool,
}

/// Runs the command.
pub(super) async fn run(context: &Context, args: GetArgs) -> Result<(), Failure> {
    let client = context.api.client()?;
    let mut question = args.question.question();
    if !args.no_nonce {
        question = question.with_fresh_nonce()?;
    }
    let answer = client.ask(&question).await?;
    let (Some(product), Some(token)) = (question.products.first(), answer.tokens.first()) else {
        return Err(Failure::NotUnderstood("it has no decision".to_owned()));
    };
    if args.no_verify {
        context.out.note("not verified");
        return if args.raw { context.out.line(token) } else { show_unverified(context, token) };
    }
    let bytes = match &args.keyset {
        Some(path) => std::fs::read(path).map_err(Failure::file(path))?,
        None => client.unpinned_keyset().await?,
    };
    let mut expected = client.expected(&question, product, clock::now())?;
    // A user who names a plain loopback service has chosen development.
    expected.allow_loopback_http = context.api.is_plain_loopback();
    if let Some(issuer) = args.issuer {
        expected.issuer = issuer;
    }
    let verified = super::verified(token, &super::keyset(&bytes)?, &expected)?;
    if args.keyset.is_none() {
        context.out.note(
            "the keyset came from the service itself: it proves what the transport proves (--keyset FILE)",
        );
    }
    if args.raw {
        return context.out.line(token);
    }
    let answer = json!({
        "verified": true,
        "keyset": if args.keyset.is_some() { "pinned" } else { "fetched" },
        "decision": payload(&verified)?,
        "signature": token,
    });
    context.out.show(&answer, |answer| facts(table::member(answer, "decision"), token, "verified"))
}

/// The signed payload as JSON.
pub(crate) fn payload(verified: &Verified) -> Result<Value, Failure> {
    serde_json::from_str(&verified.payload_json).map_err(|error| Failure::NotUnderstood(error.to_string()))
}

fn show_unverified(context: &Context, token: &str) -> Result<(), Failure> {
    let answer = json!({ "verified": false, "signature": token });
    context
        .out
        .show(&answer, |_| table::facts(&[("token", abbreviated(token)), ("verified", "no".to_owned())]))
}

/// The facts of a decision for people.
pub(crate) fn facts(payload: &Value, token: &str, checked: &str) -> String {
    let at = |object: &str, name: &str| table::cell(table::member(table::member(payload, object), name));
    let member = |name: &str| table::cell(table::member(payload, name));
    let mut facts = vec![
        ("decision", member("jti")),
        ("product", member("product_id")),
        ("action", member("action")),
        ("reason", member("reason")),
        ("from", member("from_version")),
    ];
    if payload.get("release").is_some() {
        facts.extend([
            ("to", at("release", "version")),
            ("channel", at("release", "channel")),
            ("release", at("release", "release_id")),
            ("artifact", at("artifact", "artifact_id")),
            ("type", at("artifact", "installer_type")),
            ("size", at("artifact", "size_bytes")),
            ("sha256", at("artifact", "sha256")),
            ("url", at("artifact", "url")),
        ]);
    }
    facts.extend([("token", abbreviated(token)), ("signature", checked.to_owned())]);
    table::facts(&facts)
}

/// The beginning and the end of a token, and its length.
pub(crate) fn abbreviated(token: &str) -> String {
    const SHOWN: usize = 12;
    let length = token.chars().count();
    if length <= 3 * SHOWN {
        return token.to_owned();
    }
    let first: String = token.chars().take(SHOWN).collect();
    let last: String = token.chars().skip(length - SHOWN).collect();
    format!("{first}…{last} ({length} characters)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_token_is_abbreviated_and_a_short_one_is_not() {
        assert_eq!(abbreviated("short"), "short");
        let token = format!("{}{}", "a".repeat(50), "b".repeat(50));
        assert_eq!(abbreviated(&token), "aaaaaaaaaaaa…bbbbbbbbbbbb (100 characters)");
    }

    #[test]
    fn a_decision_for_no_update_shows_no_release() {
        let payload = json!({"jti": "dec_1", "product_id": "p", "action": "NONE", "reason": "UP_TO_DATE"});
        let text = facts(&payload, "t", "verified");
        assert!(text.contains("reason     UP_TO_DATE"), "{text}");
        assert!(!text.contains("sha256"), "{text}");
    }
}
