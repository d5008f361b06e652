//! Rollouts: how many clients are offered a release, and which.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use super::ids::ReleaseId;

/// How many buckets clients are spread over; one bucket is 0.01 %.
pub const BUCKETS: u16 = 10_000;

/// A share of all clients in per cent, exact to two decimal places.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Percentage(u16);

/// The number is no percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a percentage is a number from 0 to 100 with at most two decimal places")]
pub struct PercentageError;

impl Percentage {
    /// Nobody.
    pub const NOBODY: Self = Self(0);
    /// Everybody.
    pub const EVERYBODY: Self = Self(BUCKETS);

    /// The percentage of so many hundredths of a per cent.
    ///
    /// # Errors
    /// [`PercentageError`] above 10 000.
    pub fn from_basis_points(points: u16) -> Result<Self, PercentageError> {
        if points <= BUCKETS { Ok(Self(points)) } else { Err(PercentageError) }
    }

    /// The percentage in hundredths of a per cent, 0 to 10 000.
    pub const fn basis_points(self) -> u16 {
        self.0
    }

    /// Reads a number as JSON writes it, such as `25`, `99.99` or `1e1`, without going through floating point.
    ///
    /// # Errors
    /// [`PercentageError`] for what is no number, has more than two decimal places or is not from 0 to 100.
    pub fn parse(text: &str) -> Result<Self, PercentageError> {
        points(text).ok_or(PercentageError).and_then(Self::from_basis_points)
    }

    /// Takes a number that `serde_json` has read already.
    ///
    /// Such a number has passed through an `f64` where it had a fraction: what is judged is the shortest text for it.
    /// `99.99` is exact, `33.333` is refused; only a text with more digits than an `f64` holds, such as
    /// `99.9900000000000000001`, is taken for its neighbour. Use [`parse`](Self::parse) where the text is at hand.
    ///
    /// # Errors
    /// [`PercentageError`] as for [`parse`](Self::parse).
    pub fn from_json_number(number: &serde_json::Number) -> Result<Self, PercentageError> {
        Self::parse(&number.to_string())
    }
}

/// The number in hundredths, if it is a whole, not negative number of them.
fn points(text: &str) -> Option<u16> {
    let text = if matches!(text, "-0" | "-0.0") { "0" } else { text };
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok().filter(|_| is_exponent(exponent))?),
        None => (text, 0),
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (number, ""),
    };
    let digits = || whole.bytes().chain(fraction.bytes());
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    if whole.is_empty() || leading_zero || text.len() > 64 || !digits().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // The value in hundredths is the digits, then this many zeros; or, where negative, without so many last digits.
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?.checked_add(2)?;
    let mut digits: Vec<u8> = digits().skip_while(|digit| *digit == b'0').collect();
    if digits.is_empty() {
        return Some(0);
    }
    for _ in 0..shift.checked_neg().unwrap_or(i32::MAX).max(0) {
        digits.pop().filter(|digit| *digit == b'0')?;
    }
    let zeros = usize::try_from(shift.clamp(0, 6)).ok()?;
    digits.extend(std::iter::repeat_n(b'0', zeros));
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

fn is_exponent(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.div_euclid(100), self.0.rem_euclid(100)) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, hundredths) if hundredths.rem_euclid(10) == 0 => {
                write!(f, "{whole}.{}", hundredths.div_euclid(10))
            }
            (whole, hundredths) => write!(f, "{whole}.{hundredths:02}"),
        }
    }
}

impl fmt::Debug for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} %")
    }
}

impl Serialize for Percentage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.rem_euclid(100) == 0 {
            serializer.serialize_u16(self.0.div_euclid(100))
        } else {
            // The quotient is the `f64` nearest to the decimal, so it is written as that decimal.
            serializer.serialize_f64(f64::from(self.0) / 100.0)
        }
    }
}

impl<'de> Deserialize<'de> for Percentage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Number::deserialize(deserializer)
            .and_then(|number| Self::from_json_number(&number).map_err(de::Error::custom))
    }
}

/// How far a release is rolled out. By default to everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The share of clients that are offered it.
    pub percentage: Percentage,
    /// Whether it is offered to nobody until it is resumed.
    #[serde(default)]
    pub paused: bool,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { percentage: Percentage::EVERYBODY, paused: false }
    }
}

