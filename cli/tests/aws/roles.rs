//! What IAM would say of a call, as far as the statements of the template go.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    recorder::Call,
    template::{Statement, Template, list},
};

/// Fails where a call is refused to the role of a function.
pub(crate) fn allows(template: &Template, function: &str, calls: &BTreeSet<Call>, what: &str) {
    let statements = template.statements(function);
    for call in calls {
        let allowed = statements.iter().any(|statement| allowed_by(statement, call));
        assert!(allowed, "{what}: the role of {function} refuses {call:?}");
    }
}

fn allowed_by(statement: &Statement, (action, on): &Call) -> bool {
    let resource = match action.split_once(':').unwrap().0 {
        "dynamodb" => "Table.Arn".to_owned(),
        "s3" if on.is_empty() => "Bucket.Arn".to_owned(),
        "s3" => format!("${{Bucket.Arn}}/{on}"),
        "sqs" => "WorkQueue.Arn".to_owned(),
        other => panic!("no call is about {other}"),
    };
    statement.actions.iter().any(|allowed| allowed == action)
        && statement.resources.iter().any(|pattern| matches(pattern, &resource))
        && holds(&statement.condition, on)
}

/// IAM's patterns: `*` is any text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => {
            let Some(tail) = text.strip_prefix(start) else { return false };
            tail.char_indices().any(|(at, _)| matches(rest, &tail[at..])) || matches(rest, "")
        }
    }
}

/// The conditions on the partition of a record; any other fails the test, which could not tell.
fn holds(condition: &Value, partition: &str) -> bool {
    let Some(operators) = condition.as_object() else { return true };
    operators.iter().all(|(operator, keys)| {
        let Some(listed) = keys.get("dynamodb:LeadingKeys") else { panic!("unknown condition: {condition}") };
        let mut patterns = list(listed).into_iter();
        match operator.as_str() {
            "ForAllValues:StringEquals" => patterns.any(|pattern| pattern == partition),
            "ForAllValues:StringLike" => patterns.any(|pattern| matches(&pattern, partition)),
            "Null" => *listed == "false",
            other => panic!("unknown condition: {other}"),
        }
    })
}

#[test]
fn a_pattern_takes_what_iam_would_take() {
    assert!(
        matches("a/*", "a/b/c")
            && matches("a/*/copy", "a/b/copy")
            && matches("a", "a")
            && matches("a/*", "a/")
    );
    assert!(!matches("a/*/copy", "a/b/locked") && !matches("a/*", "b/c") && !matches("a", "ab"));
}
