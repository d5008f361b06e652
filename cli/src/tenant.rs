//! `bp tenant`.

use clap::Subcommand;

use crate::api::Call;
use crate::context::{Context, Page};
use crate::failure::Failure;

/// What can be done with tenants.
#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// List the tenants that have policies.
    List {
        #[command(flatten)]
        page: Page,
    },
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: TenantCommand) -> Result<(), Failure> {
    let TenantCommand::List { page } = command;
    context.list(Call::get(&["v1", "tenants"]), &page, "tenants", &[("TENANT", "tenant_id")]).await
}
