use super::EngineError;
use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
};

/// Runs `work` of the library called `library` and makes a panic in it a typed error.
pub(super) fn guarded<V>(
    library: &str,
    work: impl FnOnce() -> Result<V, EngineError>,
) -> Result<V, EngineError> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        // Some messages go on to show a whole page.
        let message: String = message(&*payload).chars().take(200).collect();
        Err(EngineError::corrupt(format!(
            "{library} panicked: {message}"
        )))
    })
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
