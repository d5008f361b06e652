//! The command line: what every command shares, and the list of commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{
    artifact, audit, decisions, demo, gc, key, keyset, policy, product, release, root, tenant, token, update,
};

/// Shown under `bp --help`.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused, or a negative answer (verification failed, release rejected, not found, …)
  2  wrong usage: the command line, or a file it names
  3  the server cannot be reached, is busy, or took too long
  4  the token is missing, unknown, or lacks the scope
  5  conflict: something changed, or exists already

The token is read from BP_API_TOKEN or from --token-file, never from a flag's value.";

/// Publish software installers and ask for signed update decisions.
#[derive(Debug, Parser)]
#[command(name = "bp", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Globals {
    /// Where the service is.
    #[arg(
        long,
        global = true,
        env = "BP_BASE_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL",
        help_heading = "Global options"
    )]
    pub(crate) base_url: String,
    /// Read the token from this file instead of `BP_API_TOKEN`.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub(crate) token_file: Option<PathBuf>,
    /// Write JSON to standard output, and errors as JSON to standard error.
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole service in this process.
    Serve(ServeArgs),
    /// Walk the whole way with your files against a throw-away server.
    Demo(demo::DemoArgs),
    /// Products.
    #[command(subcommand)]
    Product(product::ProductCommand),
    /// Artifacts and their uploads.
    #[command(subcommand)]
    Artifact(artifact::ArtifactCommand),
    /// Releases.
    #[command(subcommand)]
    Release(release::ReleaseCommand),
    /// Update policies.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// API tokens.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// The audit log.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Show, and with `--apply` remove, what nothing needs any more.
    Gc(gc::GcArgs),
    /// Tenants.
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// Signed update decisions.
    #[command(subcommand)]
    Decision(decisions::DecisionCommand),
    /// The keys that sign decisions.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// The keyset that clients pin.
    #[command(subcommand)]
    Keyset(keyset::KeysetCommand),
    /// The offline keys that sign keysets.
    #[command(subcommand)]
    Root(root::RootCommand),
    /// What an application's updater does: check and download, with memory.
    #[command(subcommand)]
    Update(update::UpdateCommand),
    /// Ask whether the service is well.
    Health,
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// How to run the service.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    /// Address and port to listen on.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub(crate) listen: std::net::SocketAddr,
    /// Where data is kept.
    #[arg(long, default_value = "./data", value_name = "DIRECTORY")]
    pub(crate) data: PathBuf,
    /// The configuration file.
    #[arg(long, env = "BP_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}
