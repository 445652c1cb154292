//! The end of serving: asked for once, heard everywhere.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
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

/// SIGTERM and SIGINT, heard from when this is made.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Ends with the first of them; answers which.
    pub(crate) async fn received(mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
