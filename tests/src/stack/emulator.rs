//! Functions as Lambda runs them: the release binaries under AWS's runtime interface emulator.
//!
//! An emulator holds one process of a function and gives it one event at a time, as Lambda does with an execution
//! environment. So each function has a few of them, started when all others are busy, and kept.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::template::Function;
use crate::settings;

/// How many processes of one function there are at most.
const PROCESSES: usize = 4;

/// Ends the emulator with its standard input, so that none outlives the tests, however these end.
const GUARD: &str = r#"exec 3<&0; "$@" 3<&- </dev/null & cat <&3 >/dev/null; kill -9 $! 2>/dev/null"#;

/// A function and its running processes.
#[derive(Debug)]
pub(super) struct Runner {
    client: Client,
    program: PathBuf,
    environment: BTreeMap<String, String>,
    log: PathBuf,
    free: Semaphore,
    idle: Mutex<Vec<Process>>,
}

/// Why a function gave no answer.
#[derive(Debug)]
pub(super) struct Failed(pub(super) String);

#[derive(Debug)]
struct Process {
    child: Child,
    url: String,
}

impl Runner {
    /// A function of which nothing runs yet; what it says goes into a file.
    pub(super) fn new(client: Client, function: Function, log: &Path) -> Self {
        let program = settings::function(&function.program);
        let mut environment = function.environment;
        environment.extend(
            [
                ("AWS_LAMBDA_FUNCTION_NAME", function.program),
                ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
                ("AWS_LAMBDA_FUNCTION_TIMEOUT", function.timeout.to_string()),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory.to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        let (free, idle) = (Semaphore::new(PROCESSES), Mutex::new(Vec::new()));
        Self { client, program, environment, log: log.to_owned(), free, idle }
    }

    /// Has the function deal with an event.
    pub(super) async fn invoke(&self, event: &Value) -> Result<Vec<u8>, Failed> {
        let _permit = self.free.acquire().await.expect("never closed");
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let process = match idle {
            Some(process) => process,
            None => self.start().await?,
        };
        let request = self.client.post(&process.url).body(event.to_string());
        // Whoever gave no answer is not asked again.
        let broken = |error: reqwest::Error| Failed(format!("{}: {error:?}", self.program.display()));
        let answer = request.send().await.map_err(broken)?.bytes().await.map_err(broken)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(process);
        match serde_json::from_slice::<Value>(&answer) {
            Ok(said) if said.get("errorType").is_none() => Ok(answer.into()),
            _ => Err(Failed(String::from_utf8_lossy(&answer).into_owned())),
        }
    }

    /// Ends every process.
    pub(super) fn stop(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn start(&self) -> Result<Process, Failed> {
        let [front, api] = [(); 2].map(|()| free_address());
        let log = || File::options().create(true).append(true).open(&self.log).expect("a log");
        let child = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(settings::emulator())
            .args(["--log-level", "warn", "--runtime-interface-emulator-address", &front])
            .args(["--runtime-api-address", &api])
            .args([&self.program, Path::new("bootstrap")])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(&self.environment)
            .stdin(Stdio::piped())
            .stdout(log())
            .stderr(log())
            .spawn()
            .expect("a started emulator");
        let process =
            Process { child, url: format!("http://{front}/2015-03-31/functions/function/invocations") };
        let started = Instant::now();
        // It opens the one after the other, and an event that comes in between is lost.
        while TcpStream::connect(&front).await.is_err() || TcpStream::connect(&api).await.is_err() {
            if started.elapsed() > Duration::from_secs(20) {
                return Err(Failed(format!("the emulator of {} does not answer", self.program.display())));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(process)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // An error means that it has ended already.
        _ = self.child.wait();
    }
}

/// An address that nobody else is given: those are below the ports that the system hands out by itself, as to clients.
fn free_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id().wrapping_mul(64));
        let address = format!("127.0.0.1:{}", 12_000 + number % 20_000);
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}
