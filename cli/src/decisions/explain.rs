//! `bp decision explain` and `bp decision updates`: what an administrator asks.

use clap::Args;
use client::Question;
use serde_json::Value;

use crate::api::Call;
use crate::context::{Context, rows_as_table};
use crate::failure::Failure;
use crate::table;
use crate::words::{ARCHES, PLATFORMS, this_arch, this_platform};

/// Which client of which tenant.
#[derive(Debug, Args)]
pub(crate) struct UpdatesArgs {
    /// The tenant.
    #[arg(long)]
    tenant: String,
    /// The product.
    #[arg(long)]
    product: String,
    /// The version that is installed.
    #[arg(long, value_name = "VERSION")]
    current_version: String,
    /// The platform.
    #[arg(long, value_parser = PLATFORMS, default_value = this_platform())]
    platform: String,
    /// The architecture.
    #[arg(long, value_parser = ARCHES, default_value = this_arch())]
    arch: String,
}

/// Shows the rules in the order in which they were applied.
pub(super) async fn explain(context: &Context, question: Question) -> Result<(), Failure> {
    let body = serde_json::to_value(&question).map_err(|error| Failure::NotUnderstood(error.to_string()))?;
    let answer = context.api.json(Call::post(&["v1", "decision", "explain"], body).repeatable()).await?;
    context.out.show(&answer, |answer| {
        let decisions = table::member(answer, "decisions").as_array().cloned().unwrap_or_default();
        decisions.iter().map(explanation).collect::<Vec<_>>().join("\n\n")
    })
}

fn explanation(explained: &Value) -> String {
    let decision = table::member(explained, "decision");
    let mut facts: Vec<(&str, String)> = ["product_id", "action", "reason"]
        .iter()
        .map(|name| (*name, table::cell(table::member(decision, name))))
        .collect();
    if let Some(release) = decision.get("release") {
        facts.push(("version", table::cell(table::member(release, "version"))));
    }
    if let Some(goal) = explained.get("goal") {
        facts.push(("goal", table::cell(table::member(goal, "version"))));
    }
    let policy = table::member(explained, "policy").as_object().cloned().unwrap_or_default();
    let levels: Vec<Vec<String>> = policy
        .iter()
        .map(|(name, field)| {
            let cell = |member: &str| table::cell(table::member(field, member));
            vec![name.clone(), cell("value"), cell("levels")]
        })
        .collect();
    let steps = table::member(explained, "steps").as_array().cloned().unwrap_or_default();
    let steps = rows_as_table(&steps, &[("RULE", "rule"), ("SAW", "saw"), ("DID", "did")]);
    let levels = table::table(&["POLICY", "VALUE", "FROM"], &levels);
    format!("{}\n\n{levels}\n\n{steps}", table::facts(&facts))
}

/// Shows what a tenant's IT tools should install.
pub(super) async fn updates(context: &Context, args: UpdatesArgs) -> Result<(), Failure> {
    let call = Call::get(&["v1", "tenants", &args.tenant, "update-decisions"])
        .query("product_id", Some(args.product))
        .query("platform", Some(args.platform))
        .query("arch", Some(args.arch))
        .query("current_version", Some(args.current_version));
    let answer = context.api.json(call).await?;
    context.out.show(&answer, |answer| {
        let decisions = table::member(answer, "decisions").as_array().cloned().unwrap_or_default();
        decisions.iter().map(update).collect::<Vec<_>>().join("\n\n")
    })
}

fn update(decision: &Value) -> String {
    let mut facts = decision.clone();
    let artifacts = facts.as_object_mut().and_then(|members| members.remove("artifacts")).unwrap_or_default();
    let artifacts = artifacts.as_array().cloned().unwrap_or_default();
    let columns = [
        ("ARTIFACT", "artifact_id"),
        ("TYPE", "installer_type"),
        ("SIZE", "size_bytes"),
        ("SHA256", "sha256"),
        ("URL", "url"),
    ];
    let first = ["product_id", "current_version", "available_version", "reason"];
    format!("{}\n\n{}", table::object(&facts, &first), rows_as_table(&artifacts, &columns))
}
