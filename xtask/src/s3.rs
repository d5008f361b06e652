//! The suites of objects in S3, over each server that stands in for it.
//!
//! Before anything else runs over a server, `honesty` asks it whether it refuses what S3 refuses: where it does not, the
//! rest of its run would prove nothing. What a server is known to lack leaves out the tests that need it, by name.

use crate::aws;
use crate::counts::Counts;
use crate::lacks::{self, Lack};
use crate::server::Server;
use crate::stand_ins;
use crate::workspace::Workspace;

/// The id and the secret that `LocalStack` takes.
pub(crate) const LOCALSTACK_KEYS: &str = "test:test";
/// The id and the secret that `MinIO` is started with.
pub(crate) const MINIO_KEYS: &str = "test:testtest";

const PROGRAM: &str = "aws_s3";
const HONESTY: &str = "honesty::";
const REPOSITORIES: &str = "repositories::";

const LOCALSTACK: [Lack; 4] = [
    Lack {
        what: "it takes requests without a signature, and copies over what is there",
        tests: &["only_real_s3::"],
    },
    Lack {
        what: "it sometimes breaks an object that is put together from its parts twice at once",
        tests: &["::assembling_at_once_makes_one_whole"],
    },
    Lack {
        what: "it sometimes breaks off a download whose object is removed meanwhile",
        tests: &["::a_download_under_way_outlives_its_object"],
    },
    Lack {
        what: "it does not look at a signature in the headers",
        tests: &["repositories::another_secret_opens_nothing"],
    },
];

const MINIO: [Lack; 5] = [
    Lack {
        what: "it ignores a condition in the query",
        tests: &[
            "honesty::a_condition_in_the_query_is_a_condition",
            "::two_puts_at_once_keep_exactly_one",
            "promises::a_second_put_changes_nothing",
        ],
    },
    Lack {
        what: "it takes a checksum that nobody signed",
        tests: &["::the_bare_door_refuses_a_checksum_that_nobody_signed"],
    },
    Lack {
        what: "it refuses a request without a signed header with 400, not 403",
        tests: &[
            "honesty::a_signed_header_must_be_sent",
            "::the_bare_door_refuses_another_media_type_than_declared",
            "::the_locked_door_refuses_a_missing_or_another_checksum",
        ],
    },
    Lack { what: "it answers a torn body with 499", tests: &["::fewer_bytes_than_declared_are_not_kept"] },
    Lack { what: "it copies over what is there", tests: &["only_real_s3::a_copy_is_made_once"] },
];

/// Every test of objects in S3, over `LocalStack`; those that need no server are among them.
pub(crate) fn over_localstack(workspace: &Workspace, counts: &mut Counts) -> Result<(), String> {
    let server = stand_ins::localstack(workspace)?;
    over(
        workspace,
        counts,
        &Run {
            server,
            name: "LocalStack",
            keys: LOCALSTACK_KEYS,
            chosen: "--include-ignored",
            lacks: &LOCALSTACK,
        },
    )
}

/// The tests that need a server, over `MinIO`.
pub(crate) fn over_minio(workspace: &Workspace, counts: &mut Counts) -> Result<(), String> {
    let server = stand_ins::minio(workspace)?;
    over(
        workspace,
        counts,
        &Run { server, name: "MinIO", keys: MINIO_KEYS, chosen: "--ignored", lacks: &MINIO },
    )
}

/// Private files of others, over Garage, which looks at signatures in headers as S3 does. It keeps no versions and no
/// conditions, so that nothing else is asked of it here; what is made of that, the end-to-end tests over buckets show.
pub(crate) fn over_garage(workspace: &Workspace, counts: &mut Counts) -> Result<(), String> {
    let server = stand_ins::garage(workspace)?;
    let run = Run {
        server,
        name: "Garage",
        keys: stand_ins::GARAGE_KEYS,
        chosen: REPOSITORIES,
        lacks: &[Lack {
            what: "it answers 400 to a link that has ended",
            tests: &["repositories::a_signed_link_opens_the_object_and_no_other"],
        }],
    };
    println!("\nthe S3 repositories over {} at {}", run.name, run.server.url());
    let names = aws::ignored(workspace, PROGRAM)?;
    let left_out = lacks::leave_out(&names, run.lacks, run.name, counts)?;
    tests(workspace, counts, &run, &["--ignored", run.chosen], &left_out)?;
    run.server.stays_here()
}

/// Counts the tests that Garage is left out of.
pub(crate) fn skip_garage(workspace: &Workspace, counts: &mut Counts, why: &str) -> Result<(), String> {
    let names = aws::ignored(workspace, PROGRAM)?;
    let number = names.iter().filter(|name| name.contains(REPOSITORIES)).count();
    counts.skip(number, "tests over Garage", why);
    Ok(())
}

/// Counts the tests that `MinIO` is left out of.
pub(crate) fn skip_minio(workspace: &Workspace, counts: &mut Counts, why: &str) -> Result<(), String> {
    let names = aws::ignored(workspace, PROGRAM)?;
    counts.skip(names.len(), "tests over MinIO", why);
    Ok(())
}

struct Run {
    server: Server,
    name: &'static str,
    keys: &'static str,
    /// Which tests, in the words of `cargo test`: those that need no server need not run over each.
    chosen: &'static str,
    lacks: &'static [Lack],
}

fn over(workspace: &Workspace, counts: &mut Counts, run: &Run) -> Result<(), String> {
    println!("\nthe S3 suites over {} at {}", run.name, run.server.url());
    let names = aws::ignored(workspace, PROGRAM)?;
    let left_out = lacks::leave_out(&names, run.lacks, run.name, counts)?;
    let before = counts.failed;
    tests(workspace, counts, run, &["--ignored", HONESTY], &left_out)?;
    if counts.failed > before {
        return Err(format!("{} is not what it stands in for: its run is void", run.name));
    }
    tests(workspace, counts, run, &[run.chosen, "--skip", HONESTY], &left_out)?;
    run.server.stays_here()
}

fn tests(
    workspace: &Workspace,
    counts: &mut Counts,
    run: &Run,
    choice: &[&str],
    left_out: &[&str],
) -> Result<(), String> {
    let mut command = aws::cargo_test(workspace, &["--test", PROGRAM]);
    command.env("BP_TEST_S3", run.server.url()).env("BP_TEST_S3_KEYS", run.keys).arg("--").args(choice);
    for name in left_out {
        command.args(["--skip", name]);
    }
    aws::watch(&mut command, counts)
}
