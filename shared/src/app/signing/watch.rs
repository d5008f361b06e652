//! What the log is told of the keyset, once a day: how long it lasts, and what somebody has to see to in time.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::current_keyset::Current;

const DAY: i64 = 86_400;
/// From so many days before its end on, what nobody renews by itself is told as a warning.
const SOON: i64 = 60;
/// With so many days left or fewer, a renewal that was due long ago has not come about.
const OVERDUE: i64 = 30;

/// Which keyset was told of last, and on which day.
#[derive(Debug)]
pub(super) struct Watch {
    day: AtomicI64,
    version: AtomicU64,
    scarce: bool,
}

impl Watch {
    /// Nothing was told yet; `scarce` where each signature draws on a budget.
    pub(super) const fn new(scarce: bool) -> Self {
        Self { day: AtomicI64::new(i64::MIN), version: AtomicU64::new(0), scarce }
    }

    /// Tells of a keyset, and of the key that signs where it is known, unless that was done today.
    pub(super) fn tell(&self, current: &Current, kid: Option<&str>, now: i64) {
        let (day, version) = (now.div_euclid(DAY), current.keyset.version);
        if self.day.load(Ordering::Relaxed) == day && self.version.load(Ordering::Relaxed) == version {
            return;
        }
        let told = (self.day.swap(day, Ordering::Relaxed), self.version.swap(version, Ordering::Relaxed));
        if told == (day, version) {
            // Another request was faster.
            return;
        }
        if told.1 != version && self.scarce && current.keyset.nonces {
            tell_of_nonces();
        }
        tell_of_keyset(current, now);
        if let Some(kid) = kid {
            tell_of_key(current, kid, now);
        }
    }
}

/// Alarms watch this number: see `infra/monitoring.yaml`.
fn tell_of_keyset(current: &Current, now: i64) {
    let (keyset_days_left, signed) = (days(current.keyset.expires, now), current.standing().signed);
    if current.is_over(now) {
        tracing::error!(
            keyset_days_left,
            "the keyset is over: clients refuse it, and nothing is signed under it"
        );
    } else if signed && keyset_days_left <= SOON {
        let what = "the keyset ends soon, and root keys alone renew it: have them sign the next version, and publish it";
        tracing::warn!(keyset_days_left, "{what}");
    } else if keyset_days_left <= OVERDUE {
        tracing::warn!(keyset_days_left, "the keyset ends soon, though it was to be renewed long ago");
    } else {
        tracing::info!(keyset_days_left, "the keyset is read");
    }
}

/// Where root keys have signed the keyset, the service cannot put `nonces` right by itself.
fn tell_of_nonces() {
    tracing::warn!(
        nonces = true,
        "the keyset tells clients to send nonces, so nothing is remembered for them and each answer draws on the part of \
         the signing budget that is for what anybody can invent: have root keys sign one with `nonces` false, or set \
         `signing.mode` to `delegated`"
    );
}

/// A key that is not prolonged is to be followed by another one before it ends.
fn tell_of_key(current: &Current, kid: &str, now: i64) {
    let Some(key) = current.keyset.get(kid).filter(|_| current.standing().is_fixed(kid)) else { return };
    let left = days(key.exp, now);
    if left <= SOON {
        tracing::warn!(
            key.id = kid,
            key_days_left = left,
            "the key that signs decisions ends soon, and nobody prolongs it: list the next one and promote it"
        );
    }
}

/// How many whole days are left of what ends then.
fn days(end: i64, now: i64) -> i64 {
    end.saturating_sub(now).div_euclid(DAY)
}
