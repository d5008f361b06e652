//! `bp decision`.

mod explain;
mod get;
mod verify;

use clap::{Args, Subcommand};
use client::{ProductQuestion, Question};
use decision::keyset::Keyset;
use decision::verify::{Expected, Refusal, Verified};

pub(crate) use self::get::{abbreviated, facts, payload};
use crate::context::Context;
use crate::failure::{Failure, with_sources};
use crate::words::{ARCHES, INSTALLER_TYPES, PLATFORMS, this_arch, this_platform};

/// What can be done with decisions.
#[derive(Debug, Subcommand)]
pub(crate) enum DecisionCommand {
    /// Ask for a decision, and verify it.
    Get(get::GetArgs),
    /// Verify a token from standard input.
    Verify(verify::VerifyArgs),
    /// Show the rules that lead to a decision, in order.
    Explain(QuestionArgs),
    /// Show what a tenant's IT tools should install.
    Updates(explain::UpdatesArgs),
}

/// The question.
#[derive(Debug, Clone, Args)]
pub(crate) struct QuestionArgs {
    /// The product.
    #[arg(long)]
    product: String,
    /// The version that is installed.
    #[arg(long, value_name = "VERSION")]
    current_version: String,
    /// The channel; `stable` where none is asked for.
    #[arg(long)]
    channel: Option<String>,
    /// The tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// The platform.
    #[arg(long, value_parser = PLATFORMS, default_value = this_platform())]
    platform: String,
    /// The architecture.
    #[arg(long, value_parser = ARCHES, default_value = this_arch())]
    arch: String,
    /// The version of the operating system.
    #[arg(long, value_name = "VERSION")]
    os_version: Option<String>,
    /// An installer type that will do; may be repeated, in order of preference.
    #[arg(long = "installer-type", value_parser = INSTALLER_TYPES, value_name = "TYPE")]
    installer_types: Vec<String>,
    /// What identifies the installation to rollouts.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
}

impl QuestionArgs {
    /// The question, as clients ask it.
    pub(crate) fn question(self) -> Question {
        let product = ProductQuestion {
            channel: self.channel,
            tenant_id: self.tenant,
            os_version: self.os_version,
            installer_types: self.installer_types,
            ..ProductQuestion::new(&self.product, &self.current_version, &self.platform, &self.arch)
        };
        Question { client_id: self.client_id, ..Question::about(product) }
    }
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: DecisionCommand) -> Result<(), Failure> {
    match command {
        DecisionCommand::Get(args) => get::run(context, args).await,
        DecisionCommand::Verify(args) => verify::run(context.out, &args),
        DecisionCommand::Explain(args) => explain::explain(context, args.question()).await,
        DecisionCommand::Updates(args) => explain::updates(context, args).await,
    }
}

/// Verifies, and makes a failure of the refusal.
pub(crate) fn verified(token: &str, keyset: &Keyset, expected: &Expected) -> Result<Verified, Failure> {
    decision::verify::verify(token, keyset, expected).map_err(|refusal| refused(&refusal))
}

fn refused(refusal: &Refusal) -> Failure {
    Failure::negative(refusal.code(), with_sources(refusal))
}

/// A keyset, from bytes that the user or the service gave.
pub(crate) fn keyset(bytes: &[u8]) -> Result<Keyset, Failure> {
    Keyset::parse(bytes).map_err(|error| Failure::negative("KEYSET", with_sources(&error)))
}
