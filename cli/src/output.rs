//! Standard output: JSON for programs, tables for people.

use std::io::{self, Write as _};
use std::path::Path;

use serde_json::Value;

use crate::failure::Failure;

/// How answers are printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether programs read along.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints the service's JSON, or what `human` makes of it.
    pub(crate) fn show(self, value: &Value, human: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        if self.json { self.json(value) } else { self.line(&human(value)) }
    }

    /// Prints JSON, indented.
    pub(crate) fn json(self, value: &Value) -> Result<(), Failure> {
        self.line(&format!("{value:#}"))
    }

    /// Prints text and a new line.
    pub(crate) fn line(self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Prints bytes as they are. A reader that has gone away is no failure: it had enough.
    #[expect(clippy::unused_self, reason = "whoever prints holds an Output")]
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Failure::file(Path::new("/dev/stdout"))(error)),
            Ok(()) => Ok(()),
        }
    }

    /// Tells people something that is not the answer.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            eprintln!("{}", crate::table::printable_lines(text));
        }
    }
}
