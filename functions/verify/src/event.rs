//! The events that this function knows, in the forms in which AWS delivers them.

use serde::Deserialize;
use serde_json::Value;
use shared::{
    domain::{digest::Sha256, ids::TokenId},
    ports::tasks::Task,
};

/// What the function was invoked with.
#[derive(Debug)]
pub(crate) enum Event {
    /// One order: by a schedule, or by hand.
    One(Order),
    /// What a queue had.
    Batch(Vec<Message>),
}

/// One message of a queue.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    /// What the queue calls it.
    #[serde(rename = "messageId")]
    pub(crate) id: String,
    /// An order, as JSON text.
    pub(crate) body: String,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// A task of our own.
    Task(Task),
    /// Make the first token known; by hand alone.
    Bootstrap {
        /// Its id.
        token_id: TokenId,
        /// SHA-256 of its text, which stays with the operator.
        hash: Sha256,
    },
    /// An object may have come to be there.
    Arrived {
        /// Its key.
        key: String,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Delivered {
    Batch {
        #[serde(rename = "Records")]
        records: Vec<Message>,
    },
    Notice {
        source: String,
        #[serde(rename = "detail-type")]
        kind: String,
        #[serde(default)]
        detail: Detail,
    },
    Task(Task),
    ByHand(ByHand),
}

#[derive(Deserialize)]
#[serde(tag = "task", rename_all = "snake_case", deny_unknown_fields)]
enum ByHand {
    Bootstrap { token_id: TokenId, hash: Sha256 },
}

/// Of an object's arrival: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html>.
#[derive(Default, Deserialize)]
struct Detail {
    object: Option<Object>,
}

#[derive(Deserialize)]
struct Object {
    key: String,
}

impl Event {
    /// Reads what the function was invoked with.
    pub(crate) fn read(event: Value) -> Result<Self, serde_json::Error> {
        match serde_json::from_value(event)? {
            Delivered::Batch { records } => Ok(Self::Batch(records)),
            Delivered::ByHand(ByHand::Bootstrap { token_id, hash }) => {
                Ok(Self::One(Order::Bootstrap { token_id, hash }))
            }
            other => Order::of(other).map(Self::One),
        }
    }
}

impl Order {
    /// Reads the body of a message.
    pub(crate) fn read(body: &str) -> Result<Self, serde_json::Error> {
        Self::of(serde_json::from_str(body)?)
    }

    fn of(delivered: Delivered) -> Result<Self, serde_json::Error> {
        let unknown = |what: &str| serde::de::Error::custom(format!("unknown event: {what}"));
        match delivered {
            Delivered::Task(task) => Ok(Self::Task(task)),
            Delivered::Batch { .. } => Err(unknown("a batch in a message")),
            // Whoever may send messages may not make tokens.
            Delivered::ByHand(_) => Err(unknown("what is done by hand alone")),
            Delivered::Notice { source, kind, detail } => match (source.as_str(), kind.as_str()) {
                ("aws.s3", "Object Created") => {
                    let object = detail.object.ok_or_else(|| unknown("an arrival without its object"))?;
                    Ok(Self::Arrived { key: object.key })
                }
                ("aws.events", "Scheduled Event") | ("aws.scheduler", _) => Ok(Self::Task(Task::Sweep)),
                _ => Err(unknown(&kind)),
            },
        }
    }
}
