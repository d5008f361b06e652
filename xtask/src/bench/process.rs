//! What the kernel says about a process: nanoseconds on a processor, and resident memory.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::tools::read;

/// Between two looks at a process that is becoming idle.
const PAUSE: Duration = Duration::from_micros(500);
const PATIENCE: Duration = Duration::from_secs(2);

/// CPU time in nanoseconds, user and system, of all threads since the process began. Linux alone counts it so finely.
///
/// Waits until every thread is asleep: only then is the count of its current stretch added.
pub(crate) fn cpu(pid: u32) -> Result<u64, String> {
    let started = Instant::now();
    let mut before = None;
    while started.elapsed() < PATIENCE {
        let now = threads(pid)?;
        if now.asleep && before == Some(now.nanoseconds) {
            return Ok(now.nanoseconds);
        }
        before = Some(now.nanoseconds);
        sleep(PAUSE);
    }
    Err(format!("process {pid} does not become idle"))
}

#[derive(Debug)]
struct Threads {
    nanoseconds: u64,
    asleep: bool,
}

fn threads(pid: u32) -> Result<Threads, String> {
    let folder = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&folder).map_err(|error| format!("cannot read {folder}: {error}"))?;
    let mut sum = Threads { nanoseconds: 0, asleep: true };
    for task in tasks.flatten() {
        let (schedstat, stat) = (read(&task.path().join("schedstat"))?, read(&task.path().join("stat"))?);
        let spent = first_number(&schedstat);
        sum.nanoseconds += spent.ok_or_else(|| format!("process {pid} has no proper schedstat"))?;
        // The state follows the program's name, which ends with the last parenthesis.
        sum.asleep &= stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'));
    }
    Ok(sum)
}

/// Resident memory in KiB.
pub(crate) fn resident(pid: u32) -> Result<u64, String> {
    let text = read(&PathBuf::from(format!("/proc/{pid}/status")))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(first_number).ok_or_else(|| format!("the status of process {pid} has no VmRSS"))
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}
