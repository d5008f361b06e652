//! What is logged while a test runs, on its own thread.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, Once, PoisonError},
};

use serde_json::{Map, Value};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::DefaultGuard,
};

/// The lines that are logged on this thread as long as it is kept.
#[derive(Debug)]
pub struct Log {
    lines: Arc<Mutex<Vec<Value>>>,
    _guard: DefaultGuard,
}

impl Log {
    /// Reads from now on. A test that does must run on one thread.
    pub fn read() -> Self {
        // Whether a line is wanted is asked on the thread that meets it first, and remembered for all: where nobody read
        // there, it would be lost here. So every thread has somebody who wants it.
        static EVERYWHERE: Once = Once::new();
        EVERYWHERE.call_once(|| {
            let _ = tracing::subscriber::set_global_default(Lines(None));
        });
        let lines = Arc::default();
        let guard = tracing::subscriber::set_default(Lines(Some(Arc::clone(&lines))));
        Self { lines, _guard: guard }
    }

    /// What was logged since this was asked last and has a field of this name.
    pub fn with(&self, field: &str) -> Vec<Value> {
        let lines = std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        lines.into_iter().filter(|line| line.get(field).is_some()).collect()
    }
}

/// Keeps each event as an object of its level and its fields, where there is somebody to read it.
struct Lines(Option<Arc<Mutex<Vec<Value>>>>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
    }

    fn event(&self, event: &Event<'_>) {
        let Some(lines) = &self.0 else { return };
        let mut line = Line(Map::new());
        line.0.insert("level".to_owned(), event.metadata().level().as_str().into());
        event.record(&mut line);
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(Value::Object(line.0));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line(Map<String, Value>);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}
