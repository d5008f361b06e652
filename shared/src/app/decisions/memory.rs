//! The signed answers of a process, to be served again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use super::{Signed, class::Class};
use crate::app::signing::Share;

/// How many signed tokens of each share are remembered at most: inventions do not drive out what everybody needs.
const MAX_REMEMBERED: usize = 10_000;

/// A signed answer and its times, Unix seconds.
#[derive(Debug, Clone)]
pub(super) struct Remembered {
    pub(super) signed: Signed,
    /// When it was signed.
    pub(super) iat: i64,
    /// From then on a fresh one is signed, if one can be.
    pub(super) fresh_until: i64,
    /// From then on it is no answer any more.
    pub(super) end: i64,
}

impl Remembered {
    pub(super) fn is_fresh(&self, now: i64) -> bool {
        now < self.fresh_until
    }

    /// A clock that was set back makes nothing younger.
    fn is_good(&self, now: i64) -> bool {
        (self.iat..self.end).contains(&now)
    }
}

/// The signed answers of a process.
#[derive(Debug, Default)]
pub(super) struct Memory {
    known: Mutex<HashMap<Class, Remembered>>,
    other: Mutex<HashMap<Class, Remembered>>,
    flights: Mutex<HashMap<Class, Weak<Flight>>>,
}

/// Held while an answer is being signed, so that those who ask the same meanwhile do not have it signed again.
pub(super) type Flight = tokio::sync::Mutex<()>;

impl Memory {
    fn of(&self, share: Share) -> MutexGuard<'_, HashMap<Class, Remembered>> {
        let half = match share {
            Share::Known => &self.known,
            Share::Other => &self.other,
        };
        half.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was signed for this class and is still good.
    pub(super) fn recall(&self, share: Share, class: &Class, now: i64) -> Option<Remembered> {
        self.of(share).get(class).filter(|known| known.is_good(now)).cloned()
    }

    /// Keeps an answer. Where there is no room, what has ended goes, and if that is little, everything: memory is bounded.
    pub(super) fn remember(&self, share: Share, class: Class, answer: Remembered) {
        let mut half = self.of(share);
        if half.len() >= MAX_REMEMBERED {
            half.retain(|_, known| known.is_good(answer.iat));
            if half.len() > MAX_REMEMBERED / 2 {
                half.clear();
            }
        }
        half.insert(class, answer);
    }

    /// The one flight of a class.
    pub(super) fn flight(&self, class: &Class) -> Arc<Flight> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(class).and_then(Weak::upgrade) {
            return flight;
        }
        flights.retain(|_, flight| flight.strong_count() > 0);
        let flight = Arc::new(Flight::default());
        flights.insert(class.clone(), Arc::downgrade(&flight));
        flight
    }
}
