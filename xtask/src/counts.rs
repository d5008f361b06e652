//! The sum of what test programs say.

/// How many tests did what.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; …`.
    pub(crate) fn add(&mut self, line: &str) {
        self.sum(line, &["ignored", "filtered out"]);
    }

    /// Adds such a line of a run that chooses its tests: what it filters out is the business of another run.
    pub(crate) fn add_chosen(&mut self, line: &str) {
        self.sum(line, &["ignored"]);
    }

    fn sum(&mut self, line: &str, skipped: &[&str]) {
        let Some((_, counts)) = line.split_once("test result: ").and_then(|(_, rest)| rest.split_once(". "))
        else {
            return;
        };
        for part in counts.split(';') {
            let Some((number, word)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match word {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                word if skipped.contains(&word) => self.skipped += number,
                _ => {}
            }
        }
    }

    /// Names tests that are left out, and counts them as skipped.
    pub(crate) fn skip(&mut self, number: usize, what: &str, why: &str) {
        self.skipped += u64::try_from(number).unwrap_or(u64::MAX);
        println!("skipped: {number} of the {what}: {why}");
    }

    /// Notes a step that could not be taken to its end as a failure.
    pub(crate) fn note(&mut self, step: Result<(), String>) {
        if let Err(message) = step {
            self.failed += 1;
            println!("\nfailed: {message}");
        }
    }

    /// Prints the last line; true when nothing failed and something ran.
    pub(crate) fn print(&self) -> bool {
        println!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped);
        self.failed == 0 && self.passed > 0
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn result_lines_add_up_and_other_lines_do_not_count() {
        let mut counts = Counts::default();
        counts.add(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.1s",
        );
        counts.add(
            "test result: FAILED. 4 passed; 5 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s",
        );
        counts.add("test a_name ... ok");
        assert_eq!((counts.passed, counts.failed, counts.skipped), (7, 5, 3));
    }

    #[test]
    fn what_a_choosing_run_filters_out_is_not_skipped() {
        let mut counts = Counts::default();
        counts.add_chosen(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.1s",
        );
        assert_eq!((counts.passed, counts.failed, counts.skipped), (3, 0, 1));
    }
}
