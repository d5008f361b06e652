//! `cargo xtask bench cold`: starts, sizes and warm invocations of the functions beside an empty one.

mod cold;
mod lambda;
mod process;
mod report;
mod stage;

use std::fs;
use std::path::Path;

use crate::process as programs;
use crate::workspace::Workspace;
use cold::{Starts, Subject};
use report::{Bar, Samples};
use stage::Stage;

/// How the service signs while it is measured.
const SIGNING_MODE: &str = "delegated";
const EMPTY: &str = "empty-function";
const FUNCTIONS: [&str; 7] = ["decide", "register", "initiate", "complete", "download", "manage", "verify"];
const STARTS: usize = 25;
const NONCE: &str = "AAAAAAAAAAAAAAAAAAAAAA";
const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
/// The most CPU time, in nanoseconds, up to the end of the first handshake.
const HANDSHAKE: u64 = 5 * MILLISECOND;

/// What is asked of `bench cold`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    starts: usize,
    /// Whether the programs are built before, or those of the last run are measured again.
    build: bool,
}

impl Plan {
    /// Reads the words after `cold`; `None` where one is unknown.
    pub(crate) fn asked(words: &[&str]) -> Option<Self> {
        match words {
            [] => Some(Self { starts: STARTS, build: true }),
            ["--built", rest @ ..] => Some(Self { build: false, ..Self::asked(rest)? }),
            ["--starts", number, rest @ ..] => {
                let starts = number.parse().ok().filter(|number| *number > 0)?;
                Some(Self { starts, ..Self::asked(rest)? })
            }
            _ => None,
        }
    }
}

/// Measures, prints every bar, and answers whether all are held.
pub(crate) fn cold(workspace: &Workspace, plan: Plan) -> Result<bool, String> {
    if !cfg!(target_os = "linux") {
        return Err(
            "`bench cold` needs Linux: no other system tells the CPU time of a process so finely".into()
        );
    }
    let programs = workspace.target("bench").join("programs");
    if plan.build {
        build(workspace, &programs)?;
    }
    let mut bars = sizes(&programs)?;
    let stage = Stage::set(workspace, &programs)?;
    let (empty, decide) = (programs.join(EMPTY), programs.join("decide"));
    let empty = Subject { program: &empty, environment: Vec::new(), decides: false };
    let decide = Subject { program: &decide, environment: stage.environment(&[]), decides: true };
    compare_starts(&stage, (&empty, &decide), plan.starts, &mut bars)?;
    compare_warm((&empty, &decide), &mut bars)?;
    Ok(report::print(&bars))
}

/// Builds the programs one by one, as they are deployed, since what one of them wants of a library all have that are
/// built at once; and puts them aside, where no other build replaces them.
fn build(workspace: &Workspace, folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    for name in FUNCTIONS.into_iter().chain([EMPTY]) {
        let mut cargo = workspace.command("cargo");
        // There cargo finds how they are built to be deployed: `functions/.cargo/config.toml`.
        cargo.current_dir(workspace.path("functions"));
        cargo.args(["build", "--release", "--locked", "--bins", "--package", name]);
        programs::run(&mut cargo)?;
        fs::copy(workspace.target("release").join(name), folder.join(name))
            .map_err(|error| format!("cannot copy {name}: {error}"))?;
    }
    Ok(())
}

fn sizes(programs: &Path) -> Result<Vec<Bar>, String> {
    let size = |name: &str| {
        let path = programs.join(name);
        path.metadata().map(|data| data.len()).map_err(|error| format!("no {}: {error}", path.display()))
    };
    let empty = size(EMPTY)?;
    println!("\nsize in bytes: {EMPTY} {empty}");
    let mut bars = Vec::new();
    for name in FUNCTIONS {
        let (bytes, limit) = (size(name)?, if name == "decide" { 280 } else { 320 });
        println!("  {name} {bytes}");
        bars.push(Bar::new("P3", &format!("size of {name}"), (bytes, empty), limit));
    }
    Ok(bars)
}

fn compare_starts(
    stage: &Stage,
    (empty, decide): (&Subject<'_>, &Subject<'_>),
    count: usize,
    bars: &mut Vec<Bar>,
) -> Result<(), String> {
    let (mut nothing, mut decision, mut before) = (Starts::default(), Starts::default(), Samples::default());
    for _ in 0..count {
        empty.start(&mut nothing)?;
        decide.start(&mut decision)?;
        before.add(decide.up_to_handshake(stage)?);
    }
    let of = |samples: &Samples| samples.show(MILLISECOND, "ms");
    println!("\nCPU of a start: median (least to most) of {count}");
    println!("  {EMPTY}, to the first /next: {}", of(&nothing.next));
    println!("  decide, to the first handshake: {}", of(&before));
    println!("  decide, to the first /next: {}", of(&decision.next));
    println!("  {EMPTY}, to the end of the first answer: {}", of(&nothing.first));
    println!("  decide, to the end of the first answer: {}", of(&decision.first));
    println!("  {EMPTY}, resident: {}", nothing.resident.show(1_024, "MiB"));
    println!("  decide, resident: {}", decision.resident.show(1_024, "MiB"));
    let next = nothing.next.median();
    let pair = |these: &Samples, those: &Samples| (these.median(), those.median());
    let more = decision.next.median().saturating_sub(next);
    bars.extend([
        Bar::new("P1", "CPU of decide to its first handshake", (before.median(), next), 140),
        Bar::new("P1", "CPU of decide to /next, with that call", (decision.next.median(), next), 200),
        Bar::new("P2", "CPU of decide to the first answer", pair(&decision.first, &nothing.first), 200),
        Bar::new("P4", "memory after the first decision", pair(&decision.resident, &nothing.resident), 200),
        Bar::new("P13", "CPU of decide to /next beyond the empty one's, of 5 ms", (more, HANDSHAKE), 100),
    ]);
    Ok(())
}

fn compare_warm((empty, decide): (&Subject<'_>, &Subject<'_>), bars: &mut Vec<Bar>) -> Result<(), String> {
    let nothing = empty.warm(None)?;
    let (cached, signed) = (decide.warm(None)?, decide.warm(Some(NONCE))?);
    println!("\nCPU of a warm invocation: median (least to most)");
    for (name, samples) in [(EMPTY, &nothing), ("decide, from memory", &cached), ("decide, signed", &signed)]
    {
        println!("  {name}: {}", samples.show(MICROSECOND, "µs"));
    }
    let base = nothing.median();
    bars.push(Bar::new("P5", "CPU of a decision from memory", (cached.median(), base), 115));
    bars.push(Bar::new("P5", "CPU of a decision with a nonce", (signed.median(), base), 160));
    Ok(())
}
