//! When to look for updates, so that a fleet does not do it all at once.

use std::time::Duration;

use ring::digest;

/// The next moment after `now` (Unix seconds) at which this client is to look, if it does so every `interval`.
///
/// Each client has a place of its own within the interval, found from its id alone: clients that start together do not
/// ask together, and one that is started again keeps its place. Whole seconds; an interval below one counts as one.
///
/// ```
/// use std::time::Duration;
///
/// let day = Duration::from_secs(86_400);
/// let next = client::next_poll("installation-7", day, 1_767_225_600);
/// assert!(next > 1_767_225_600 && next <= 1_767_225_600 + 86_400);
/// assert_eq!(client::next_poll("installation-7", day, next), next + 86_400);
/// ```
pub fn next_poll(client_id: &str, interval: Duration, now: i64) -> i64 {
    let interval = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX).max(1);
    let hash = digest::digest(&digest::SHA256, client_id.as_bytes());
    let first = hash.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let place = i64::try_from(first >> 1).unwrap_or(0).rem_euclid(interval);
    let since = now.saturating_sub(place).rem_euclid(interval);
    now.saturating_add(interval.saturating_sub(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_is_spread_evenly_over_the_interval() {
        let hour = Duration::from_secs(3_600);
        let mut minutes = [0_u32; 60];
        for client in 0..60_000 {
            let next = next_poll(&format!("client-{client}"), hour, 1_767_225_600);
            let minute = usize::try_from((next - 1_767_225_600 - 1) / 60).unwrap();
            minutes[minute] += 1;
        }
        assert!(minutes.iter().all(|count| (850..1_150).contains(count)), "{minutes:?}");
    }

    #[test]
    fn a_client_keeps_its_place() {
        for (client, seconds, now) in [("a", 3_600, 0), ("b", 86_400, -5), ("", 1, 7), ("c", 0, 7)] {
            let interval = Duration::from_secs(seconds);
            let next = next_poll(client, interval, now);
            let seconds = i64::try_from(seconds).unwrap().max(1);
            assert!(next > now && next <= now + seconds);
            for earlier in 0..seconds.min(50) {
                assert_eq!(next_poll(client, interval, next - 1 - earlier), next);
            }
            assert_eq!(next_poll(client, interval, next), next + seconds);
        }
    }
}
