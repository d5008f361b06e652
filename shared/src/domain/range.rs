//! Version ranges: what a policy pins clients to, and what it blocks.
//!
//! The meanings are Cargo's, with two differences: a version without an operator means exactly that version, and
//! everything is compared by precedence, pre-releases included. A range is one interval between two places in the
//! order of versions, so that both ends can be found by binary search.

use std::{cmp::Ordering, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::version::Version;

/// The text is no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no version range: comparators such as `>=1.2.0, <2`, `^1.2`, `~1.2.3`, `1.*`, or one whole version"
)]
pub struct RangeError {
    /// What was read, control characters escaped.
    pub text: String,
}

/// A version range, kept as it was written. Cheap to clone; equal where the texts are equal.
#[derive(Clone)]
pub struct Range {
    text: Arc<str>,
    low: Cut,
    high: Cut,
}

impl Range {
    /// Reads a range: comparators that must all hold, or one whole version, which means exactly that version.
    ///
    /// Comparators are `=` `>` `>=` `<` `<=` `^` `~` before one to three numbers, or `*`, `1.*`, `1.2.*`, separated
    /// by commas. Spaces may follow operators and commas. A whole version may have a pre-release part. An exclusive
    /// upper bound without one, written or implied, also excludes the pre-releases of the bound. Build metadata is
    /// read and does not count.
    ///
    /// # Errors
    /// [`RangeError`] for any other text, also where a number is above 2^53-1.
    pub fn parse(text: &str) -> Result<Self, RangeError> {
        let error = || RangeError { text: text.escape_debug().to_string() };
        let (mut low, mut high) = (Cut::BOTTOM, Cut::TOP);
        if let Ok(version) = Version::parse(text) {
            (low, high) = (Cut::before(&version), Cut::after(&version));
        } else {
            for (index, part) in text.split(',').enumerate() {
                let part = if index == 0 { part } else { part.trim_start_matches(' ') };
                let (above, below) = comparator(part).ok_or_else(error)?;
                low = if low.order(&above).is_lt() { above } else { low };
                high = if high.order(&below).is_gt() { below } else { high };
            }
        }
        Ok(Self { text: text.into(), low, high })
    }

    /// Whether the version is in the range.
    pub fn contains(&self, version: &Version) -> bool {
        !self.is_above(version) && !self.is_below(version)
    }

    /// Whether the whole range lies below the version: no newer version can be in it either.
    pub fn is_below(&self, version: &Version) -> bool {
        self.high.is_below(version)
    }

    /// Whether the whole range lies above the version: no older version can be in it either.
    pub fn is_above(&self, version: &Version) -> bool {
        !self.low.is_below(version)
    }

    /// The range as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A place in the order of versions, between two of them.
#[derive(Clone)]
struct Cut {
    core: [u64; 3],
    place: Place,
}

/// Where a cut lies among the versions with the same three numbers, from low to high.
#[derive(Clone)]
enum Place {
    /// Below all of them, every pre-release included.
    BelowAll,
    /// Next to this pre-release.
    Pre(Version, Side),
    /// Next to the version without a pre-release part.
    Final(Side),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Before,
    After,
}

impl Cut {
    const BOTTOM: Self = Self::below_all([0, 0, 0]);
    /// Above every version: their numbers end at 2^53-1.
    const TOP: Self = Self::below_all([u64::MAX, 0, 0]);

    const fn below_all(core: [u64; 3]) -> Self {
        Self { core, place: Place::BelowAll }
    }

    const fn before_final(core: [u64; 3]) -> Self {
        Self { core, place: Place::Final(Side::Before) }
    }

    fn beside(version: &Version, side: Side) -> Self {
        let place = if version.is_prerelease() {
            Place::Pre(version.without_build(), side)
        } else {
            Place::Final(side)
        };
        Self { core: core(version), place }
    }

    fn before(version: &Version) -> Self {
        Self::beside(version, Side::Before)
    }

    fn after(version: &Version) -> Self {
        Self::beside(version, Side::After)
    }

