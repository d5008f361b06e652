//! Logs: one structured line per request and one per failure, JSON on standard error.

use tracing::level_filters::LevelFilter;

/// Starts logging; lines below `level` (such as `info`) are left out. Starting twice changes nothing.
pub fn start(level: &str) {
    let lines = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_max_level(level.parse().unwrap_or(LevelFilter::INFO))
        .with_writer(std::io::stderr);
    // Another subscriber is there already only where a test made one.
    let _ = lines.try_init();
}
