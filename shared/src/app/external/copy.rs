//! Reading an external artifact while it is copied into managed storage.

use std::{io, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Mutex;

use super::look::{Checker, Outcome, failed, look};
use crate::{
    app::context::Context,
    domain::{
        artifact::{Artifact, Verification},
        upload::ObjectKey,
    },
    ports::{
        fetcher::{Keep, Sink},
        objects::{Draft, ObjectStat, Objects},
    },
};

/// What comes is written to a draft, which nobody sees before it is published.
#[derive(Debug)]
struct Copying {
    objects: Arc<dyn Objects>,
    key: ObjectKey,
    size_bytes: u64,
    draft: Mutex<Option<Box<dyn Draft>>>,
}

#[async_trait]
impl Sink for Copying {
    async fn begin(&self) -> io::Result<()> {
        let mut draft = self.draft.lock().await;
        if let Some(before) = draft.take() {
            before.discard().await;
        }
        *draft = Some(self.objects.keep(&self.key, self.size_bytes).await.map_err(io::Error::other)?);
        Ok(())
    }

    async fn take(&self, piece: Bytes) -> io::Result<()> {
        match self.draft.lock().await.as_mut() {
            Some(draft) => draft.write(piece).await,
            None => Err(io::Error::other("nothing was begun")),
        }
    }
}

/// Looks at the bytes and copies them; the copy is published if they are the declared ones. Tells of it then.
pub(super) async fn look_and_copy(
    context: &Context,
    checker: &Checker,
    artifact: &Artifact,
    key: ObjectKey,
) -> ((Verification, Outcome), Option<ObjectStat>) {
    let (objects, size_bytes) = (Arc::clone(&checker.objects), artifact.size_bytes);
    let copying = Arc::new(Copying { objects, key, size_bytes, draft: Mutex::default() });
    let now = context.clock.now_ms();
    let keep = Keep(Arc::clone(&copying) as _);
    let found = look(context, checker, artifact, now, None, Some(keep)).await;
    let draft = copying.draft.lock().await.take();
    match (&found.1, draft) {
        (Outcome::Matches(_), Some(draft)) => match draft.publish(context.clock.now_ms()).await {
            Ok(stat) if stat.size_bytes == size_bytes => (found, Some(stat)),
            kept => {
                tracing::warn!(key = %key, outcome = ?kept, "a copy could not be kept");
                ((found.0, failed("the copy could not be kept")), None)
            }
        },
        (Outcome::Matches(_), None) => ((found.0, failed("the copy could not be made")), None),
        (_, Some(draft)) => {
            draft.discard().await;
            (found, None)
        }
        (_, None) => (found, None),
    }
}