    fn is_below(&self, version: &Version) -> bool {
        let here = || match &self.place {
            Place::BelowAll => true,
            Place::Pre(own, side) => match own.cmp_precedence(version) {
                Ordering::Less => true,
                Ordering::Equal => *side == Side::Before,
                Ordering::Greater => false,
            },
            Place::Final(side) => *side == Side::Before && !version.is_prerelease(),
        };
        match self.core.cmp(&core(version)) {
            Ordering::Less => true,
            Ordering::Equal => here(),
            Ordering::Greater => false,
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        self.core.cmp(&other.core).then_with(|| match (&self.place, &other.place) {
            (Place::BelowAll, Place::BelowAll) => Ordering::Equal,
            (Place::BelowAll, Place::Pre(..) | Place::Final(_)) | (Place::Pre(..), Place::Final(_)) => {
                Ordering::Less
            }
            (Place::Pre(..) | Place::Final(_), Place::BelowAll) | (Place::Final(_), Place::Pre(..)) => {
                Ordering::Greater
            }
            (Place::Pre(a, left), Place::Pre(b, right)) => a.cmp_precedence(b).then(left.cmp(right)),
            (Place::Final(left), Place::Final(right)) => left.cmp(right),
        })
    }
}

fn core(version: &Version) -> [u64; 3] {
    [version.major(), version.minor(), version.patch()]
}

#[derive(Debug, Clone, Copy)]
enum Operator {
    Exact,
    Greater,
    GreaterEq,
    Less,
    LessEq,
    Caret,
    Tilde,
}

/// Two-character operators come before those that they begin with.
const OPERATORS: [(&str, Operator); 7] = [
    (">=", Operator::GreaterEq),
    ("<=", Operator::LessEq),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("=", Operator::Exact),
    ("^", Operator::Caret),
    ("~", Operator::Tilde),
];

fn comparator(text: &str) -> Option<(Cut, Cut)> {
    if text == "*" {
        return Some((Cut::BOTTOM, Cut::TOP));
    }
    if let Some(numbers) = text.strip_suffix(".*") {
        return Some(Stem::parse(numbers)?.interval(Operator::Exact));
    }
    let (rest, operator) =
        OPERATORS.iter().find_map(|(sign, operator)| Some((text.strip_prefix(sign)?, *operator)))?;
    let operand = rest.trim_start_matches(' ');
    match Version::parse(operand) {
        Ok(version) => Some(whole(operator, &version)),
        Err(_) => Some(Stem::parse(operand)?.interval(operator)),
    }
}

fn whole(operator: Operator, version: &Version) -> (Cut, Cut) {
    let [major, minor, patch] = core(version);
    match operator {
        Operator::Exact => (Cut::before(version), Cut::after(version)),
        Operator::Greater => (Cut::after(version), Cut::TOP),
        Operator::GreaterEq => (Cut::before(version), Cut::TOP),
        Operator::Less if version.is_prerelease() => (Cut::BOTTOM, Cut::before(version)),
        Operator::Less => (Cut::BOTTOM, Cut::below_all([major, minor, patch])),
        Operator::LessEq => (Cut::BOTTOM, Cut::after(version)),
        Operator::Caret => {
            let end = match (major, minor) {
                (0, 0) => [0, 0, next(patch)],
                (0, _) => [0, next(minor), 0],
                _ => [next(major), 0, 0],
            };
            (Cut::before(version), Cut::below_all(end))
        }
        Operator::Tilde => (Cut::before(version), Cut::below_all([major, next(minor), 0])),
    }
}

/// The first one or two numbers of a version.
#[derive(Debug, Clone, Copy)]
struct Stem {
    major: u64,
    minor: Option<u64>,
}

impl Stem {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once('.') {
            None => Some(Self { major: number(text)?, minor: None }),
            Some((major, minor)) => Some(Self { major: number(major)?, minor: Some(number(minor)?) }),
        }
    }

    fn interval(self, operator: Operator) -> (Cut, Cut) {
        let start = [self.major, self.minor.unwrap_or(0), 0];
        let end = match self.minor {
            None => [next(self.major), 0, 0],
            Some(minor) => [self.major, next(minor), 0],
        };
        match operator {
            Operator::Greater => (Cut::before_final(end), Cut::TOP),
            Operator::GreaterEq => (Cut::before_final(start), Cut::TOP),
            Operator::Less => (Cut::BOTTOM, Cut::below_all(start)),
            Operator::LessEq => (Cut::BOTTOM, Cut::below_all(end)),
            Operator::Caret if self.major > 0 => {
                (Cut::before_final(start), Cut::below_all([next(self.major), 0, 0]))
            }
            Operator::Exact | Operator::Tilde | Operator::Caret => {
                (Cut::before_final(start), Cut::below_all(end))
            }
        }
    }
}

/// The number after this one. Numbers of versions end at 2^53-1, so nothing is lost.
fn next(number: u64) -> u64 {
    number.saturating_add(1)
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    let value = text.parse().ok().filter(|_| digits && canonical)?;
    (value <= decision::MAX_INTEGER).then_some(value)
}

impl PartialEq for Range {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Range {}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Range({})", self.text)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        Self::parse(text)
    }
}

impl Serialize for Range {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
