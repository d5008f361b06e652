//! Work in the background of the same process: a bell is rung, and whoever waits for it looks at the records.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::domain::ids::UploadId;
use crate::ports::tasks::{Task, Tasks, TasksUnavailable};

/// A bell, and a list of the uploads to finish.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Notify,
    uploads: Mutex<VecDeque<UploadId>>,
    listed: Notify,
    collect: Notify,
}

impl Bell {
    /// Waits until it rings; at once where it has rung since somebody last waited.
    pub async fn heard(&self) {
        self.rung.notified().await;
    }

    /// The next upload to finish; waits for one. Of several that wait, one may sleep on: there is to be one.
    pub async fn next_upload(&self) -> UploadId {
        loop {
            if let Some(id) = self.uploads().pop_front() {
                return id;
            }
            self.listed.notified().await;
        }
    }

    /// Waits until there is something to clean up; at once where that was told since somebody last waited.
    pub async fn to_collect(&self) {
        self.collect.notified().await;
    }

    fn uploads(&self) -> MutexGuard<'_, VecDeque<UploadId>> {
        // Nothing in here panics half-way through a change, so what a poisoned lock guards is whole.
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rings it.
    pub fn ring(&self) {
        self.rung.notify_one();
    }
}

#[async_trait]
impl Tasks for Bell {
    async fn start(&self, task: &Task) -> Result<(), TasksUnavailable> {
        match task {
            Task::Finish { upload_id } => {
                let mut uploads = self.uploads();
                if !uploads.contains(upload_id) {
                    uploads.push_back(*upload_id);
                }
                self.listed.notify_one();
            }
            Task::Check { .. } | Task::Sweep => self.ring(),
            Task::Collect => self.collect.notify_one(),
        }
        Ok(())
    }
}
