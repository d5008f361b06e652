//! The page about repositories keeps up with the code: every cell of its table names a test that exists, or says that
//! there is nothing to show.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests panic as tests do")]

use std::{fs, path::Path};

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_cell_about_managed_storage_names_a_test_that_exists() {
    let page = read("docs/repositories.md");
    let (_, table) = page.split_once("| store | bare door |").unwrap();
    let mut cells = 0;
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        for cell in row.trim_matches('|').split('|').skip(1).map(str::trim) {
            cells += 1;
            let (file, name) =
                cell.trim_matches('`').split_once("::").unwrap_or_else(|| panic!("no test: {cell}"));
            assert!(read(file).contains(&format!("async fn {name}()")), "{cell}");
        }
    }
    assert!(cells >= 10 && cells % 5 == 0, "{cells}");
}

#[test]
fn every_cell_names_a_test_that_exists_or_says_that_there_is_nothing() {
    let page = read("docs/repositories.md");
    let (_, table) = page.split_once("| system | register |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut cells = 0;
    for row in rows {
        for cell in row.trim_matches('|').split('|').skip(1).map(str::trim) {
            cells += 1;
            if cell == "there is none" || cell == "not built: `client_authenticates`" {
                continue;
            }
            let (file, name) =
                cell.trim_matches('`').split_once("::").unwrap_or_else(|| panic!("no test: {cell}"));
            assert!(read(file).contains(&format!("async fn {name}()")), "{cell}");
        }
    }
    assert_eq!(cells, 30);
}
