//! What the alarm on the signing key counts: lines with `event` = `signer_failed`.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
};

use shared::app::signing::Mode;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::world::{MINUTE, NONCE, SECOND, World, question};

/// The `event` of each line of this thread.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Visit for Told {
    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "event" {
            self.0.lock().unwrap().push(value.to_owned());
        }
    }
}

impl Subscriber for Told {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Told {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[tokio::test]
async fn a_renewal_that_fails_is_told_while_requests_are_still_answered() {
    let world = World::new().await;
    let decider = world.decider(Mode::Delegated);
    let told = Told::default();
    let _logging = tracing::subscriber::set_default(told.clone());
    decider.answer(&question("1.0.0"), Some(NONCE), false).await.unwrap();
    assert!(told.take().is_empty());
    world.key.set_down(true);
    for left in [9 * MINUTE, 30 * SECOND] {
        world.at(60 * MINUTE - left);
        decider.answer(&question("1.0.0"), Some(NONCE), false).await.unwrap();
        assert_eq!(told.take(), ["signer_failed"]);
    }
}

#[tokio::test]
async fn a_signature_that_fails_is_told_where_an_answer_in_memory_goes_on() {
    let world = World::new().await;
    let decider = world.decider(Mode::Direct);
    decider.answer(&question("1.0.0"), None, false).await.unwrap();
    let told = Told::default();
    let _logging = tracing::subscriber::set_default(told.clone());
    world.key.set_down(true);
    // Half of its life is over, so it would be signed again.
    world.at(31 * MINUTE);
    decider.answer(&question("1.0.0"), None, false).await.unwrap();
    assert_eq!(told.take(), ["signer_failed"]);
}