impl Rollout {
    /// Whether this is the default: everybody, not paused.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The bucket of a client for a release, 0 to 9 999.
///
/// The first 8 bytes, big-endian, of SHA-256 of the release id's text, a zero byte and the client's id, modulo 10 000.
pub fn bucket(release_id: ReleaseId, client_id: &str) -> u16 {
    let hash = Sha256::new()
        .chain_update(release_id.to_string())
        .chain_update([0])
        .chain_update(client_id)
        .finalize();
    let first = hash.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    u16::try_from(first.rem_euclid(u64::from(BUCKETS))).unwrap_or(0)
}

/// Whether a client is among the share of clients that are offered a release; pausing is another matter.
///
/// Raising the percentage never takes a client out. A client without an id is in at 100 % only.
pub fn in_rollout(release_id: ReleaseId, percentage: Percentage, client_id: Option<&str>) -> bool {
    match client_id.filter(|id| !id.is_empty()) {
        _ if percentage == Percentage::EVERYBODY => true,
        _ if percentage == Percentage::NOBODY => false,
        None => false,
        Some(id) => bucket(release_id, id) < percentage.basis_points(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn release() -> ReleaseId {
        "rel_0jjz3bs4x9n49hrzxaqmdw9dd2".parse().unwrap()
    }

    #[test]
    fn a_bucket_is_the_hash_of_release_and_client() {
        // Computed with another program from the definition.
        assert_eq!(bucket(release(), "client-1"), 8630);
        assert_eq!(bucket(release(), "кл"), 7420);
    }

    #[test]
    fn a_client_is_in_exactly_from_the_percentage_above_its_bucket() {
        let own = bucket(release(), "client-1");
        let at =
            |points| in_rollout(release(), Percentage::from_basis_points(points).unwrap(), Some("client-1"));
        assert!(!at(own) && at(own + 1));
    }

    #[test]
    fn without_a_client_id_only_a_whole_rollout_counts() {
        for id in [None, Some("")] {
            assert!(in_rollout(release(), Percentage::EVERYBODY, id));
            assert!(!in_rollout(release(), Percentage::from_basis_points(9_999).unwrap(), id));
        }
        assert!(!in_rollout(release(), Percentage::NOBODY, Some("x")));
    }

    #[test]
    fn percentages_are_exact_decimals_with_two_places() {
        let good = [
            ("0", 0),
            ("25", 2_500),
            ("99.99", 9_999),
            ("100", 10_000),
            ("100.00", 10_000),
            ("0.01", 1),
            ("0.1", 10),
            ("1e1", 1_000),
            ("1E+2", 10_000),
            ("2.5e1", 2_500),
            ("5e-2", 5),
            ("0.5e0", 50),
            ("1000e-1", 10_000),
            ("29.99", 2_999),
            ("0.570", 57),
            ("-0", 0),
            ("-0.0", 0),
            ("0e99", 0),
            ("57.29", 5_729),
            ("0.0001e4", 100),
        ];
        for (text, points) in good {
            assert_eq!(Percentage::parse(text).map(Percentage::basis_points), Ok(points), "{text}");
        }
        let bad = [
            "",
            "-1",
            "-0.01",
            "100.01",
            "101",
            "33.333",
            "0.001",
            "99.9900000000000000001",
            "1e3",
            "1e-3",
            "1e999999999999",
            "1e-2147483648",
            "1e2147483647",
            "+1",
            ".5",
            "5.",
            "00",
            "01",
            "1,5",
            "1e",
            "1e+",
            "e1",
            "1e1.0",
            "NaN",
            "0x1",
            " 1",
            "25 %",
            "1e++1",
        ];
        for text in bad {
            assert_eq!(Percentage::parse(text), Err(PercentageError), "{text}");
        }
    }

    #[test]
    fn a_rollout_is_by_default_for_everybody() {
        let rollout: Rollout = serde_json::from_str(r#"{"percentage":100}"#).unwrap();
        assert!(rollout.is_default());
        for bad in [
            r#"{"percentage":100.001}"#,
            r#"{"percentage":"10"}"#,
            r#"{"percentage":null}"#,
            r#"{"percentage":-1}"#,
        ] {
            assert!(serde_json::from_str::<Rollout>(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_percentage_is_written_as_the_number_that_it_is(points in 0..=BUCKETS) {
            let percentage = Percentage::from_basis_points(points).unwrap();
            let json = serde_json::to_string(&percentage).unwrap();
            prop_assert_eq!(&json, &percentage.to_string());
            prop_assert_eq!(serde_json::from_str::<Percentage>(&json).unwrap(), percentage);
            prop_assert_eq!(Percentage::parse(&json), Ok(percentage));
        }

        #[test]
        fn raising_a_percentage_never_takes_a_client_out(low in 0..=BUCKETS, high in 0..=BUCKETS, id in ".{0,12}", time in 0_u64..1 << 40) {
            let (low, high) = (low.min(high), low.max(high));
            let at = |points| in_rollout(ReleaseId::from_parts(time, 7), Percentage::from_basis_points(points).unwrap(), Some(&id));
            prop_assert!(!at(low) || at(high));
        }
    }
}
