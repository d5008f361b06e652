//! Starts and invocations, counted in CPU time of the process.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lambda::Function;
use super::process;
use super::report::Samples;
use super::stage::{PRODUCTS, Stage, request};

/// Invocations of one warm measurement, and how many of these are made.
const INVOCATIONS: u64 = 500;
const ROUNDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(20);

/// What was counted of starts: nanoseconds, and KiB of memory.
#[derive(Debug, Default)]
pub(crate) struct Starts {
    /// Up to the first request for an invocation.
    pub(crate) next: Samples,
    /// Up to the end of the first answer.
    pub(crate) first: Samples,
    /// Resident after the first answer.
    pub(crate) resident: Samples,
}

/// A program as it is started and asked.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    /// The program.
    pub(crate) program: &'a Path,
    /// Its environment.
    pub(crate) environment: Vec<(String, String)>,
    /// Whether it answers with decisions.
    pub(crate) decides: bool,
}

impl Subject<'_> {
    /// Starts the program once, has it answer once, and counts both.
    pub(crate) fn start(&self, starts: &mut Starts) -> Result<(), String> {
        let mut function = Function::start(self.program, &self.environment, None)?;
        starts.next.add(process::cpu(function.pid())?);
        self.ask(&mut function, &question(None))?;
        starts.first.add(process::cpu(function.pid())?);
        starts.resident.add(process::resident(function.pid())?);
        Ok(())
    }

    /// Counts one invocation of a program that has had many.
    pub(crate) fn warm(&self, nonce: Option<&str>) -> Result<Samples, String> {
        let mut function = Function::start(self.program, &self.environment, None)?;
        let event = question(nonce);
        for _ in 0..INVOCATIONS {
            self.ask(&mut function, &event)?;
        }
        let mut samples = Samples::default();
        for _ in 0..ROUNDS {
            let before = process::cpu(function.pid())?;
            for _ in 0..INVOCATIONS {
                self.ask(&mut function, &event)?;
            }
            samples.add(process::cpu(function.pid())?.saturating_sub(before) / INVOCATIONS);
        }
        Ok(samples)
    }

    /// Counts the start of a program up to the moment when it waits for its first answer over TLS.
    pub(crate) fn up_to_handshake(&self, stage: &Stage) -> Result<u64, String> {
        // It takes connections and never says anything.
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
        silent.set_nonblocking(true).map_err(|error| error.to_string())?;
        let address = silent.local_addr().map_err(|error| error.to_string())?;
        let url = format!("https://{address}");
        let endpoints = [("BP_METADATA__DYNAMODB__ENDPOINT", &*url), ("BP_SIGNING__KMS__ENDPOINT", &*url)];
        let function = Function::spawn(self.program, &stage.environment(&endpoints), None)?;
        let started = Instant::now();
        let _connection = loop {
            match silent.accept() {
                Ok(connection) => break connection,
                Err(_) if started.elapsed() < PATIENCE => sleep(Duration::from_millis(1)),
                Err(error) => return Err(format!("no connection was made: {error}")),
            }
        };
        process::cpu(function.pid())
    }

    fn ask(&self, function: &mut Function, event: &str) -> Result<(), String> {
        let answer = function.invoke(event)?;
        let signed =
            |body: &str| body.contains("\"reason\":\"NEW_RELEASE\"") && body.contains("\"signature\":\"ey");
        let good = !self.decides || answer.get("body").and_then(Value::as_str).is_some_and(signed);
        if good { Ok(()) } else { Err(format!("no decision: {answer}")) }
    }
}

fn question(nonce: Option<&str>) -> String {
    let row = json!({ "product_id": PRODUCTS[0], "current_version": "1.0.0", "platform": "windows",
        "arch": "x86_64" });
    let mut body = json!({ "products": [row], "client_id": "d3b07384-d113-4ec4-8f0f-5e7f0a1b2c3d" });
    if let (Some(nonce), Value::Object(members)) = (nonce, &mut body) {
        members.insert("nonce".into(), nonce.into());
    }
    request("POST", "/v1/decision", None, &body)
}
