//! Work that somebody else is to do soon: the background of a single process, or a function of its own.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::domain::ids::{ArtifactId, UploadId};

/// One piece of work, named so that doing it twice, late or never changes nothing but the time: the records say what is
/// to be done, and a sweep every minute finds whatever was lost here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case", deny_unknown_fields)]
pub enum Task {
    /// Check an artifact's bytes.
    Check {
        /// Whose bytes.
        artifact_id: ArtifactId,
    },
    /// Finish an upload whose completion was begun.
    Finish {
        /// The upload.
        upload_id: UploadId,
    },
    /// Look at everything that waits.
    Sweep,
    /// Go on with the cleaning up that was begun.
    Collect,
}

/// Nobody could be told.
#[derive(Debug, thiserror::Error)]
#[error("the task could not be handed over")]
pub struct TasksUnavailable(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Who does work in the background.
#[async_trait]
pub trait Tasks: fmt::Debug + Send + Sync {
    /// Hands a task over, to be begun soon. Once or more often; in any order.
    ///
    /// # Errors
    /// [`TasksUnavailable`]
    async fn start(&self, task: &Task) -> Result<(), TasksUnavailable>;
}
