//! `bp audit`.

use clap::Subcommand;

use crate::api::Call;
use crate::context::{Context, Page};
use crate::failure::Failure;

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List what happened.
    List {
        /// Only events of this type.
        #[arg(long = "type", value_name = "TYPE")]
        event_type: Option<String>,
        /// Only what this token did.
        #[arg(long, value_name = "TOKEN_ID")]
        actor: Option<String>,
        /// Only what happened at or after this time (RFC 3339).
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        #[command(flatten)]
        page: Page,
    },
}

/// The columns of the list.
const COLUMNS: &[(&str, &str)] =
    &[("AT", "at"), ("TYPE", "type"), ("ACTOR", "actor"), ("SUBJECT", "subject"), ("FROM", "source_ip")];

/// Runs the command.
pub(crate) async fn run(context: &Context, command: AuditCommand) -> Result<(), Failure> {
    let AuditCommand::List { event_type, actor, since, page } = command;
    let call = Call::get(&["v1", "audit", "events"])
        .query("type", event_type)
        .query("actor", actor)
        .query("since", since);
    context.list(call, &page, "events", COLUMNS).await
}
