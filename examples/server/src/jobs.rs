//! What a server does now and then: ends what has had its time, tidies, and gives space back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};
use wm_core::model::Organization;
use wm_core::traits::Clock;

use crate::services::Services;
use crate::setup;
use crate::shutdown::Shutdown;
use crate::source::SystemClock;

/// Seconds between two rounds, unless the settings say otherwise.
pub(crate) const EVERY: u64 = 60 * 60;

/// Percent of a segment that nothing needs, from which on it is compacted.
const GARBAGE: u8 = 50;

/// Does a round at once and one after each `every`, until the shutdown. A round may be cut short at any
/// moment: what was not done, the next one does.
pub(crate) async fn run(services: Arc<Services>, every: Duration, shutdown: Shutdown) {
    let rounds = async {
        let mut due = interval(every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            round(&services).await;
        }
    };
    tokio::select! {
        () = shutdown.requested() => {}
        () = rounds => {}
    }
}

/// One job after the other; one that fails keeps none of the others from being done.
async fn round(services: &Services) {
    let Services {
        store, directory, ..
    } = services;
    let now = SystemClock.now();
    let audit = |organization: &Organization, name: &str| {
        setup::audit(organization.account, organization.id, name)
    };

    // What a crash has left unfinished, and the journal.
    done("clean up", store.clean_up().await);
    match directory.remove_retired(now, audit).await {
        Ok(removed) => {
            for mailbox in removed {
                info!(%mailbox, "removed for good: its time after being disabled is over");
            }
        }
        Err(error) => done::<(), _>("remove mailboxes", Err(error)),
    }
    match directory.finish_removals(audit).await {
        Ok(removed) => {
            for organization in removed {
                info!(%organization, "removed for good");
            }
        }
        Err(error) => done::<(), _>("remove organizations", Err(error)),
    }
    done("expire protocol state", store.expire_states(now).await);
    done("forget history", store.forget_history(now).await);
    done("forget acceptances", store.forget_accepted(now).await);
    match store.compact(GARBAGE, |_, _| {}).await {
        Ok(it) if it.removed > 0 => {
            info!(segments = it.removed, octets = it.octets, "compacted");
        }
        other => done("compact", other.map(drop)),
    }
    debug!("jobs done");
}

fn done<T, E: std::error::Error + Send + Sync + 'static>(job: &str, outcome: Result<T, E>) {
    if let Err(error) = outcome {
        let error = anyhow::Error::new(error);
        warn!(
            job,
            error = format!("{error:#}"),
            "a job failed; it is tried again later"
        );
    }
}
