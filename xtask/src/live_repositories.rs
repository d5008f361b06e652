//! Files of real repositories, for people who have accounts: registered, proved and downloaded by the real service.

use std::fs;

use crate::aws;
use crate::counts::Counts;
use crate::test::EndToEnd;
use crate::workspace::Workspace;

/// The systems, each with a test of its name.
const SYSTEMS: [&str; 6] = ["s3", "minio", "gcs", "jfrog", "github", "https"];

/// The module of these tests, which no other run has.
pub(crate) const MODULE: &str = "foreign::";

/// Runs them for each system that the file tells of; true when nothing failed.
pub(crate) fn run(workspace: &Workspace, file: &str) -> Result<bool, String> {
    let path = fs::canonicalize(file).map_err(|error| format!("{file}: {error}"))?;
    let text = fs::read_to_string(&path).map_err(|error| format!("{file}: {error}"))?;
    let told = told(&text)?;
    let equipment = EndToEnd::prepare(workspace, false)?;
    let mut counts = Counts::default();
    for system in SYSTEMS.iter().filter(|system| !told.contains(system)) {
        counts.skip(1, &format!("test of {system}"), "the file does not tell of it");
    }
    let mut command = workspace.command("cargo");
    command.args(["test", "--package", "e2e", "--test", "e2e", "--locked"]).env("BP_TEST_REPOSITORIES", path);
    equipment.equip(&mut command);
    command.args(["--", "--show-output", "--exact"]);
    command.args(told.iter().map(|system| format!("{MODULE}what_is_said_of_{system}_holds")));
    aws::watch(&mut command, &mut counts)?;
    Ok(counts.print())
}

/// The systems that a file tells of: the members of its top level, one a line.
fn told(text: &str) -> Result<Vec<&'static str>, String> {
    let begins = |line: &&str| line.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    let names =
        text.lines().filter(begins).filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
    let known = |name: &str| {
        let found = SYSTEMS.into_iter().find(|system| *system == name);
        found.ok_or_else(|| format!("no system is called `{name}`; there are: {}", SYSTEMS.join(", ")))
    };
    let told = names.map(known).collect::<Result<Vec<_>, _>>()?;
    if told.is_empty() {
        Err("the file tells of no system: see docs/repositories.md".to_owned())
    } else {
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn a_file_tells_of_the_systems_at_its_top_level() {
        let text = "# accounts\ns3:\n  url_prefix: https://a.example\n  public:\n    url: https://a.example/a\ngithub: {}\n";
        assert_eq!(told(text), Ok(vec!["s3", "github"]));
        assert!(told("tape:\n  a: b\n").is_err() && told("# nothing\n").is_err());
    }
}
