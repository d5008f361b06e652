//! Servers that run beside the tests: on a free loopback port, and never longer than this program.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::sockets;

const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(100);
const GRACE: Duration = Duration::from_secs(3);

/// A server that this program started; it is stopped when the value goes.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    child: Child,
    port: u16,
}

impl Server {
    /// Starts what `command` says for a port, and waits until it answers. Its words go into a file beside the tools.
    ///
    /// The server is expected to end with its standard input: so it does when this program is killed.
    pub(crate) fn start(
        name: &'static str,
        log: &Path,
        command: impl Fn(u16) -> Command,
    ) -> Result<Self, String> {
        // Between finding a port and listening on it somebody else may take it.
        let mut last = String::new();
        for _ in 0..3 {
            match Self::attempt(name, log, &command)? {
                Ok(server) => return Ok(server),
                Err(message) => last = message,
            }
        }
        Err(last)
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// An error where others than this machine can reach it, or another server that it started.
    pub(crate) fn stays_here(&self) -> Result<(), String> {
        let open = sockets::beyond_loopback(self.child.id());
        if open.is_empty() {
            return Ok(());
        }
        Err(format!("{} can be reached from elsewhere: {}", self.name, open.join(", ")))
    }

    /// Waits until it is to end; an error where it ends by itself.
    pub(crate) fn wait(&mut self, is_over: impl Fn() -> bool) -> Result<(), String> {
        // `Child::wait` would close the standard input, and the server would end with it.
        while !self.has_ended()? {
            if is_over() {
                return Ok(());
            }
            sleep(PAUSE);
        }
        Err(format!("{} ended", self.name))
    }

    /// The inner error is of a server that ended by itself.
    fn attempt(
        name: &'static str,
        log: &Path,
        command: impl Fn(u16) -> Command,
    ) -> Result<Result<Self, String>, String> {
        let port = free_port()?;
        let unwritable = |error| format!("cannot write {}: {error}", log.display());
        let output = File::create(log).map_err(unwritable)?;
        let errors = output.try_clone().map_err(unwritable)?;
        let child = command(port)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        let mut server = Self { name, child, port };
        let started = Instant::now();
        while !server.has_ended()? {
            if answers(port) && !server.has_ended()? {
                eprintln!("{name} started in {:.1} s", started.elapsed().as_secs_f64());
                server.stays_here()?;
                return Ok(Ok(server));
            }
            if started.elapsed() > PATIENCE {
                return Err(format!("{name} does not answer; it said:\n{}", tail(log)));
            }
            sleep(PAUSE);
        }
        Ok(Err(format!("{name} ended at once; it said:\n{}", tail(log))))
    }

    fn has_ended(&mut self) -> Result<bool, String> {
        let status =
            self.child.try_wait().map_err(|error| format!("cannot ask after {}: {error}", self.name))?;
        Ok(status.is_some())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let asked = Instant::now();
        while asked.elapsed() < GRACE {
            if self.has_ended() != Ok(false) {
                return;
            }
            sleep(PAUSE);
        }
        // It can only fail for a child that has ended, and that is what is wanted.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn free_port() -> Result<u16, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("cannot find a free port: {error}"))
}

/// Whether something speaks HTTP there.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line)
    };
    ask().is_ok_and(|line| line.starts_with("HTTP/1."))
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
}
