//! `bp policy`: the four levels of update policy.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use crate::api::{Call, Reply};
use crate::context::{Context, put, read_object};
use crate::failure::Failure;
use crate::table;

/// What a policy level holds.
const FIELDS: [&str; 6] = ["channel", "mode", "pinned_range", "blocked_versions", "paused", "min_version"];
/// What clients are told to do with an offer.
const MODES: [&str; 4] = ["AUTO_INSTALL", "DOWNLOAD_ONLY", "NOTIFY_ONLY", "MANAGED_BY_IT"];

/// What can be done with policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Show one level as it was set.
    Get {
        #[command(flatten)]
        level: Level,
    },
    /// Change fields of one level, or replace it from a file.
    Set(Box<SetArgs>),
}

/// Which level: the whole deployment, a product, a tenant, or a product of a tenant.
#[derive(Debug, Clone, Args)]
pub(crate) struct Level {
    /// The tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// The product.
    #[arg(long)]
    product: Option<String>,
}

/// What to set. Fields that are not named stay as they are; `--file` replaces the whole level.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    level: Level,
    /// The channel, whatever the client asks for.
    #[arg(long)]
    channel: Option<String>,
    /// What clients are told to do with an offer.
    #[arg(long, value_parser = MODES)]
    mode: Option<String>,
    /// Offer only versions inside this range.
    #[arg(long, value_name = "RANGE")]
    pinned_range: Option<String>,
    /// Never offer versions in this range; may be repeated, and replaces the list.
    #[arg(long = "block", value_name = "RANGE")]
    blocked_versions: Vec<String>,
    /// Whether updates stop altogether.
    #[arg(long, value_name = "BOOL")]
    paused: Option<bool>,
    /// Offer nothing older than this.
    #[arg(long, value_name = "VERSION")]
    min_version: Option<String>,
    /// A field to leave to less specific levels again; may be repeated.
    #[arg(long, value_name = "FIELD", value_parser = FIELDS)]
    unset: Vec<String>,
    /// Replace the whole level by this JSON object (`-`: standard input).
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["channel", "mode", "pinned_range", "blocked_versions", "paused", "min_version", "unset"]
    )]
    file: Option<PathBuf>,
    /// Change it only while it has this etag.
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
}

impl Level {
    fn path(&self) -> Vec<&str> {
        match (self.tenant.as_deref(), self.product.as_deref()) {
            (Some(tenant), Some(product)) => vec!["v1", "tenants", tenant, "policies", product],
            (Some(tenant), None) => vec!["v1", "tenants", tenant, "policy"],
            (None, Some(product)) => vec!["v1", "products", product, "policy"],
            (None, None) => vec!["v1", "policy"],
        }
    }
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: PolicyCommand) -> Result<(), Failure> {
    let reply = match command {
        PolicyCommand::Get { level } => context.api.send(Call::get(&level.path())).await?,
        PolicyCommand::Set(args) => set(context, *args).await?,
    };
    let mut policy = reply.json()?;
    if let (Value::Object(members), Some(etag)) = (&mut policy, reply.header("etag")) {
        members.insert("etag".to_owned(), Value::from(etag));
    }
    context.out.show(&policy, |policy| {
        let cell = |name: &str| match table::member(policy, name) {
            Value::Null => "(not set here)".to_owned(),
            value => table::cell(value),
        };
        let names = FIELDS.iter().chain(&["etag"]);
        table::facts(&names.map(|name| (*name, cell(name))).collect::<Vec<_>>())
    })
}

/// Replaces the level. Where only fields are named it is read first, and the change succeeds only on what was read.
async fn set(context: &Context, mut args: SetArgs) -> Result<Reply, Failure> {
    let path = args.level.path().into_iter().map(str::to_owned).collect::<Vec<_>>();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let mut if_match = args.if_match.take();
    let body = if let Some(file) = &args.file {
        let mut body = read_object(file)?;
        let etag = body.remove("etag").and_then(|etag| etag.as_str().map(str::to_owned));
        if_match = if_match.or(etag);
        body
    } else {
        let changes = changes(args)?;
        let present = context.api.send(Call::get(&path)).await?;
        if_match = if_match.or_else(|| present.header("etag").map(str::to_owned));
        merged(&present.json()?, changes)
    };
    context.api.send(Call::put(&path, Value::Object(body)).if_match(if_match)).await
}

/// The fields that the command line names; null for those to unset.
fn changes(args: SetArgs) -> Result<Map<String, Value>, Failure> {
    let mut changes = Map::new();
    put(&mut changes, "channel", args.channel);
    put(&mut changes, "mode", args.mode);
    put(&mut changes, "pinned_range", args.pinned_range);
    put(&mut changes, "blocked_versions", Some(args.blocked_versions).filter(|list| !list.is_empty()));
    put(&mut changes, "paused", args.paused);
    put(&mut changes, "min_version", args.min_version);
    for field in args.unset {
        if changes.insert(field.clone(), Value::Null).is_some_and(|value| !value.is_null()) {
            return Err(Failure::usage(format!("`{field}` is set and unset at once")));
        }
    }
    if changes.is_empty() {
        return Err(Failure::usage("nothing to set: name a field, or --file"));
    }
    Ok(changes)
}

/// The level as it is, with the changes; members that a policy does not have are left out.
fn merged(present: &Value, changes: Map<String, Value>) -> Map<String, Value> {
    let kept = FIELDS.iter().filter_map(|name| Some(((*name).to_owned(), present.get(name)?.clone())));
    let mut body: Map<String, Value> = kept.collect();
    body.extend(changes);
    body.retain(|_, value| !value.is_null());
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_pair_of_names_is_a_level() {
        let path = |tenant: Option<&str>, product: Option<&str>| {
            let level = Level { tenant: tenant.map(str::to_owned), product: product.map(str::to_owned) };
            level.path().join("/")
        };
        assert_eq!(path(None, None), "v1/policy");
        assert_eq!(path(None, Some("p")), "v1/products/p/policy");
        assert_eq!(path(Some("t"), None), "v1/tenants/t/policy");
        assert_eq!(path(Some("t"), Some("p")), "v1/tenants/t/policies/p");
    }

    #[test]
    fn fields_that_are_not_named_stay_and_unset_ones_go() {
        let present = json!({"channel": "beta", "mode": null, "paused": true, "revision": 3});
        let changes = Map::from_iter([
            ("paused".to_owned(), Value::Null),
            ("min_version".to_owned(), Value::from("1.2.0")),
        ]);
        assert_eq!(
            Value::Object(merged(&present, changes)),
            json!({"channel": "beta", "min_version": "1.2.0"})
        );
    }
}
