//! What runs beside the requests: checks of external artifacts, and the sweep every minute.

use std::{sync::Arc, time::Duration};

use shared::{
    app::{
        external::{self, Which},
        sweep::{self, Leases},
    },
    wiring::Embedded,
};
use tokio::{sync::watch, task::JoinSet, time::Instant};

const MINUTE: Duration = Duration::from_secs(60);
/// How many runs of checks may be under way: a slow host must not hold up the others.
const MAX_RUNS: usize = 16;

/// Runs until it is told to stop.
pub(super) async fn run(service: Embedded, mut stopping: watch::Receiver<bool>) {
    let service = Arc::new(service);
    let mut runs = JoinSet::new();
    let mut next_sweep = Instant::now() + MINUTE;
    tidy(&service, Leases::Abandoned).await;
    runs.spawn(checks(Arc::clone(&service), Which::All));
    let mut next_checks = next_sweep;
    loop {
        tokio::select! {
            () = told_to_stop(&mut stopping) => return,
            () = service.context.bell.notified(), if runs.len() < MAX_RUNS => {
                runs.spawn(checks(Arc::clone(&service), Which::Due));
            }
            () = tokio::time::sleep_until(next_checks), if runs.len() < MAX_RUNS => {
                next_checks = Instant::now() + MINUTE;
                runs.spawn(checks(Arc::clone(&service), Which::Due));
            }
            () = tokio::time::sleep_until(next_sweep) => {
                next_sweep = Instant::now() + MINUTE;
                tidy(&service, Leases::Held).await;
            }
            Some(done) = runs.join_next() => {
                let due = done.ok().flatten();
                next_checks = due.map_or(next_checks, |due| next_checks.min(due));
            }
        }
    }
}

/// Waits until the service is told to stop.
pub(super) async fn told_to_stop(stopping: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Makes the checks that are due; tells when the next is.
async fn checks(service: Arc<Embedded>, which: Which) -> Option<Instant> {
    match external::run(&service.context, &service.checker, which).await {
        Ok(next) => {
            let wait = next?.saturating_sub(service.context.clock.now_ms());
            Some(Instant::now() + Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
        }
        Err(error) => {
            tracing::error!(error = %error, "checks could not be made");
            None
        }
    }
}

async fn tidy(service: &Embedded, leases: Leases) {
    if let Err(error) = sweep::sweep(&service.context, &service.objects, leases).await {
        tracing::error!(error = %error, "the sweep could not be made");
    }
    if let Err(error) = service.items.purge(service.context.clock.now()).await {
        tracing::error!(error = %error, "records that have ended could not be removed");
    }
}
