//! When to ask again: after a pause with full jitter, or, where the other side is busy, when it says.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use ring::rand::{SecureRandom as _, SystemRandom};
use time::{PrimitiveDateTime, macros::format_description};

use crate::{ClientError, Clock};

/// How often a request is made at most.
const MAX_TRIES: u32 = 4;
/// The longest first pause; each later one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after another failure than that the other side is busy.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause that is waited out where the other side is busy. Longer ones are the caller's.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is spread on top of the pause that a busy side wants, so that not everybody is back in one second.
const SPREAD: Duration = Duration::from_secs(10);

/// How long to wait before try number `tries + 1`, nothing where it is no use or would take too long.
pub(crate) fn pause(error: &ClientError, tries: u32) -> Option<Duration> {
    if !error.retryable() || tries >= MAX_TRIES {
        return None;
    }
    match error.retry_after() {
        Some(asked) if asked > PATIENCE => None,
        Some(asked) => Some(asked.saturating_add(part_of(SPREAD.min(asked)))),
        None => Some(jitter(tries)),
    }
}

/// Full jitter: anything from nothing to a bound that doubles with each try.
pub(crate) fn jitter(tries: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)));
    part_of(doubled.min(LONGEST_PAUSE))
}

/// The tries of one request.
#[derive(Debug, Default)]
pub(crate) struct Tries(u32);

impl Tries {
    /// After a failed try: waits, and lets another be made.
    ///
    /// # Errors
    /// The failure itself, where it is final or there were tries enough.
    pub(crate) async fn another(&mut self, clock: &dyn Clock, error: ClientError) -> Result<(), ClientError> {
        self.0 += 1;
        let Some(pause) = pause(&error, self.0) else { return Err(error) };
        clock.wait(pause).await;
        Ok(())
    }
}

/// A random part of `most`; the half of it where the system gives no random bytes.
fn part_of(most: Duration) -> Duration {
    let mut bytes = [0_u8; 8];
    let random = SystemRandom::new().fill(&mut bytes).map_or(u64::MAX / 2, |()| u64::from_be_bytes(bytes));
    let millis = u128::from(random) * most.as_millis() / u128::from(u64::MAX);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// `Retry-After`: seconds, or a date, which is measured from the `Date` of the same answer.
pub(crate) fn retry_after_seconds(headers: &HeaderMap) -> Option<u64> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let asked = text(RETRY_AFTER)?;
    if !asked.is_empty() && asked.bytes().all(|digit| digit.is_ascii_digit()) {
        return Some(asked.parse().unwrap_or(u64::MAX));
    }
    let seconds = date(asked)?.saturating_sub(date(text(DATE)?)?);
    Some(u64::try_from(seconds).unwrap_or(0))
}

fn date(text: &str) -> Option<i64> {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    Some(PrimitiveDateTime::parse(text, format).ok()?.assume_utc().unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, retry_after_seconds: Option<u64>) -> ClientError {
        let (url, code, message) = ("u".to_owned(), String::new(), String::new());
        ClientError::Refused { url, status, code, message, request_id: None, retry_after_seconds }
    }

    #[test]
    fn what_the_other_side_asks_for_is_waited_out_with_a_spread_on_top() {
        for _ in 0..100 {
            for status in [429, 503] {
                let pause = pause(&refused(status, Some(20)), 1).unwrap().as_millis();
                assert!((20_000..=30_000).contains(&pause), "{pause}");
            }
        }
        assert_eq!(pause(&refused(503, Some(61)), 1), None, "that is the caller's to wait");
        assert_eq!(pause(&refused(503, Some(0)), 1), Some(Duration::ZERO));
    }

    #[test]
    fn a_busy_side_that_says_nothing_is_left_alone_for_half_a_minute_each_time() {
        let pauses = |status: u16, tries: u32| -> Vec<u128> {
            (0..200).map(|_| pause(&refused(status, None), tries).unwrap().as_millis()).collect()
        };
        for status in [429, 503] {
            for tries in 1..4 {
                let pauses = pauses(status, tries);
                assert!(pauses.iter().all(|pause| (30_000..=40_000).contains(pause)), "{pauses:?}");
                assert!(
                    pauses.iter().any(|pause| *pause < 33_000) && pauses.iter().any(|pause| *pause > 37_000)
                );
            }
            assert_eq!(pause(&refused(status, None), 4), None);
        }
        for status in [500, 502, 504] {
            assert!(pauses(status, 1).iter().all(|pause| *pause <= 1_000), "{status}");
        }
    }

    #[test]
    fn unasked_pauses_have_full_jitter_and_an_end() {
        let pauses: Vec<u128> =
            (0..400).map(|_| pause(&refused(500, None), 3).unwrap().as_millis()).collect();
        assert!(pauses.iter().all(|pause| *pause <= 4_000), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause < 1_000) && pauses.iter().any(|pause| *pause > 3_000));
        assert_eq!(pause(&refused(500, None), 4), None);
        assert_eq!(pause(&refused(404, Some(1)), 1), None);
    }

    #[test]
    fn a_date_is_measured_from_the_date_of_the_answer() {
        let read = |values: &[(&'static str, &'static str)]| {
            let headers = values.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            retry_after_seconds(&headers.collect())
        };
        let date = ("date", "Tue, 15 Nov 1994 08:12:31 GMT");
        assert_eq!(read(&[("retry-after", "17")]), Some(17));
        assert_eq!(read(&[("retry-after", "Tue, 15 Nov 1994 08:13:31 GMT"), date]), Some(60));
        assert_eq!(read(&[("retry-after", "Tue, 15 Nov 1994 08:11:31 GMT"), date]), Some(0));
        assert_eq!(read(&[("retry-after", "Tue, 15 Nov 1994 08:13:31 GMT")]), None);
        assert_eq!(read(&[("retry-after", "soon"), date]), None);
        assert_eq!(read(&[]), None);
    }
}
