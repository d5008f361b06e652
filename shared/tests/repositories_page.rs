//! The page about repositories keeps up with the code: every cell of its table names a test that exists, or says that
//! there is nothing to show.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests panic as tests do")]

use std::{fs, path::Path};

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Fails where a cell names no test, or one that does not exist; answers with what is in it.
fn exists(cell: &str) -> String {
    let (file, name) = cell.trim_matches('`').split_once("::").unwrap_or_else(|| panic!("no test: {cell}"));
    let source = read(file);
    // What runs over several stores is called with each of them.
    let found = ["#[test]\nfn NAME()", "async fn NAME()", "async fn NAME(store: Store)"];
    let begins = found.iter().find_map(|found| source.split_once(&found.replace("NAME", name)));
    let (_, body) = begins.unwrap_or_else(|| panic!("{cell}"));
    body.split("\n}\n").next().unwrap().to_owned()
}

/// The cells of the table that begins like this, without the first of each row, each of which names a test that exists
/// or begins like one of these; a test of a column has one of its words in it, where there are any.
fn cells(beginning: &str, nothing: &[&str], words: &[&[&str]]) -> usize {
    let page = read("docs/repositories.md");
    let (_, table) = page.split_once(beginning).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut cells = 0;
    for row in rows {
        for (column, cell) in row.trim_matches('|').split('|').skip(1).map(str::trim).enumerate() {
            cells += 1;
            if nothing.iter().any(|nothing| cell.starts_with(nothing)) {
                continue;
            }
            let body = exists(cell);
            if let Some(words) = words.get(column) {
                assert!(words.iter().any(|word| body.contains(word)), "{cell} shows none of {words:?}");
            }
        }
    }
    cells
}

#[test]
fn every_cell_names_a_test_that_exists_or_says_that_there_is_nothing() {
    // What a test of a column cannot do without: a registration, its means, bytes that a client got, a quarantine.
    let words: [&[&str]; 5] = [
        &["settled(", "register(", "released("],
        &["Verification::Repository", "REPOSITORY"],
        &["Verification::Fetched", "FETCHED"],
        &["downloaded(", "download(", "get(", "read("],
        &["drifts(", "QUARANTINED"],
    ];
    let nothing = ["there is none", "none: `client_authenticates`"];
    assert_eq!(cells("| system | register |", &nothing, &words), 30);
}

#[test]
fn every_way_into_managed_storage_names_a_test_that_exists_or_says_that_there_is_none() {
    assert_eq!(cells("| store | bare door |", &["there is none: "], &[]), 25);
}

#[test]
fn each_hostile_host_has_a_test_that_exists_and_a_code_that_it_names() {
    let page = read("docs/repositories.md");
    let (_, table) = page.split_once("| host | code | test |").unwrap();
    let mut rows = 0;
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [_, code, test] = cells.as_slice() else { panic!("{row}") };
        exists(test);
        if let Some(code) = code.strip_prefix('`') {
            let (file, name) = test.trim_matches('`').split_once("::").unwrap();
            let source = read(file);
            let (_, body) = source.split_once(&format!(" {name}()")).unwrap();
            let body = body.split("\n}\n").next().unwrap();
            // By its code, or by the variant that has it alone.
            let variant = match code.trim_end_matches('`') {
                "SIZE_MISMATCH" => "SizeMismatch",
                "UPSTREAM_TIMEOUT" => "Timeout(",
                "URL_HOST_NOT_ALLOWED" => "AddressNotAllowed",
                other => other,
            };
            assert!(body.contains(code.trim_end_matches('`')) || body.contains(variant), "{row}");
        }
        rows += 1;
    }
    assert!(rows >= 17, "{rows}");
}
