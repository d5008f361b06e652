//! `bp`: the whole of Big Picture on the command line, the service itself included.
//!
//! Answers go to standard output and everything else to standard error, so that what a script reads is the answer
//! alone. `docs/cli.md` describes the commands, their exit codes and their environment.

mod api;
mod args;
mod artifact;
mod audit;
mod clock;
mod completions;
mod context;
mod decisions;
mod demo;
mod doctor;
mod failure;
mod gc;
mod key;
mod keyset;
mod output;
mod policy;
mod product;
mod progress;
mod release;
mod root;
mod serve;
mod table;
mod tenant;
mod token;
mod update;
mod wait;
mod words;

use std::process::ExitCode;

use clap::Parser as _;

use crate::api::{Api, ApiToken, Call};
use crate::args::{Cli, Command, Globals};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;

#[tokio::main]
async fn main() -> ExitCode {
    // An error means that a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    let json = cli.globals.json;
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if json {
                eprintln!("{}", failure.to_json());
            } else {
                eprintln!("{}", failure.to_text());
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let out = Output::new(cli.globals.json);
    // What needs no service must not fail for want of one.
    match cli.command {
        Command::Serve(args) => serve::run(args).await.map_err(|error| Failure::Service(error.into())),
        Command::Demo(args) => demo::run(out, args).await,
        Command::Completions { shell } => completions::print(out, shell),
        Command::Root(command) => root::run(out, command),
        command => call(&context(&cli.globals, out)?, command).await,
    }
}

/// Runs a command that calls the service.
async fn call(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Product(command) => product::run(context, command).await,
        Command::Artifact(command) => artifact::run(context, command).await,
        Command::Release(command) => release::run(context, command).await,
        Command::Policy(command) => policy::run(context, command).await,
        Command::Token(command) => token::run(context, command).await,
        Command::Audit(command) => audit::run(context, command).await,
        Command::Tenant(command) => tenant::run(context, command).await,
        Command::Decision(command) => decisions::run(context, command).await,
        Command::Key(command) => key::run(context, command).await,
        Command::Keyset(command) => keyset::run(context, command).await,
        Command::Gc(args) => gc::run(context, args).await,
        Command::Update(command) => update::run(context, command).await,
        Command::Health => context.show(Call::get(&["healthz"]), &["status"]).await,
        Command::Serve(_) | Command::Demo(_) | Command::Completions { .. } | Command::Root(_) => {
            Err(Failure::usage("this command calls no service"))
        }
    }
}

fn context(globals: &Globals, out: Output) -> Result<Context, Failure> {
    let api = Api::new(&globals.base_url, token(globals)?, out)?;
    if api.token_in_the_clear() {
        out.note("warning: the token travels over plain http, where anyone on the way can read it");
    }
    Ok(Context { api, out })
}

/// The token, where there is one: from the file that was named, or else from the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "read by clap it would be a flag too, and a flag's value is in the list of processes"
)]
fn token(globals: &Globals) -> Result<Option<ApiToken>, Failure> {
    let text = match &globals.token_file {
        Some(path) => std::fs::read_to_string(path).map_err(Failure::file(path))?,
        None => std::env::var("BP_API_TOKEN").unwrap_or_default(),
    };
    Ok(Some(ApiToken::new(&text)).filter(|_| !text.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_flag_takes_the_token_itself() {
        fn flags(command: &clap::Command, found: &mut Vec<String>) {
            found.extend(command.get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)));
            command.get_subcommands().for_each(|command| flags(command, found));
        }
        let mut found = Vec::new();
        flags(&Cli::command(), &mut found);
        assert!(found.contains(&"token-file".to_owned()));
        assert!(!found.iter().any(|flag| flag == "token" || flag == "api-token"));
    }

    #[test]
    fn global_flags_may_come_last() {
        let cli = Cli::try_parse_from(["bp", "product", "list", "--json", "--base-url", "http://h"]).unwrap();
        assert!(cli.globals.json);
        assert_eq!(cli.globals.base_url, "http://h");
    }
}
