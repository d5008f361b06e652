//! What is done without anybody waiting: proofs of large uploads, checks of artifacts, and the sweep every minute.
//!
//! It is invoked by a queue, by a schedule, and by hand. Whatever it is told is a hint: the records say what is to be
//! done, so that an event which comes twice, late, in another order, never or from elsewhere changes nothing.

use std::collections::HashMap;

use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::{
    app::{
        complete,
        context::Context,
        error::AppError,
        external::{self, Checker, Which},
        gc, sentinel,
        sweep::{self, Leases},
        tokens,
    },
    domain::upload::ObjectKey,
    ports::tasks::Task,
};

mod event;

use event::{Event, Message, Order};

/// What this function needs.
#[derive(Debug, Clone)]
pub struct Ports {
    /// What every use case is given.
    pub context: Context,
    /// Who looks at bytes.
    pub checker: Checker,
}

/// Why an event was not dealt with. A message is delivered again, and in the end set aside for an operator.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is none of the events that this function knows.
    #[error(
        "the event cannot be read: expected a task, a batch of a queue, an object's arrival or a schedule's tick"
    )]
    Unknown(#[source] serde_json::Error),
    /// The first token is made once.
    #[error("the deployment has a token already: make others with that one")]
    HasTokens,
    /// It could not be done now.
    #[error(transparent)]
    App(#[from] AppError),
}

/// Deals with one event. The answer to a batch names the messages that are to be delivered again; that to an order that
/// was given by hand or by the schedule says why it was not done. That is no error of the function: each of those takes a
/// new version back while it is being tried, and a store that hiccups, or a second first token, is not its fault.
///
/// # Errors
/// [`VerifyError::Unknown`]
pub async fn handle(ports: &Ports, event: Value) -> Result<Value, VerifyError> {
    match Event::read(event).map_err(VerifyError::Unknown)? {
        Event::One(order) => {
            Ok(run(ports, &order).await.map_or_else(|error| undone(&order, &error), |()| json!({})))
        }
        Event::Batch(messages) => {
            let failed = join_all(messages.iter().map(|message| deliver(ports, message))).await;
            let failed: Vec<_> =
                failed.into_iter().flatten().map(|id| json!({ "itemIdentifier": id })).collect();
            Ok(json!({ "batchItemFailures": failed }))
        }
    }
}

/// Says that an order was not done, to whoever gave it and to the log, which an alarm reads.
fn undone(order: &Order, error: &VerifyError) -> Value {
    let (outcome, event) = match error {
        VerifyError::HasTokens => ("refused", None),
        VerifyError::Unknown(_) | VerifyError::App(_) => ("failed", Some("order_failed")),
    };
    tracing::warn!(event, order = ?order, error = %error, cause = ?error, "an order was not done");
    json!({ "outcome": outcome, "reason": error.to_string() })
}

/// Deals with one message; its id where it is to come again.
async fn deliver<'a>(ports: &Ports, message: &'a Message) -> Option<&'a str> {
    let done = match Order::read(&message.body) {
        Ok(order) => run(ports, &order).await,
        Err(error) => Err(VerifyError::Unknown(error)),
    };
    let error = done.err()?;
    tracing::error!(message.id = message.id, error = %error, cause = ?error, "a message could not be dealt with");
    Some(&message.id)
}

async fn run(ports: &Ports, order: &Order) -> Result<(), VerifyError> {
    let Ports { context, checker } = ports;
    match order {
        Order::Task(Task::Check { artifact_id }) => {
            external::check(context, checker, *artifact_id, Which::Due).await?;
        }
        Order::Task(Task::Finish { upload_id }) => {
            complete::resume(context, &checker.objects, *upload_id).await?;
        }
        Order::Task(Task::Sweep) => sweep_all(context, checker).await?,
        Order::Task(Task::Collect) => gc::work(context, &checker.objects).await?,
        Order::Bootstrap { token_id, hash } => {
            match tokens::bootstrap_unseen(context, *token_id, *hash).await {
                Err(AppError::Raced) => return Err(VerifyError::HasTokens),
                done => done?,
            }
        }
        Order::Arrived { key } => {
            // Keys of another form are somebody else's.
            if let Ok(key) = key.parse::<ObjectKey>() {
                complete::arrived(context, &checker.objects, key).await?;
            }
        }
    }
    Ok(())
}

/// How many checks one sweep hands over.
const CHECKS_A_SWEEP: usize = 500;
/// How many of them may be of one host.
const CHECKS_OF_A_HOST: usize = 20;

async fn sweep_all(context: &Context, checker: &Checker) -> Result<(), AppError> {
    sweep::sweep(context, &checker.objects, Leases::Held).await?;
    if let Err(error) = sentinel::run(context, checker).await {
        tracing::error!(error = %error, "what is watched could not be looked at");
    }
    if let Err(error) = gc::tick(context, &checker.objects).await {
        tracing::error!(error = %error, "nothing could be cleaned up");
    }
    if context.tasks.is_none() {
        return external::run(context, checker, Which::Due).await.map(|_| ());
    }
    // Each in an invocation of its own: one slow host holds up nobody else.
    let (mut due, _) = external::waiting(context, Which::Due).await?;
    let mut of_hosts: HashMap<String, usize> = HashMap::new();
    due.retain(|waiting| match &waiting.host {
        Some(host) => {
            let chosen = of_hosts.entry(host.clone()).or_default();
            *chosen += 1;
            *chosen <= CHECKS_OF_A_HOST
        }
        None => true,
    });
    for waiting in due.into_iter().take(CHECKS_A_SWEEP) {
        context.start(&Task::Check { artifact_id: waiting.id }).await;
    }
    Ok(())
}
