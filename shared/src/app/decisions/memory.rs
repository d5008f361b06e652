//! The signed answers of a process, to be served again.
//!
//! Two halves, so that what anybody can invent drives out nothing that everybody needs, and each of two generations: what
//! is asked again moves to the young one, and when that is full the old one goes. So what is asked often stays, whatever
//! else is asked.

use std::{
    collections::HashMap,
    hash::Hash,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use super::{Signed, class::Class};
use crate::app::signing::Share;

/// How many signed tokens of each half are remembered at most, in both generations together.
const MAX_REMEMBERED: usize = 10_000;
/// How many a generation has at most.
const GENERATION: usize = MAX_REMEMBERED / 2;

/// A signed answer and its times, Unix seconds.
#[derive(Debug, Clone)]
pub(super) struct Remembered {
    pub(super) signed: Signed,
    /// The id of the keyset's key that answers for it.
    pub(super) kid: Arc<str>,
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
    pub(super) fn is_good(&self, now: i64) -> bool {
        (self.iat..self.end).contains(&now)
    }
}

/// The signed answers of a process.
#[derive(Debug, Default)]
pub(super) struct Memory {
    known: Mutex<Generations<Class, Remembered>>,
    other: Mutex<Generations<Class, Remembered>>,
    flights: Mutex<HashMap<Class, Weak<Flight>>>,
}

/// What was remembered or asked for last, and what was before.
#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V> Default for Generations<K, V> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Eq + Hash, V: Clone> Generations<K, V> {
    /// What is remembered, where it is still good; it is young from now on.
    fn recall(&mut self, key: &K, good: impl Fn(&V) -> bool) -> Option<V> {
        if let Some(known) = self.young.get(key) {
            return Some(known).filter(|known| good(known)).cloned();
        }
        let (key, known) = self.old.remove_entry(key)?;
        let known = Some(known).filter(good)?;
        self.remember(key, known.clone());
        Some(known)
    }

    fn remember(&mut self, key: K, value: V) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

/// Held while an answer is being signed, so that those who ask the same meanwhile do not have it signed again.
pub(super) type Flight = tokio::sync::Mutex<()>;

impl Memory {
    fn of(&self, share: Share) -> MutexGuard<'_, Generations<Class, Remembered>> {
        let half = match share {
            Share::Renewal | Share::Known => &self.known,
            Share::Other => &self.other,
        };
        half.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was signed for this class, where it is still good.
    pub(super) fn recall(
        &self,
        share: Share,
        class: &Class,
        good: impl Fn(&Remembered) -> bool,
    ) -> Option<Remembered> {
        self.of(share).recall(class, good)
    }

    /// Keeps an answer.
    pub(super) fn remember(&self, share: Share, class: Class, answer: Remembered) {
        self.of(share).remember(class, answer);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_again_and_again_outlives_whatever_is_asked_once() {
        let mut half = Generations::default();
        half.remember(0, "asked by everybody");
        for once in 1..10 * MAX_REMEMBERED {
            half.remember(once, "asked once");
            if once % (GENERATION - 1) == 0 {
                assert_eq!(half.recall(&0, |_| true), Some("asked by everybody"), "after {once}");
            }
            assert!(half.young.len() <= GENERATION && half.old.len() <= GENERATION);
        }
        assert_eq!(half.recall(&1, |_| true), None);
    }

    #[test]
    fn what_is_no_longer_good_is_not_recalled_from_either_generation() {
        let mut half = Generations::default();
        half.remember(0, 'a');
        assert_eq!(half.recall(&0, |_| false), None);
        for other in 1..=GENERATION {
            half.remember(other, 'b');
        }
        assert!(half.old.contains_key(&0));
        assert_eq!(half.recall(&0, |_| false), None);
        assert!(!half.old.contains_key(&0) && !half.young.contains_key(&0));
    }
}
