//! Reading a partition in order.

use aws_sdk_dynamodb::{Client, operation::query::builders::QueryFluentBuilder};

use super::{
    failed,
    row::{PARTITION, SORT, item, key_row, text},
    unavailable,
};
use crate::ports::items::{Item, ItemsUnavailable, Key, Query};

/// Where a query starts.
#[derive(Debug, PartialEq, Eq)]
enum Start<'a> {
    /// At the first key in its direction.
    First,
    /// Beyond this key, which has the prefix.
    Beyond(&'a str),
    /// Nowhere: every key with the prefix lies before it.
    Nowhere,
}

/// DynamoDB wants a start that has the prefix itself; one that lies outside is before all keys or after all of them.
fn start(wanted: &Query) -> Start<'_> {
    let Some(after) = wanted.after.as_deref() else { return Start::First };
    let before_all = !after.starts_with(&wanted.prefix) && *after < *wanted.prefix || after.is_empty();
    let after_all = !after.starts_with(&wanted.prefix) && *after > *wanted.prefix;
    match (before_all, after_all, wanted.descending) {
        (true, _, false) | (_, true, true) => Start::First,
        (true, _, true) | (_, true, false) => Start::Nowhere,
        (false, false, _) => Start::Beyond(after),
    }
}

fn request(client: &Client, table: &str, wanted: &Query) -> QueryFluentBuilder {
    let request = client
        .query()
        .table_name(table)
        .consistent_read(true)
        .scan_index_forward(!wanted.descending)
        .expression_attribute_names("#p", PARTITION)
        .expression_attribute_values(":p", text(&wanted.partition));
    if wanted.prefix.is_empty() {
        return request.key_condition_expression("#p = :p");
    }
    request
        .key_condition_expression("#p = :p AND begins_with(#s, :s)")
        .expression_attribute_names("#s", SORT)
        .expression_attribute_values(":s", text(&wanted.prefix))
}

pub(super) async fn query(
    client: &Client,
    table: &str,
    wanted: &Query,
) -> Result<Vec<Item>, ItemsUnavailable> {
    let mut from = match start(wanted) {
        Start::Nowhere => return Ok(Vec::new()),
        Start::First => None,
        Start::Beyond(after) => Some(key_row(&Key::new(wanted.partition.clone(), after))),
    };
    let request = request(client, table, wanted);
    let mut items = Vec::new();
    loop {
        let missing = wanted.limit.saturating_sub(items.len());
        if missing == 0 {
            return Ok(items);
        }
        let limit = i32::try_from(missing).unwrap_or(i32::MAX);
        let page = request.clone().set_exclusive_start_key(from).limit(limit).send().await;
        let page = page.map_err(failed)?;
        for row in page.items.unwrap_or_default() {
            items.push(item(row).map_err(unavailable)?);
        }
        from = page.last_evaluated_key.filter(|key| !key.is_empty());
        if from.is_none() {
            return Ok(items);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_outside_the_prefix_is_before_or_after_all_of_it() {
        let cases = [
            (None, Start::First, Start::First),
            (Some("b#1"), Start::Beyond("b#1"), Start::Beyond("b#1")),
            (Some("b#"), Start::Beyond("b#"), Start::Beyond("b#")),
            (Some(""), Start::First, Start::Nowhere),
            (Some("a#9"), Start::First, Start::Nowhere),
            (Some("b"), Start::First, Start::Nowhere),
            (Some("c#1"), Start::Nowhere, Start::First),
        ];
        for (after, up, down) in cases {
            let query = |descending| Query {
                partition: "p".into(),
                prefix: "b#".into(),
                after: after.map(Into::into),
                limit: 1,
                descending,
            };
            assert_eq!(start(&query(false)), up, "{after:?}");
            assert_eq!(start(&query(true)), down, "{after:?}");
        }
    }
}
