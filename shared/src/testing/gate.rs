//! Where a store or a host fails or waits.

use std::sync::Arc;

use tokio::sync::Notify;

/// Where somebody waits until a test lets them go on.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    reached: Arc<Notify>,
    opened: Arc<Notify>,
}

impl Gate {
    /// Waits until somebody stands before the gate.
    pub async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Lets one through, who stands here or is still to come.
    pub fn open(&self) {
        self.opened.notify_one();
    }

    /// Walks up to the gate and waits.
    pub async fn pass(&self) {
        self.reached.notify_one();
        self.opened.notified().await;
    }
}

/// What befalls one call.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// It fails before anything was done.
    NotDone,
    /// It is done, but the answer is lost: the caller hears that the store could not be used.
    AnswerLost,
    /// It waits before it is done.
    WaitsBefore(Gate),
    /// It is done, and its answer waits.
    WaitsAfter(Gate),
}

impl Trouble {
    /// What happens before the call is done; `false` where it is not to be done.
    pub(super) async fn before(trouble: Option<&Self>) -> bool {
        if let Some(Self::WaitsBefore(gate)) = trouble {
            gate.pass().await;
        }
        !matches!(trouble, Some(Self::NotDone))
    }

    /// What happens after the call was done; `false` where its answer is lost.
    pub(super) async fn after(trouble: Option<&Self>) -> bool {
        if let Some(Self::WaitsAfter(gate)) = trouble {
            gate.pass().await;
        }
        !matches!(trouble, Some(Self::AnswerLost))
    }
}
