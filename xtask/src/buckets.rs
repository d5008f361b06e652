//! The end-to-end tests of `bp serve` over buckets: of `LocalStack`, which needs Python alone, of Garage, and of `MinIO`
//! and fake-gcs-server, which need Go besides.

use std::time::Instant;

use crate::aws::{self, Servers};
use crate::counts::Counts;
use crate::lambda;
use crate::server::Server;
use crate::stand_ins;
use crate::test::EndToEnd;
use crate::workspace::Workspace;

/// The module of these tests, which no other run has.
pub(crate) const MODULE: &str = "buckets::";

/// Runs them over each server that is wanted and can be had; the others are counted as skipped.
pub(crate) fn tests(workspace: &Workspace, servers: Servers, equipment: &EndToEnd, counts: &mut Counts) {
    let step = over(workspace, equipment, "s3::", "BP_TEST_S3", stand_ins::localstack, counts);
    counts.note(step);
    let left_out = (servers == Servers::Python).then_some("left out; `--all` runs them");
    let step = match left_out {
        Some(why) => skip(workspace, "garage::", why, counts),
        None => over(workspace, equipment, "garage::", "BP_TEST_GARAGE", stand_ins::garage, counts),
    };
    counts.note(step);
    let step = match left_out.or_else(stand_ins::lacks_go) {
        Some(why) => skip(workspace, "minio::", why, counts),
        None => over(workspace, equipment, "minio::", "BP_TEST_MINIO", stand_ins::minio, counts),
    };
    counts.note(step);
    let step = match left_out.or_else(stand_ins::lacks_go) {
        Some(why) => skip(workspace, "gcs::", why, counts),
        None => over(workspace, equipment, "gcs::", "BP_TEST_GCS", stand_ins::gcs, counts),
    };
    counts.note(step);
}

fn over(
    workspace: &Workspace,
    equipment: &EndToEnd,
    part: &str,
    variable: &str,
    start: impl Fn(&Workspace) -> Result<Server, String>,
    counts: &mut Counts,
) -> Result<(), String> {
    let started = Instant::now();
    let server = start(workspace)?;
    println!("\n`bp serve` over buckets at {}", server.url());
    let names = names(workspace, part)?;
    let mut command = workspace.command("cargo");
    command.args(["test", "--package", "e2e", "--test", "e2e", "--locked", "--"]);
    command.args(["--exact"]).args(&names).env(variable, server.url());
    command.env("BP_TEST_GARAGE_KEYS", stand_ins::GARAGE_KEYS);
    equipment.equip(&mut command);
    aws::watch(&mut command, counts)?;
    println!("took {} s", started.elapsed().as_secs());
    server.stays_here()
}

fn skip(workspace: &Workspace, part: &str, why: &str, counts: &mut Counts) -> Result<(), String> {
    counts.skip(names(workspace, part)?.len(), &format!("end-to-end tests over buckets, `{part}`"), why);
    Ok(())
}

/// The names of the tests of a server.
fn names(workspace: &Workspace, part: &str) -> Result<Vec<String>, String> {
    let mut names = lambda::end_to_end(workspace)?;
    names.retain(|name| name.starts_with(MODULE) && name.contains(part));
    if names.is_empty() { Err(format!("no end-to-end test is named `{MODULE}…{part}`")) } else { Ok(names) }
}
