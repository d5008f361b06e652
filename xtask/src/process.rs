//! Starting other programs, and hearing what they say.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Runs a command whose output goes to the terminal; an error names the command.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("cannot start {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}")) }
}

/// Runs a command and answers with what it wrote to standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?} ended with {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{command:?} wrote something that is not UTF-8"))
}

/// Runs a command, shows its standard output line by line and hands each line to `seen`; true when it succeeded.
pub(crate) fn watch(command: &mut Command, mut seen: impl FnMut(&str)) -> Result<bool, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {command:?}: {error}"))?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            println!("{line}");
            seen(&line);
        }
    }
    let status = child.wait().map_err(|error| format!("cannot wait for {command:?}: {error}"))?;
    Ok(status.success())
}

/// Runs a step up to three times: registries fail for a moment now and then.
pub(crate) fn patiently<T>(mut step: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    for _ in 0..2 {
        match step() {
            Ok(done) => return Ok(done),
            Err(message) => eprintln!("trying again: {message}"),
        }
    }
    step()
}

/// Whether a program can be started at all.
pub(crate) fn exists(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
