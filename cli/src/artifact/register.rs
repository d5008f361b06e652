//! `bp artifact register`.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value};

use super::FIRST;
use crate::api::Call;
use crate::context::{Context, Idempotency, key_value, put};
use crate::failure::Failure;
use crate::wait::Deadline;
use crate::{progress, table};

/// How often the state is asked for while waiting.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What to register.
#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    /// Where the bytes are.
    url: String,
    /// Their SHA-256.
    #[arg(long, value_name = "HEX")]
    sha256: String,
    /// How many there are.
    #[arg(long, value_name = "N")]
    size_bytes: u64,
    /// The name under which it is downloaded.
    #[arg(long)]
    name: Option<String>,
    /// The media type with which it is downloaded.
    #[arg(long)]
    content_type: Option<String>,
    /// A label; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = key_value)]
    labels: Vec<(String, String)>,
    /// Who may download it.
    #[arg(long, value_parser = ["public", "token", "client_authenticates"])]
    access: Option<String>,
    /// Keep a copy, which clients are given when the original is lost, or cannot be read by them; with it, plain http is
    /// allowed.
    #[arg(long)]
    escrow: bool,
    /// Wait until it is available or rejected.
    #[arg(long)]
    wait: bool,
    /// How long to wait, in seconds.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    timeout: u64,
    #[command(flatten)]
    idempotency: Idempotency,
}

/// Labels as the API takes them.
pub(super) fn labels(labels: Vec<(String, String)>) -> Option<Value> {
    let labels: Map<String, Value> =
        labels.into_iter().map(|(key, value)| (key, Value::from(value))).collect();
    (!labels.is_empty()).then_some(Value::Object(labels))
}

/// Runs the command.
pub(super) async fn run(context: &Context, args: RegisterArgs) -> Result<(), Failure> {
    let mut body = Map::new();
    put(&mut body, "source_type", Some("EXTERNAL"));
    put(&mut body, "sha256", Some(args.sha256));
    put(&mut body, "size_bytes", Some(args.size_bytes));
    put(&mut body, "external_url", Some(args.url));
    put(&mut body, "file_name", args.name);
    put(&mut body, "content_type", args.content_type);
    put(&mut body, "labels", labels(args.labels));
    put(&mut body, "access", args.access);
    put(&mut body, "escrow", args.escrow.then_some(true));
    let call = Call::post(&["v1", "artifacts"], Value::Object(body)).idempotency_key(args.idempotency.key()?);
    let mut artifact = context.api.json(call).await?;
    if args.wait {
        artifact = until_verified(context, artifact, Duration::from_secs(args.timeout)).await?;
    }
    context.out.show(&artifact, |artifact| table::object(artifact, FIRST))?;
    let member = |name: &str| table::cell(table::member(&artifact, name));
    if member("state") == "REJECTED" {
        return Err(Failure::negative("REJECTED", format!("the artifact is rejected: {}", member("reason"))));
    }
    Ok(())
}

async fn until_verified(context: &Context, mut artifact: Value, limit: Duration) -> Result<Value, Failure> {
    let deadline = Deadline::after(limit);
    let bar = progress::waiting(context.out, "verifying");
    while table::member(&artifact, "state").as_str() == Some("VERIFYING") {
        let id = table::cell(table::member(&artifact, "artifact_id"));
        bar.tick();
        deadline.pause(LOOK_AGAIN, &format!("`{id}` is still being verified")).await?;
        artifact = context.api.json(Call::get(&["v1", "artifacts", &id])).await?;
    }
    bar.finish_and_clear();
    Ok(artifact)
}
