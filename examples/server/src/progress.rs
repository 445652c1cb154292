//! Progress bars, where somebody watches.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over octets on standard error, hidden where that is no terminal or when `quiet`.
pub(crate) fn bar(octets: u64, quiet: bool) -> ProgressBar {
    let target = match !quiet && std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let style = ProgressStyle::with_template(
        "{bar:30} {binary_bytes} of {binary_total_bytes} {msg}, {eta} left",
    );
    ProgressBar::with_draw_target(Some(octets), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
