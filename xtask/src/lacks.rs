//! What a server does not do of what it stands in for. The tests that need it are left out by name, and counted.

use crate::counts::Counts;

/// Something that AWS does and a server does not.
pub(crate) struct Lack {
    pub(crate) what: &'static str,
    /// Parts of the names of the tests that need it.
    pub(crate) tests: &'static [&'static str],
}

/// Counts what the server's lacks leave out of these tests; answers with the names.
pub(crate) fn leave_out<'a>(
    tests: &'a [String],
    lacks: &[Lack],
    server: &str,
    counts: &mut Counts,
) -> Result<Vec<&'a str>, String> {
    let mut left_out = Vec::new();
    for lack in lacks {
        let mut number = 0;
        for part in lack.tests {
            let names: Vec<&str> =
                tests.iter().map(String::as_str).filter(|name| name.contains(part)).collect();
            if names.is_empty() {
                return Err(format!("no test is named `{part}`"));
            }
            number += names.len();
            left_out.extend(names);
        }
        counts.skip(number, &format!("tests over {server}"), lack.what);
    }
    Ok(left_out)
}
