//! `bp update`: what an application's updater does, from the command line. It installs nothing.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use client::{Checked, UpdateError, Updater};
use serde_json::{Value, json};

use crate::context::Context;
use crate::decisions::{QuestionArgs, facts, payload};
use crate::failure::{Failure, with_sources};
use crate::{progress, table};

/// What an updater does.
#[derive(Debug, Subcommand)]
pub(crate) enum UpdateCommand {
    /// Ask what to do, verify the answer, and remember it.
    Check(CheckArgs),
    /// The same, and download what is offered; the file appears once it is proved to be the signed one.
    Download {
        #[command(flatten)]
        check: CheckArgs,
        /// Where to put it; the publisher's file name in this folder where nothing is said.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// The question, and what the updater trusts and remembers.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    question: QuestionArgs,
    /// The folder in which the updater remembers what it has seen; made where it is missing.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// The keyset that the application ships with: signed (`N.keyset`), or plain and then pinned for good.
    #[arg(long, value_name = "FILE")]
    keyset: PathBuf,
    /// The issuer that the decision must have; the base URL where none is given.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The largest artifact to accept, in bytes; 5 GiB where nothing is said.
    #[arg(long, value_name = "N")]
    max_bytes: Option<u64>,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: UpdateCommand) -> Result<(), Failure> {
    match command {
        UpdateCommand::Check(args) => {
            let checked = updater(context, args)?.check().await.map_err(failed)?;
            let answer = answer(&checked)?;
            context
                .out
                .show(&answer, |answer| facts(table::member(answer, "decision"), checked.token(), "verified"))
        }
        UpdateCommand::Download { check, output } => download(context, check, output).await,
    }
}

async fn download(context: &Context, args: CheckArgs, output: Option<PathBuf>) -> Result<(), Failure> {
    let updater = updater(context, args)?;
    let checked = updater.check().await.map_err(failed)?;
    let Some(offer) = checked.offer() else {
        let message = format!("nothing is offered: {}", checked.reason());
        return Err(Failure::negative("NO_OFFER", message));
    };
    let path = output.unwrap_or_else(|| PathBuf::from(offer.file_name()));
    let bar = progress::bytes(context.out, "downloading", offer.artifact().size_bytes);
    let done = updater.download(offer, &path, |progress| bar.set_position(progress.bytes)).await;
    bar.finish_and_clear();
    let done = done.map_err(failed)?;
    let mut answer = answer(&checked)?;
    if let Value::Object(members) = &mut answer {
        members.insert("path".to_owned(), json!(done.path().display().to_string()));
    }
    context.out.show(&answer, |answer| {
        let decision = facts(table::member(answer, "decision"), checked.token(), "verified");
        format!("{decision}\n{}", table::object(answer, &["path"]))
    })
}

fn updater(context: &Context, args: CheckArgs) -> Result<Updater, Failure> {
    let question = args.question.question();
    let product =
        question.products.into_iter().next().ok_or_else(|| Failure::usage("it asks about no product"))?;
    let file = std::fs::read(&args.keyset).map_err(Failure::file(&args.keyset))?;
    let mut builder = context
        .api
        .updater(&product.product_id, &product.current_version)
        .platform(&product.platform, &product.arch)
        .installer_types(product.installer_types.iter().map(String::as_str))
        .state(Path::new(&args.state));
    builder = if is_signed(&file) { builder.keyset(&file) } else { builder.pinned_keyset(&file) };
    if let Some(channel) = &product.channel {
        builder = builder.channel(channel);
    }
    if let Some(tenant) = &product.tenant_id {
        builder = builder.tenant(tenant);
    }
    if let Some(version) = &product.os_version {
        builder = builder.os_version(version);
    }
    if let Some(id) = &question.client_id {
        builder = builder.client_id(id);
    }
    if let Some(issuer) = &args.issuer {
        builder = builder.issuer(issuer);
    }
    if let Some(max_artifact_bytes) = args.max_bytes {
        builder = builder.limits(client::Limits { max_artifact_bytes, ..client::Limits::default() });
    }
    builder.build().map_err(failed)
}

/// A signed keyset has a payload; a plain one has keys.
fn is_signed(file: &[u8]) -> bool {
    let value: Value = serde_json::from_slice(file).unwrap_or_default();
    value.get("payload").is_some()
}

/// What is believed, for programs.
fn answer(checked: &Checked) -> Result<Value, Failure> {
    Ok(json!({
        "action": checked.action().as_str(),
        "reason": checked.reason(),
        "decision": payload(checked.decision())?,
        "signature": checked.token(),
    }))
}

fn failed(error: UpdateError) -> Failure {
    match error {
        UpdateError::Client(error) => Failure::Client(error),
        UpdateError::Setup(what) => Failure::usage(what),
        error => Failure::negative(error.code(), with_sources(&error)),
    }
}
