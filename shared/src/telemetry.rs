//! Logs: one line of JSON per request and one per failure, on standard error.
//!
//! A subscriber of our own: the one that everybody uses was a good part of what a warm decision costs a function beyond
//! an empty invocation (`docs/performance.md`). It knows no spans: nobody here opens any, and those of libraries are not shown.

use std::{
    fmt::{Debug, Display},
    io::{self, Write as _},
};

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

/// Starts logging; lines below `level` (such as `info`) are left out. Starting twice changes nothing.
pub fn start(level: &str) {
    let most = level.parse().unwrap_or(LevelFilter::INFO);
    // Another subscriber is there already only where a test made one.
    let _ = tracing::subscriber::set_global_default(Lines { most, write: to_standard_error });
}

/// Where nobody reads what is logged, nobody can be told so.
fn to_standard_error(line: &[u8]) {
    let _ = io::stderr().write_all(line);
}

/// Writes each event as a line.
struct Lines {
    most: LevelFilter,
    write: fn(&[u8]),
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.most
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.most)
    }

    #[expect(clippy::disallowed_methods, reason = "when a line is written is no input of anything")]
    fn event(&self, event: &Event<'_>) {
        let mut line = Line::new(event.metadata(), OffsetDateTime::now_utc());
        event.record(&mut line);
        (self.write)(&line.end());
    }

    // Spans are not enabled, so nobody ever has one.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// A line that is being written: a JSON object with the time, the level, and the event's fields as they come.
struct Line(Vec<u8>);

impl Line {
    fn new(metadata: &Metadata<'_>, now: OffsetDateTime) -> Self {
        let mut line = Self(Vec::with_capacity(512));
        line.0.extend_from_slice(b"{\"timestamp\":\"");
        // Of what is written into memory and is a time of today, nothing fails.
        let _ = now.format_into(&mut line.0, &Rfc3339);
        line.0.extend_from_slice(b"\",\"level\":\"");
        line.0.extend_from_slice(metadata.level().as_str().as_bytes());
        line.0.push(b'"');
        line
    }

    fn member(&mut self, field: &Field, value: &(impl Serialize + ?Sized)) {
        self.0.extend_from_slice(b",\"");
        // Names are written in the source, without anything to escape.
        self.0.extend_from_slice(field.name().as_bytes());
        self.0.extend_from_slice(b"\":");
        let _ = serde_json::to_writer(&mut self.0, value);
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"}\n");
        self.0
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.member(field, &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.member(field, &(value as &dyn Display).to_string());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.member(field, &value);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::{Value, json};

    use super::*;

    thread_local! {
        static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }

    fn logged(most: LevelFilter, events: impl FnOnce()) -> Vec<Value> {
        WRITTEN.take();
        let write = |line: &[u8]| WRITTEN.with_borrow_mut(|all| all.extend_from_slice(line));
        tracing::subscriber::with_default(Lines { most, write }, events);
        let text = String::from_utf8(WRITTEN.take()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn an_event_is_one_line_of_json_with_its_fields() {
        let cause = io::Error::other("a \"quoted\"\nreason");
        let lines = logged(LevelFilter::INFO, || {
            let absent: Option<&str> = None;
            let status = 200_u16;
            tracing::info!(
                request.id = "é\u{1}",
                http.status = status,
                code = absent,
                ok = true,
                duration_ms = 1.5,
                left = -3,
                not_a_number = f64::NAN,
                "asked {}",
                "twice"
            );
            tracing::warn!(error = %cause, cause = ?cause.kind(), source = &cause as &dyn std::error::Error);
        });
        let [mut first, second]: [Value; 2] = lines.try_into().unwrap();
        let time = first.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert!(OffsetDateTime::parse(time.as_str().unwrap(), &Rfc3339).is_ok(), "{time}");
        let expected = json!({"level": "INFO", "message": "asked twice", "request.id": "é\u{1}", "http.status": 200,
            "ok": true, "duration_ms": 1.5, "left": -3, "not_a_number": null});
        assert_eq!(first, expected);
        assert_eq!(second["level"], "WARN");
        assert_eq!(
            (&second["error"], &second["source"]),
            (&json!(cause.to_string()), &json!(cause.to_string()))
        );
        assert_eq!(second["cause"], "Other");
    }

    #[test]
    fn what_is_below_the_level_and_what_is_a_span_is_left_out() {
        let lines = logged(LevelFilter::WARN, || {
            let span = tracing::error_span!("a span");
            let _entered = span.enter();
            tracing::info!("too much");
            tracing::error!("enough");
        });
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["message"], "enough");
    }
}
