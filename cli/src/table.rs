//! Aligned columns for people.

use serde_json::Value;

/// What stands where there is nothing.
const NOTHING: &str = "-";

/// Rows under headings, aligned, two spaces apart, without spaces at line ends.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&headings).chain(rows).collect();
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell| printable(cell).chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &&Vec<String>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{:<width$}", printable(cell), width = *width))
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// One fact a line, names and values aligned.
pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| {
        format!("{name:<width$}  {}", printable(value)).trim_end().to_owned()
    };
    facts.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Every member of an object as a fact, the ones that are null left out; the named ones first.
pub(crate) fn object(value: &Value, first: &[&str]) -> String {
    let Value::Object(members) = value else { return cell(value) };
    let named = first.iter().copied().filter(|name| members.contains_key(*name));
    let others = members.keys().map(String::as_str).filter(|name| !first.contains(name));
    let shown = |name: &&str| members.get(*name).is_some_and(|value| !value.is_null());
    let found: Vec<(&str, String)> =
        named.chain(others).filter(shown).map(|name| (name, cell(member(value, name)))).collect();
    facts(&found)
}

/// A member of an object, or null.
pub(crate) fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

/// A JSON value in one cell.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => NOTHING.to_owned(),
        Value::String(text) if text.is_empty() => NOTHING.to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => NOTHING.to_owned(),
        Value::Array(items) if items.iter().all(|item| item.is_string() || item.is_number()) => {
            items.iter().map(cell).collect::<Vec<_>>().join(", ")
        }
        Value::Object(members) if members.is_empty() => NOTHING.to_owned(),
        other => other.to_string(),
    }
}

/// The text without anything that a terminal would obey, on one line.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|character| if obeyed(character) { '\u{fffd}' } else { character }).collect()
}

/// The text without anything that a terminal would obey, except for new lines.
pub(crate) fn printable_lines(text: &str) -> String {
    let safe = |character: char| if obeyed(character) && character != '\n' { '\u{fffd}' } else { character };
    text.chars().map(safe).collect()
}

/// Control characters, and those that turn the direction of text.
fn obeyed(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_aligned_and_lines_end_without_spaces() {
        let rows =
            [vec!["art_1".to_owned(), "AVAILABLE".to_owned()], vec!["art_100".to_owned(), String::new()]];
        assert_eq!(table(&["ARTIFACT", "STATE"], &rows), "ARTIFACT  STATE\nart_1     AVAILABLE\nart_100");
    }

    #[test]
    fn characters_count_not_bytes() {
        let rows = [vec!["ä".to_owned(), "x".to_owned()], vec!["bb".to_owned(), "y".to_owned()]];
        assert_eq!(table(&["N", "V"], &rows), "N   V\nä   x\nbb  y");
    }

    #[test]
    fn an_object_shows_the_named_members_first_and_no_nulls() {
        let value = json!({"a": 1, "b": null, "c": ["x", "y"], "z": "last comes first"});
        assert_eq!(object(&value, &["z", "missing"]), "z  last comes first\na  1\nc  x, y");
    }

    #[test]
    fn what_a_terminal_would_obey_is_replaced() {
        assert_eq!(printable("a\u{1b}[2J\nb\u{202e}"), "a\u{fffd}[2J\u{fffd}b\u{fffd}");
        assert_eq!(printable_lines("a\nb\u{7}"), "a\nb\u{fffd}");
    }
}
