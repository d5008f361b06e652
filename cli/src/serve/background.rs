//! What runs beside the requests: checks of artifacts, uploads that are left to a task, the sweep every minute, the looks
//! of the sentinel, the daily look at the keyset, and cleaning up.

use std::{sync::Arc, time::Duration};

use shared::{
    app::{
        gc, sentinel,
        sweep::{self, Leases},
    },
    wiring::Embedded,
};
use tokio::{sync::watch, time::Instant};

mod checks;
mod uploads;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// Runs until it is told to stop.
pub(super) async fn run(service: Embedded, mut stopping: watch::Receiver<bool>) {
    let service = Arc::new(service);
    tokio::select! {
        () = told_to_stop(&mut stopping) => {}
        () = sweeps(&service) => {}
        () = watch(&service) => {}
        () = renewals(&service) => {}
        () = checks::run(Arc::clone(&service)) => {}
        () = uploads::run(Arc::clone(&service)) => {}
        () = collect(&service) => {}
    }
}

/// Waits until the service is told to stop.
pub(super) async fn told_to_stop(stopping: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn sweeps(service: &Embedded) {
    let mut leases = Leases::Abandoned;
    loop {
        let next = Instant::now() + MINUTE;
        tidy(service, leases).await;
        leases = Leases::Held;
        tokio::time::sleep_until(next).await;
    }
}

/// Renews the keyset long before it ends: clients refuse every decision under one that is over. Where root keys sign it, the
/// log is told in time.
async fn renewals(service: &Embedded) {
    service.decider.warm_up().await;
    loop {
        // The start has looked at it already.
        tokio::time::sleep(DAY).await;
        if let Err(error) = service.decider.renew_keyset().await {
            tracing::error!(error = %error, "the keyset could not be looked at");
        }
    }
}

/// Looks at what is due of the external artifacts that are watched: slow hosts hold up no sweep.
async fn watch(service: &Embedded) {
    loop {
        let next = Instant::now() + MINUTE;
        if let Err(error) = sentinel::run(&service.context, &service.checker).await {
            tracing::error!(error = %error, "what is watched could not be looked at");
        }
        tokio::time::sleep_until(next).await;
    }
}

/// Cleans up whenever somebody has asked for it, or it is time: that takes long, and holds up no sweep.
async fn collect(service: &Embedded) {
    loop {
        service.bell.to_collect().await;
        if let Err(error) = gc::work(&service.context, &service.objects).await {
            tracing::error!(error = %error, "cleaning up is to go on in a minute");
        }
    }
}

async fn tidy(service: &Embedded, leases: Leases) {
    if let Err(error) = sweep::sweep(&service.context, &service.checker.objects, leases).await {
        tracing::error!(error = %error, "the sweep could not be made");
    }
    if let Err(error) = gc::tick(&service.context, &service.objects).await {
        tracing::error!(error = %error, "nothing could be cleaned up");
    }
    if let Err(error) = service.items.purge(service.context.clock.now()).await {
        tracing::error!(error = %error, "records that have ended could not be removed");
    }
}
