//! `bp release create`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Number, Value, json};

use super::release_facts;
use super::spec::{ArtifactSpec, artifact_spec, platform_arch};
use crate::api::Call;
use crate::context::{Context, Idempotency, put, read_text};
use crate::failure::Failure;
use crate::wait::Deadline;
use crate::words::percentage;
use crate::{progress, table};

/// How often the status is asked for while waiting.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What to release.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// The product.
    #[arg(long)]
    product: String,
    /// The version, such as 1.4.0 or 2.0.0-beta.1.
    #[arg(long)]
    version: String,
    /// The channel.
    #[arg(long)]
    channel: String,
    /// An artifact and where it runs, in order of preference; may be repeated.
    #[arg(
        long = "artifact",
        required = true,
        value_name = "ID:PLATFORM/ARCH/TYPE[:min_os=VERSION][:admin]",
        value_parser = artifact_spec
    )]
    artifacts: Vec<ArtifactSpec>,
    /// The release notes.
    #[arg(long, value_name = "TEXT")]
    notes: Option<String>,
    /// Read the release notes from this file (`-`: standard input).
    #[arg(long, value_name = "FILE", conflicts_with = "notes")]
    notes_file: Option<PathBuf>,
    /// The percentage of clients that are offered it; all where none is given.
    #[arg(long, value_parser = percentage, value_name = "PERCENTAGE")]
    rollout: Option<Number>,
    /// Clients below this version must take a step in between.
    #[arg(long, value_name = "VERSION")]
    min_from: Option<String>,
    /// Once this is installed, no version below this one may ever be.
    #[arg(long, value_name = "VERSION")]
    floor: Option<String>,
    /// Tell clients that it is critical.
    #[arg(long)]
    critical: bool,
    /// Refuse the release unless it has an artifact for this platform/arch; may be repeated.
    #[arg(long = "require", value_name = "PLATFORM/ARCH", value_parser = platform_arch)]
    require_platforms: Vec<String>,
    /// Wait until it is published or rejected.
    #[arg(long)]
    wait: bool,
    /// How long to wait, in seconds.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    timeout: u64,
    #[command(flatten)]
    idempotency: Idempotency,
}

/// Runs the command.
pub(super) async fn run(context: &Context, args: CreateArgs) -> Result<(), Failure> {
    let notes = match (args.notes, &args.notes_file) {
        (None, Some(path)) => Some(read_text(path)?),
        (notes, _) => notes,
    };
    let mut body = Map::new();
    put(&mut body, "product_id", Some(args.product));
    put(&mut body, "version", Some(args.version));
    put(&mut body, "channel", Some(args.channel));
    put(&mut body, "artifacts", Some(args.artifacts.into_iter().map(Value::from).collect::<Vec<_>>()));
    put(&mut body, "release_notes", notes);
    put(&mut body, "rollout", args.rollout.map(|percentage| json!({ "percentage": percentage })));
    put(&mut body, "min_from_version", args.min_from);
    put(&mut body, "floor", args.floor);
    put(&mut body, "critical", args.critical.then_some(true));
    put(&mut body, "require_platforms", Some(args.require_platforms).filter(|list| !list.is_empty()));
    let call = Call::post(&["v1", "releases"], Value::Object(body)).idempotency_key(args.idempotency.key()?);
    let mut release = context.api.json(call).await?;
    if args.wait {
        release = until_decided(context, release, Duration::from_secs(args.timeout)).await?;
    }
    context.out.show(&release, release_facts)?;
    outcome(&release, args.wait)
}

async fn until_decided(context: &Context, mut release: Value, limit: Duration) -> Result<Value, Failure> {
    let deadline = Deadline::after(limit);
    let bar = progress::waiting(context.out, "publishing");
    while table::member(&release, "status").as_str().is_some_and(|status| status.starts_with("pending_")) {
        let id = table::cell(table::member(&release, "release_id"));
        bar.tick();
        deadline.pause(LOOK_AGAIN, &format!("`{id}` is still pending")).await?;
        release = context.api.json(Call::get(&["v1", "releases", &id])).await?;
    }
    bar.finish_and_clear();
    Ok(release)
}

/// A release that will not be offered is a failure; one that is still pending only where publication was awaited.
fn outcome(release: &Value, awaited: bool) -> Result<(), Failure> {
    let member = |name: &str| table::cell(table::member(release, name));
    match member("status").as_str() {
        "rejected" => {
            let message = format!("the release is rejected: {}", member("rejected_reason"));
            Err(Failure::negative("RELEASE_REJECTED", message))
        }
        "revoked" if awaited => Err(Failure::negative("RELEASE_REVOKED", "the release was revoked")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_release_is_a_negative_answer_with_its_reason() {
        let failure = outcome(&json!({"status": "rejected", "rejected_reason": "CHECKSUM_MISMATCH"}), false);
        let failure = failure.unwrap_err();
        assert_eq!(failure.to_string(), "the release is rejected: CHECKSUM_MISMATCH");
        assert_eq!(failure.exit_code(), 1);
    }

    #[test]
    fn a_published_or_pending_release_is_fine() {
        assert!(outcome(&json!({"status": "published"}), true).is_ok());
        assert!(outcome(&json!({"status": "pending_artifacts"}), false).is_ok());
    }
}
