//! The end of serving: asked for once, heard everywhere.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How long a shutdown waits for what is in flight before it is cut off.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Hears of the shutdown.
#[derive(Debug, Clone)]
pub(crate) struct Shutdown(watch::Receiver<bool>);

/// Asks for the shutdown; dropped, it asks for it too.
#[derive(Debug)]
pub(crate) struct Trigger(watch::Sender<bool>);

impl Shutdown {
    pub(crate) fn new() -> (Trigger, Self) {
        let (sender, receiver) = watch::channel(false);
        (Trigger(sender), Self(receiver))
    }

    /// Ends when the shutdown has been asked for.
    pub(crate) async fn requested(mut self) {
        // An error means that the trigger is gone.
        let _ = self.0.wait_for(|requested| *requested).await;
    }
}

impl Trigger {
    pub(crate) fn pull(&self) {
        self.0.send_replace(true);
    }
}

/// Ends with the first SIGTERM or SIGINT; answers which.
pub(crate) async fn signalled() -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
