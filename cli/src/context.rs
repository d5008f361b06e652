//! What every command works with, and the small things that many of them do alike.

use std::io::Read as _;
use std::path::Path;

use clap::Args;
use serde_json::{Map, Value};

use crate::api::{Api, Call};
use crate::failure::Failure;
use crate::output::Output;
use crate::table;

/// The service and the way to print its answers.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) api: Api,
    pub(crate) out: Output,
}

/// Which part of a list to show.
#[derive(Debug, Clone, Args)]
pub(crate) struct Page {
    /// How many at a time, 1 to 100.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=100), value_name = "N")]
    limit: Option<u8>,
    /// Go on from here: the cursor that the page before ended with.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Show every page.
    #[arg(long, conflicts_with = "cursor")]
    all: bool,
}

/// How to make a creation safe to repeat.
#[derive(Debug, Clone, Args)]
pub(crate) struct Idempotency {
    /// Same key, same result, for 24 hours; a fresh key each time where none is given.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl Idempotency {
    /// The key given, or a fresh one, which still makes the attempts of this call safe.
    pub(crate) fn key(self) -> Result<String, Failure> {
        match self.idempotency_key {
            Some(key) => Ok(key),
            None => Ok(format!("bp-{}", client::fresh_nonce()?)),
        }
    }
}

impl Context {
    /// Makes a call and shows the object that it answers with.
    pub(crate) async fn show(&self, call: Call, first: &[&str]) -> Result<(), Failure> {
        let answer = self.api.json(call).await?;
        self.out.show(&answer, |answer| table::object(answer, first))
    }

    /// Makes a call that answers with nothing that people would read.
    pub(crate) async fn act(&self, call: Call, done: &str) -> Result<(), Failure> {
        let answer = self.api.json(call).await?;
        self.out.show(&answer, |_| done.to_owned())
    }

    /// Shows a list: heading and member of each column; `plural` names the member that holds the rows.
    pub(crate) async fn list(
        &self,
        call: Call,
        page: &Page,
        plural: &str,
        columns: &[(&str, &str)],
    ) -> Result<(), Failure> {
        let mut rows = Vec::new();
        let mut cursor = page.cursor.clone();
        loop {
            let limit = page.limit.map(|limit| limit.to_string());
            let answer =
                self.api.json(call.clone().query("limit", limit).query("cursor", cursor.take())).await?;
            let found = answer.get(plural).and_then(Value::as_array).cloned();
            rows.extend(found.ok_or_else(|| Failure::NotUnderstood(format!("it has no `{plural}`")))?);
            cursor = table::member(&answer, "next_cursor").as_str().map(str::to_owned);
            if !page.all || cursor.is_none() {
                break;
            }
        }
        if self.out.is_json() {
            let next = cursor.map_or(Value::Null, Value::from);
            let answer = [(plural.to_owned(), Value::from(rows)), ("next_cursor".to_owned(), next)];
            return self.out.json(&Value::Object(Map::from_iter(answer)));
        }
        self.out.line(&rows_as_table(&rows, columns))?;
        if let Some(cursor) = cursor {
            self.out.note(&format!("there is more: --cursor {cursor}, or --all"));
        }
        Ok(())
    }
}

pub(crate) fn rows_as_table(rows: &[Value], columns: &[(&str, &str)]) -> String {
    let headings: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
    let cells = |row: &Value| columns.iter().map(|(_, name)| table::cell(table::member(row, name))).collect();
    table::table(&headings, &rows.iter().map(cells).collect::<Vec<Vec<String>>>())
}

/// Puts a member into a JSON object, where there is a value.
pub(crate) fn put(members: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        members.insert(name.to_owned(), value.into());
    }
}

/// The text of a file that the command line names; `-` is standard input.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    if path.as_os_str() != "-" {
        return std::fs::read_to_string(path).map_err(Failure::file(path));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(Failure::file(path))?;
    Ok(text)
}

/// A JSON object from a file that the command line names; `-` is standard input.
pub(crate) fn read_object(path: &Path) -> Result<Map<String, Value>, Failure> {
    let bad = |what: String| Failure::usage(format!("`{}` holds no JSON object: {what}", path.display()));
    serde_json::from_str(&read_text(path)?).map_err(|error| bad(error.to_string()))
}

/// The parser of `key=value` flags.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected key=value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_split_at_its_first_equals_sign() {
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(key_value("=b").is_err());
        assert!(key_value("a").is_err());
    }

    #[test]
    fn rows_show_their_members_under_the_headings() {
        let rows =
            [serde_json::json!({"id": "rel_1", "version": "1.0.0"}), serde_json::json!({"id": "rel_2"})];
        assert_eq!(
            rows_as_table(&rows, &[("ID", "id"), ("VERSION", "version")]),
            "ID     VERSION\nrel_1  1.0.0\nrel_2  -"
        );
    }
}
