//! The page about repositories keeps up with the code: every cell of its table names a test that exists, or says that
//! there is nothing to show.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests panic as tests do")]

use std::{fs, path::Path};

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Fails where a cell names no test, or one that does not exist.
fn exists(cell: &str) {
    let (file, name) = cell.trim_matches('`').split_once("::").unwrap_or_else(|| panic!("no test: {cell}"));
    let source = read(file);
    let found = ["#[test]\nfn", "async fn"].iter().any(|start| source.contains(&format!("{start} {name}()")));
    assert!(found, "{cell}");
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
            if cell == "there is none" || cell == "none: `client_authenticates`" {
                continue;
            }
            exists(cell);
        }
    }
    assert_eq!(cells, 30);
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
