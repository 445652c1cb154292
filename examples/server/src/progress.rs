//! Progress bars, where somebody watches.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over octets on standard error, hidden where that is no terminal or when `quiet`.
pub(crate) fn bar(octets: u64, quiet: bool) -> ProgressBar {
    new(
        octets,
        quiet,
        "{bar:30} {binary_bytes} of {binary_total_bytes} {msg}, {eta} left",
    )
}

/// A bar over things that are counted, or over parts of a whole.
pub(crate) fn counter(quiet: bool) -> ProgressBar {
    new(0, quiet, "{msg} {bar:30} {pos} of {len}, {eta} left")
}

fn new(length: u64, quiet: bool, template: &str) -> ProgressBar {
    let target = match !quiet && std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let style = ProgressStyle::with_template(template);
    ProgressBar::with_draw_target(Some(length), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
