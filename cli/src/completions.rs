//! `bp completions`.

use clap::CommandFactory as _;

use crate::args::Cli;
use crate::failure::Failure;
use crate::output::Output;

/// Prints the completion script of a shell.
pub(crate) fn print(out: Output, shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bp", &mut script);
    out.bytes(&script)
}
