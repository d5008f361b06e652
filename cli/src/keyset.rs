//! `bp keyset`.

use clap::Subcommand;

use crate::api::Call;
use crate::context::Context;
use crate::failure::Failure;
use crate::table;

/// What can be done with the keyset.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysetCommand {
    /// Show the keyset; with --json as clients pin it, byte for byte.
    Show {
        /// An earlier version of it.
        #[arg(long = "version", value_name = "VERSION")]
        edition: Option<u64>,
        /// Show it as a plain JWKS.
        #[arg(long, conflicts_with = "edition")]
        jwks: bool,
    },
}

/// The columns of the list of keys.
const COLUMNS: &[(&str, &str)] = &[
    ("KID", "kid"),
    ("ALG", "alg"),
    ("FROM", "nbf"),
    ("UNTIL", "exp"),
    ("PRODUCTS", "products"),
    ("REVOKED", "revoked"),
];

/// The columns of a plain JWKS.
const JWKS_COLUMNS: &[(&str, &str)] = &[("KID", "kid"), ("ALG", "alg")];

/// Runs the command.
pub(crate) async fn run(context: &Context, command: KeysetCommand) -> Result<(), Failure> {
    let KeysetCommand::Show { edition, jwks } = command;
    let edition = edition.map(|edition| edition.to_string());
    let call = match (&edition, jwks) {
        (_, true) => Call::get(&[".well-known", "jwks.json"]),
        (Some(edition), false) => Call::get(&["v1", "keyset", edition]),
        (None, false) => Call::get(&["v1", "keyset"]),
    };
    let reply = context.api.send(call).await?;
    if context.out.is_json() {
        return context.out.bytes(&reply.body);
    }
    let mut keyset = reply.json()?;
    let keys = keyset.get_mut("keys").map(serde_json::Value::take).unwrap_or_default();
    if !jwks {
        context.out.line(&table::object(&keyset, &["version", "epoch", "expires"]))?;
        context.out.line("")?;
    }
    let keys = keys.as_array().cloned().unwrap_or_default();
    context.out.line(&crate::context::rows_as_table(&keys, if jwks { JWKS_COLUMNS } else { COLUMNS }))
}
