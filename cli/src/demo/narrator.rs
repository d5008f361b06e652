//! Tells each step of the demo as it happens: what, whether it worked, how long it took.

use std::future::Future;
use std::time::Instant;

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::Output;

/// How wide the text of a step is before its time follows.
const WIDTH: usize = 64;

/// Tells and remembers steps.
#[derive(Debug)]
pub(super) struct Narrator {
    out: Output,
    steps: Vec<Value>,
}

impl Narrator {
    pub(super) fn new(out: Output) -> Self {
        Self { out, steps: Vec::new() }
    }

    /// Does the work and tells what came of it.
    pub(super) async fn step<T: Send>(
        &mut self,
        what: &str,
        work: impl Future<Output = Result<T, Failure>> + Send,
        tell: impl FnOnce(&T) -> String + Send,
    ) -> Result<T, Failure> {
        let started = Instant::now();
        let result = work.await;
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (mark, said) = match &result {
            Ok(done) => ("✓", tell(done)),
            Err(_) => ("✗", String::new()),
        };
        let text = format!("{what}{}{said}", if said.is_empty() { "" } else { ": " });
        self.line(&format!("  {mark} {text:<WIDTH$} {duration_ms:>6} ms"))?;
        self.steps
            .push(json!({ "step": what, "ok": result.is_ok(), "said": said, "duration_ms": duration_ms }));
        result
    }

    /// Tells something that is no step.
    pub(super) fn line(&self, text: &str) -> Result<(), Failure> {
        if self.out.is_json() { Ok(()) } else { self.out.line(&crate::table::printable_lines(text)) }
    }

    /// The steps for programs.
    pub(super) fn end(self, base_url: &str) -> Result<(), Failure> {
        if self.out.is_json() {
            self.out.json(&json!({ "base_url": base_url, "steps": self.steps }))?;
        }
        Ok(())
    }
}
