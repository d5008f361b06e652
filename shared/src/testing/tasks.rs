//! Tasks that are kept instead of being done.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::ports::tasks::{Task, Tasks, TasksUnavailable};

/// Keeps what was handed over.
#[derive(Debug, Default)]
pub struct KeptTasks(Mutex<Vec<Task>>);

impl KeptTasks {
    /// What was handed over since the last time.
    pub fn take(&self) -> Vec<Task> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Tasks for KeptTasks {
    async fn start(&self, task: &Task) -> Result<(), TasksUnavailable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(*task);
        Ok(())
    }
}
