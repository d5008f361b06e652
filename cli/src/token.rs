//! `bp token`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use serde_json::{Map, Value, json};
use shared::{
    adapters::clock::{SystemClock, SystemEntropy},
    domain::token::TokenText,
    ports::clock::{Clock, Ids},
};

use crate::api::Call;
use crate::context::{Context, Page, put};
use crate::failure::Failure;
use crate::table;

/// The scopes that there are.
const SCOPES: [&str; 7] = [
    "artifacts:read",
    "artifacts:write",
    "artifacts:download",
    "decisions:restricted",
    "ci:write",
    "admin:read",
    "admin:write",
];

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Create a token; its secret is shown this once.
    Create {
        /// What it is for.
        #[arg(long)]
        name: String,
        /// What it may do; may be repeated.
        #[arg(long = "scope", required = true, value_name = "SCOPE", value_parser = SCOPES)]
        scopes: Vec<String>,
        /// Limit it to one tenant.
        #[arg(long)]
        tenant: Option<String>,
        /// Limit it to one product.
        #[arg(long)]
        product: Option<String>,
        /// When it ends (RFC 3339); without this it has no end.
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        /// Write the secret to this new file, readable by you alone, instead of showing it.
        #[arg(long, value_name = "FILE")]
        write_to: Option<PathBuf>,
    },
    /// Make the first token of a deployment on AWS: the secret goes to a file here, and what is printed, its hash, to
    /// the function `verify`.
    Bootstrap {
        /// The new file for the secret, readable by you alone.
        #[arg(long, value_name = "FILE")]
        write_to: PathBuf,
    },
    /// List tokens, without their secrets.
    List {
        #[command(flatten)]
        page: Page,
    },
    /// Revoke a token.
    Revoke {
        /// Its id, `tok_…`.
        token_id: String,
    },
}

/// The columns of the list.
const COLUMNS: &[(&str, &str)] = &[
    ("TOKEN", "token_id"),
    ("NAME", "name"),
    ("SCOPES", "scopes"),
    ("TENANT", "tenant_id"),
    ("PRODUCT", "product_id"),
    ("EXPIRES", "expires_at"),
];

/// Runs the command.
pub(crate) async fn run(context: &Context, command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Create { name, scopes, tenant, product, expires_at, write_to } => {
            let mut body = Map::new();
            put(&mut body, "name", Some(name));
            put(&mut body, "scopes", Some(scopes));
            put(&mut body, "tenant_id", tenant);
            put(&mut body, "product_id", product);
            put(&mut body, "expires_at", expires_at);
            create(context, Value::Object(body), write_to.as_deref()).await
        }
        TokenCommand::Bootstrap { write_to } => bootstrap(context, &write_to),
        TokenCommand::List { page } => {
            context.list(Call::get(&["v1", "tokens"]), &page, "tokens", COLUMNS).await
        }
        TokenCommand::Revoke { token_id } => {
            context.act(Call::delete(&["v1", "tokens", &token_id]), &format!("{token_id} is revoked")).await
        }
    }
}

async fn create(context: &Context, body: Value, write_to: Option<&Path>) -> Result<(), Failure> {
    // The file comes first: a secret that cannot be kept should not be made.
    let file = write_to.map(|path| new_private_file(path).map_err(Failure::file(path)));
    let file = file.transpose()?;
    let mut answer = match context.api.json(Call::post(&["v1", "tokens"], body)).await {
        Ok(answer) => answer,
        Err(error) => {
            if let Some(path) = write_to {
                let _ = std::fs::remove_file(path);
            }
            return Err(error);
        }
    };
    if let (Some(mut file), Some(path), Value::Object(members)) = (file, write_to, &mut answer) {
        let secret = members.get("token").and_then(Value::as_str).unwrap_or_default().to_owned();
        writeln!(file, "{secret}").map_err(Failure::file(path))?;
        // Only now: had the writing failed, the secret would be lost.
        members.remove("token");
    }
    context.out.show(&answer, |answer| table::object(answer, &["token_id", "name", "token"]))?;
    match write_to {
        Some(path) => context.out.note(&format!("the secret is in `{}`", path.display())),
        None => context.out.note("the secret is shown this once: keep it now"),
    }
    Ok(())
}

/// Nothing is asked of a service: it learns of the token by the printed hash alone.
fn bootstrap(context: &Context, write_to: &Path) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids = Ids::new(clock, Arc::new(SystemEntropy::default()));
    let mut random = [0_u8; 32];
    let made = ids.secret(&mut random).and_then(|()| ids.token());
    let id = made.map_err(|error| Failure::negative("NO_ENTROPY", error.to_string()))?;
    let text = TokenText::make(id, &random);
    let mut file = new_private_file(write_to).map_err(Failure::file(write_to))?;
    writeln!(file, "{}", text.text.reveal()).map_err(Failure::file(write_to))?;
    file.sync_all().map_err(Failure::file(write_to))?;
    println!("{}", json!({ "task": "bootstrap", "token_id": id, "hash": text.hash() }));
    context
        .out
        .note(&format!("the secret is in `{}`; invoke `verify` with the line above", write_to.display()));
    Ok(())
}

/// A new file that its owner alone may read, where the system has such a thing.
pub(crate) fn new_private_file(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
