//! `bp release`.

mod create;
mod spec;

use clap::{Args, Subcommand};
use serde_json::{Map, Number, Value, json};

use crate::api::Call;
use crate::context::{Context, Idempotency, Page, put};
use crate::failure::Failure;
use crate::table;
use crate::words::percentage;

/// The members of a release that people look for first.
const FIRST: &[&str] =
    &["release_id", "product_id", "version", "channel", "status", "rejected_reason", "reason", "rollout"];
/// The columns of the list.
const COLUMNS: &[(&str, &str)] = &[
    ("RELEASE", "release_id"),
    ("VERSION", "version"),
    ("CHANNEL", "channel"),
    ("STATUS", "status"),
    ("ROLLOUT", "rollout"),
    ("CREATED", "created_at"),
];
/// The columns of a release's artifacts.
const ARTIFACT_COLUMNS: &[(&str, &str)] = &[
    ("ARTIFACT", "artifact_id"),
    ("PLATFORM", "platform"),
    ("ARCH", "arch"),
    ("TYPE", "installer_type"),
    ("MIN OS", "min_os_version"),
    ("ADMIN", "requires_admin"),
];

/// What can be done with releases.
#[derive(Debug, Subcommand)]
pub(crate) enum ReleaseCommand {
    /// Create a release; it is published once all its artifacts are available.
    Create(create::CreateArgs),
    /// List a product's releases.
    List {
        product: String,
        /// Only those of this channel.
        #[arg(long)]
        channel: Option<String>,
        /// Only those of this status.
        #[arg(long, value_parser = ["pending_artifacts", "published", "rejected", "revoked"])]
        status: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show one release.
    Show { release_id: String },
    /// Show the newest published release of a product.
    Latest {
        product: String,
        /// Of this channel.
        #[arg(long)]
        channel: Option<String>,
    },
    /// Create the same release in another channel.
    Promote {
        release_id: String,
        /// The channel to promote it to.
        #[arg(long)]
        channel: String,
        /// The percentage of clients that are offered it.
        #[arg(long, value_parser = percentage, value_name = "PERCENTAGE")]
        rollout: Option<Number>,
        #[command(flatten)]
        idempotency: Idempotency,
    },
    /// Change the percentage of clients that are offered a release.
    Rollout {
        release_id: String,
        #[arg(value_parser = percentage)]
        percentage: Number,
    },
    /// Offer a release to nobody until it is resumed.
    Pause { release_id: String },
    /// Offer a paused release again.
    Resume { release_id: String },
    /// Withdraw a release for good.
    Revoke(RevokeArgs),
    /// Print the release notes.
    Notes { release_id: String },
}

/// How to revoke a release.
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    release_id: String,
    /// Why.
    #[arg(long)]
    reason: String,
    /// Take clients that have it back to an older release.
    #[arg(long)]
    allow_downgrade: bool,
    /// Revoke the version in every channel.
    #[arg(long)]
    all_channels: bool,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: ReleaseCommand) -> Result<(), Failure> {
    match command {
        ReleaseCommand::Create(args) => create::run(context, args).await,
        ReleaseCommand::List { product, channel, status, page } => {
            let call = Call::get(&["v1", "products", &product, "releases"]);
            let call = call.query("channel", channel).query("status", status);
            context.list(call, &page, "releases", COLUMNS).await
        }
        ReleaseCommand::Show { release_id } => {
            show(context, Call::get(&["v1", "releases", &release_id])).await
        }
        ReleaseCommand::Latest { product, channel } => {
            let call = Call::get(&["v1", "products", &product, "releases", "latest"]);
            show(context, call.query("channel", channel)).await
        }
        ReleaseCommand::Promote { release_id, channel, rollout, idempotency } => {
            let mut body = Map::new();
            put(&mut body, "channel", Some(channel));
            put(&mut body, "rollout", rollout.map(|percentage| json!({ "percentage": percentage })));
            let call = Call::post(&["v1", "releases", &release_id, "promote"], Value::Object(body));
            show(context, call.idempotency_key(idempotency.key()?)).await
        }
        ReleaseCommand::Rollout { release_id, percentage } => {
            change_rollout(context, &release_id, json!({ "percentage": percentage })).await
        }
        ReleaseCommand::Pause { release_id } => {
            change_rollout(context, &release_id, json!({ "paused": true })).await
        }
        ReleaseCommand::Resume { release_id } => {
            change_rollout(context, &release_id, json!({ "paused": false })).await
        }
        ReleaseCommand::Revoke(args) => revoke(context, args).await,
        ReleaseCommand::Notes { release_id } => notes(context, &release_id).await,
    }
}

async fn show(context: &Context, call: Call) -> Result<(), Failure> {
    let release = context.api.json(call).await?;
    context.out.show(&release, release_facts)
}

async fn change_rollout(context: &Context, release_id: &str, body: Value) -> Result<(), Failure> {
    show(context, Call::patch(&["v1", "releases", release_id, "rollout"], body)).await
}

async fn revoke(context: &Context, args: RevokeArgs) -> Result<(), Failure> {
    let mut body = Map::new();
    put(&mut body, "reason", Some(args.reason));
    put(&mut body, "allow_downgrade", args.allow_downgrade.then_some(true));
    put(&mut body, "all_channels", args.all_channels.then_some(true));
    let call = Call::post(&["v1", "releases", &args.release_id, "revoke"], Value::Object(body));
    context.show(call, &["release_id", "status", "revoked_at", "revoked_by", "reason"]).await
}

async fn notes(context: &Context, release_id: &str) -> Result<(), Failure> {
    let reply = context.api.send(Call::get(&["v1", "releases", release_id, "notes"])).await?;
    let notes = String::from_utf8_lossy(&reply.body);
    if context.out.is_json() {
        return context.out.json(&json!({ "release_id": release_id, "notes": notes }));
    }
    context.out.line(&table::printable_lines(notes.trim_end()))
}

/// A release: its facts, then its artifacts as a table.
fn release_facts(release: &Value) -> String {
    let mut facts = release.clone();
    let artifacts = facts.as_object_mut().and_then(|members| members.remove("artifacts")).unwrap_or_default();
    let artifacts = artifacts.as_array().cloned().unwrap_or_default();
    let artifacts = crate::context::rows_as_table(&artifacts, ARTIFACT_COLUMNS);
    format!("{}\n\n{artifacts}", table::object(&facts, FIRST))
}
