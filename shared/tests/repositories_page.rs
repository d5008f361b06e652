//! The page about repositories keeps up with the code: every cell of its table names a test that exists, or says that
//! there is nothing to show.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests panic as tests do")]

use std::{fs, path::Path};

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The cells of the table that begins like this, without the first of each row, each of which names a test that exists
/// or begins like one of these.
fn cells(beginning: &str, nothing: &[&str]) -> usize {
    let page = read("docs/repositories.md");
    let (_, table) = page.split_once(beginning).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut cells = 0;
    for row in rows {
        for cell in row.trim_matches('|').split('|').skip(1).map(str::trim) {
            cells += 1;
            if nothing.iter().any(|nothing| cell.starts_with(nothing)) {
                continue;
            }
            let (file, name) =
                cell.trim_matches('`').split_once("::").unwrap_or_else(|| panic!("no test: {cell}"));
            let source = read(file);
            // What runs over several stores is called with each of them.
            let found = ["()", "(store: Store)"].map(|with| format!("async fn {name}{with}"));
            assert!(found.iter().any(|found| source.contains(found)), "{cell}");
        }
    }
    cells
}

#[test]
fn every_cell_names_a_test_that_exists_or_says_that_there_is_nothing() {
    assert_eq!(cells("| system | register |", &["there is none", "not built: `client_authenticates`"]), 30);
}

#[test]
fn every_way_into_managed_storage_names_a_test_that_exists_or_says_that_there_is_none() {
    assert!(cells("| store | bare `PUT` |", &["there is none: "]) >= 12);
}
