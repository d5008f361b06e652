//! Progress bars: on standard error, and only where a person looks.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;

/// How a bar over bytes looks.
const BYTES: &str = "{msg:>10} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
/// How waiting looks.
const WAITING: &str = "{msg:>10} {spinner} {elapsed}";

/// A bar over `size_bytes` bytes; it draws nothing unless standard error is a terminal.
pub(crate) fn bytes(out: Output, what: &'static str, size_bytes: u64) -> ProgressBar {
    styled(out, ProgressBar::with_draw_target(Some(size_bytes), ProgressDrawTarget::hidden()), BYTES, what)
}

/// A sign that something is awaited.
pub(crate) fn waiting(out: Output, what: &'static str) -> ProgressBar {
    styled(out, ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()), WAITING, what)
}

fn styled(out: Output, bar: ProgressBar, template: &str, what: &'static str) -> ProgressBar {
    if !out.is_json() {
        bar.set_draw_target(ProgressDrawTarget::stderr());
    }
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar.set_message(what);
    bar
}
