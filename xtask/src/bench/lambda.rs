//! A program of a function, started and invoked as Lambda does it: over the Runtime API, on loopback.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

/// What the program asked the Runtime API, and where the answer goes.
#[derive(Debug)]
struct Call {
    path: String,
    body: Vec<u8>,
    stream: TcpStream,
}

/// A running program that has asked for its next invocation.
#[derive(Debug)]
pub(crate) struct Function {
    child: Child,
    calls: Receiver<Call>,
    /// Where the next invocation is waited for.
    waiting: Option<TcpStream>,
    name: String,
}

impl Function {
    /// Starts a program and waits until it asks for its first invocation. Its words go into `log`.
    pub(crate) fn start(
        program: &Path,
        environment: &[(String, String)],
        log: Option<&Path>,
    ) -> Result<Self, String> {
        let mut function = Self::spawn(program, environment, log)?;
        function.wait_for_next()?;
        Ok(function)
    }

    /// Starts a program and waits for nothing.
    pub(crate) fn spawn(
        program: &Path,
        environment: &[(String, String)],
        log: Option<&Path>,
    ) -> Result<Self, String> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let (sender, calls) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sender = sender.clone();
                thread::spawn(move || listen(&stream, &sender));
            }
        });
        let errors = match log {
            Some(log) => Stdio::from(
                File::create(log).map_err(|error| format!("cannot write {}: {error}", log.display()))?,
            ),
            None => Stdio::null(),
        };
        let child = Command::new(program)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", &name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        Ok(Self { child, calls, waiting: None, name })
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has one event dealt with, and waits until the next is asked for; what was answered.
    pub(crate) fn invoke(&mut self, event: &str) -> Result<Value, String> {
        let mut stream = self.waiting.take().ok_or("the function is not waiting")?;
        let head = "Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
                    Lambda-Runtime-Deadline-Ms: 4102444800000\r\n\
                    Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-central-1:123456789012:function:decide\r\n";
        answer(&mut stream, "200 OK", head, event)?;
        let mut call = self.call()?;
        answer(&mut call.stream, "202 Accepted", "", "{\"status\":\"OK\"}")?;
        let text = String::from_utf8_lossy(&call.body);
        if !call.path.ends_with("/response") {
            return Err(format!("{} failed at {}: {text}", self.name, call.path));
        }
        let value = serde_json::from_str(&text).map_err(|_| format!("{} answered {text}", self.name))?;
        self.wait_for_next()?;
        Ok(value)
    }

    fn wait_for_next(&mut self) -> Result<(), String> {
        let call = self.call()?;
        if !call.path.ends_with("/invocation/next") {
            return Err(format!("{} told {}: {}", self.name, call.path, String::from_utf8_lossy(&call.body)));
        }
        self.waiting = Some(call.stream);
        Ok(())
    }

    fn call(&mut self) -> Result<Call, String> {
        self.calls.recv_timeout(PATIENCE).map_err(|_| match self.child.try_wait() {
            Ok(Some(status)) => format!("{} ended with {status}", self.name),
            _ => format!("{} has asked for nothing for {} s", self.name, PATIENCE.as_secs()),
        })
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // It can only fail for a child that has ended, and that is what is wanted.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Hands every request of a connection over, until it ends.
fn listen(stream: &TcpStream, calls: &Sender<Call>) {
    // Without it an answer may wait for an acknowledgement.
    _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    while let Some((path, body)) = request(&mut reader) {
        let Ok(stream) = stream.try_clone() else { return };
        if calls.send(Call { path, body, stream }).is_err() {
            return;
        }
    }
}

fn request(reader: &mut BufReader<&TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, body))
}

fn answer(stream: &mut TcpStream, status: &str, head: &str, body: &str) -> Result<(), String> {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\n{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).map_err(|error| format!("a function went away: {error}"))
}
