//! Tasks as messages of an SQS queue, which the function `verify` reads.

use std::fmt;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_types::SdkConfig;

use crate::ports::tasks::{Task, Tasks, TasksUnavailable};

/// A queue. Each task is one message, its JSON; the role needs `sqs:SendMessage` on the queue.
pub struct SqsTasks {
    client: Client,
    queue_url: String,
}

impl SqsTasks {
    /// The queue at that address.
    pub fn new(config: &SdkConfig, queue_url: impl Into<String>) -> Self {
        Self { client: Client::new(config), queue_url: queue_url.into() }
    }
}

#[async_trait]
impl Tasks for SqsTasks {
    async fn start(&self, task: &Task) -> Result<(), TasksUnavailable> {
        let body = serde_json::to_string(task).map_err(|error| TasksUnavailable(error.into()))?;
        let request = self.client.send_message().queue_url(&self.queue_url).message_body(body);
        request.send().await.map(drop).map_err(|error| TasksUnavailable(error.into()))
    }
}

impl fmt::Debug for SqsTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsTasks").field("queue_url", &self.queue_url).finish_non_exhaustive()
    }
}
