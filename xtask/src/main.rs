//! The project's chores as one command: `cargo xtask test`, `cargo xtask lint` and a few more.
//!
//! Everything that a chore needs beyond cargo itself is prepared under the target folder, with pinned versions, and
//! kept there between runs. Nothing outside the target folder is written.

mod aws;
mod bench;
mod buckets;
mod counts;
mod fixtures;
mod gcs;
mod lacks;
mod lambda;
mod lint;
mod live;
mod live_repositories;
mod process;
mod s3;
mod server;
mod sockets;
mod stand_ins;
mod test;
mod tools;
mod up;
mod workspace;

use std::process::ExitCode;

use workspace::Workspace;

const USAGE: &str = "usage: cargo xtask <command>

  test [--fast] [--all]
                  build, prepare tools and fixtures, run every test; --fast leaves out the slow ones, --all adds those
                  over DynamoDB Local, which want a JDK and Maven, and over MinIO and fake-gcs-server, which want Go
  aws test        the tests of the AWS adapters over MiniStack, LocalStack, DynamoDB Local and MinIO, and the end-to-end
                  tests over the functions
  aws up          keep these servers running until Ctrl-C or `aws down`; prints how the tests find them
  aws down        end the servers that an `aws up` in another terminal keeps running
  aws live --stack NAME [--large]
                  the end-to-end tests against a stack that you have deployed, with the token in BP_API_TOKEN; --large
                  has five gigabytes copied besides
  gcs test        the tests of objects in Google Cloud Storage over fake-gcs-server
  live-repositories FILE
                  the tests of files in real repositories, which FILE tells of: see docs/repositories.md
  bench cold [--starts N] [--built]
                  starts, sizes and warm invocations of the functions beside an empty one; Linux alone. --built
                  measures the programs of the last run again
  lint            rustfmt, clippy, rustdoc, cargo-deny, cargo-machete, typos; sam, cfn-lint, checkov
  fixtures        fetch the real installers that the end-to-end tests use
  tools           prepare the Python and JavaScript tools that the end-to-end tests use";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = Workspace::find().and_then(|workspace| match words.as_slice() {
        ["test", flags @ ..] => test::Extent::asked(flags)
            .map(|extent| test::run(&workspace, extent))
            .ok_or_else(|| USAGE.to_owned()),
        ["aws", "test"] => Ok(aws::run(&workspace)),
        ["gcs", "test"] => Ok(gcs::run(&workspace)),
        ["aws", "up"] => aws::up(&workspace),
        ["aws", "down"] => aws::down(&workspace),
        ["aws", "live", "--stack", stack] => live::run(&workspace, stack, live::Size::Small),
        ["aws", "live", "--stack", stack, "--large"] => live::run(&workspace, stack, live::Size::Large),
        ["live-repositories", file] => live_repositories::run(&workspace, file),
        ["bench", "cold", words @ ..] => match bench::Plan::asked(words) {
            Some(plan) => bench::cold(&workspace, plan),
            None => Err(USAGE.to_owned()),
        },
        ["lint"] => lint::run(&workspace),
        ["fixtures"] => fixtures::fetch(&workspace).map(|_| true),
        ["tools"] => tools::prepare(&workspace).map(|_| true),
        _ => Err(USAGE.to_owned()),
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
