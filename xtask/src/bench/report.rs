//! Medians and bars.

/// Counted values.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<u64>);

impl Samples {
    /// Adds one.
    pub(crate) fn add(&mut self, value: u64) {
        self.0.push(value);
        self.0.sort_unstable();
    }

    /// The one in the middle.
    pub(crate) fn median(&self) -> u64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or_default()
    }

    /// Median, least and most, divided by `unit`.
    pub(crate) fn show(&self, unit: u64, name: &str) -> String {
        let part = |value: Option<&u64>| hundredths(value.copied().unwrap_or_default() * 100 / unit);
        let (least, most) = (part(self.0.first()), part(self.0.last()));
        format!("{} {name} ({least} to {most})", part(Some(&self.median())))
    }
}

/// A number of hundredths, with two decimals.
fn hundredths(value: u64) -> String {
    format!("{}.{:02}", value / 100, value % 100)
}

/// A value beside what it is compared with, and how many hundredths of that it may be.
#[derive(Debug)]
pub(crate) struct Bar {
    name: &'static str,
    what: String,
    ratio: u64,
    limit: u64,
}

impl Bar {
    /// A bar.
    pub(crate) fn new(name: &'static str, what: &str, (value, base): (u64, u64), limit: u64) -> Self {
        let ratio = (value * 100).div_ceil(base.max(1));
        Self { name, what: what.to_owned(), ratio, limit }
    }

    /// Whether it is held.
    pub(crate) fn held(&self) -> bool {
        self.ratio <= self.limit
    }
}

/// Prints the bars; whether all are held.
pub(crate) fn print(bars: &[Bar]) -> bool {
    println!("\n{:<4} {:<64} {:>8} {:>8}", "bar", "what", "is", "may be");
    for bar in bars {
        let verdict = if bar.held() { "held" } else { "NOT HELD" };
        let (ratio, limit) = (hundredths(bar.ratio), hundredths(bar.limit));
        println!("{:<4} {:<64} {ratio:>8} {limit:>8}  {verdict}", bar.name, bar.what);
    }
    bars.iter().all(Bar::held)
}

#[cfg(test)]
mod tests {
    use super::{Bar, Samples};

    #[test]
    fn the_median_is_the_one_in_the_middle_and_shown_with_both_ends() {
        let mut samples = Samples::default();
        for value in [5_000, 1_000, 2_345] {
            samples.add(value);
        }
        assert_eq!(samples.median(), 2_345);
        assert_eq!(samples.show(1_000, "µs"), "2.34 µs (1.00 to 5.00)");
    }

    #[test]
    fn a_ratio_above_its_limit_is_not_held_and_rounding_hides_nothing() {
        assert!(Bar::new("P1", "", (140, 100), 140).held());
        assert!(!Bar::new("P1", "", (140_001, 100_000), 140).held());
    }
}
