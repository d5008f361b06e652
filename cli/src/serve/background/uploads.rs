//! Uploads that were left to a task: a few at a time, begun as soon as they are completed.

use std::sync::Arc;

use shared::{app::complete, wiring::Embedded};
use tokio::task::JoinSet;

/// How many uploads are read at the same time at most.
const MOST: usize = 2;

/// Finishes uploads until it is dropped, and those under way with it: the next start goes on with them.
pub(super) async fn run(service: Arc<Embedded>) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            id = service.bell.next_upload(), if tasks.len() < MOST => {
                let service = Arc::clone(&service);
                tasks.spawn(async move {
                    if let Err(error) = complete::resume(&service.context, &service.checker.objects, id).await {
                        tracing::warn!(upload.id = %id, error = %error, cause = ?error, "an upload waits for the sweep");
                    }
                });
            }
            Some(_) = tasks.join_next() => {}
        }
    }
}
