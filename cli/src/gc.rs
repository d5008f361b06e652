//! `bp gc`.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::api::Call;
use crate::context::{Context, put};
use crate::failure::Failure;
use crate::table;
use crate::wait::{Deadline, back_off};

/// What to clean up, and whether to.
#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// Remove it; without this, it is only shown what would go, and why.
    #[arg(long)]
    apply: bool,
    /// Remove it even where most of what is in the store has no record, or the mark of this deployment is missing there:
    /// look first. A store that another deployment has marked is never cleaned up.
    #[arg(long, requires = "apply")]
    force: bool,
    /// How old something in the store must be that nothing refers to: `12h`, `7d`, `4w`; by default what the service
    /// has configured, at least an hour.
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<u64>,
    /// How long to wait for the end with `--apply`, in seconds; the service goes on by itself.
    #[arg(long, default_value_t = 3_600, value_name = "SECONDS", requires = "apply")]
    timeout: u64,
}

/// The parser of an age; seconds.
fn age(text: &str) -> Result<u64, String> {
    let bad = || "expected a number with `h`, `d` or `w`, such as `7d`".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(bad)?;
    let seconds: u64 = match unit {
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(bad()),
    };
    let number: u64 = number.parse().map_err(|_| bad())?;
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).ok_or_else(bad)
}

fn call(args: &GcArgs, cursor: Option<&str>) -> Call {
    let mut body = Map::new();
    body.insert("dry_run".into(), json!(!args.apply));
    put(&mut body, "older_than_seconds", args.older_than);
    put(&mut body, "cursor", cursor);
    put(&mut body, "force", args.force.then_some(true));
    // Beginning what is under way changes nothing.
    Call::post(&["v1", "gc"], Value::Object(body)).repeatable()
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: GcArgs) -> Result<(), Failure> {
    if args.apply { apply(context, &args).await } else { look(context, &args).await }
}

async fn look(context: &Context, args: &GcArgs) -> Result<(), Failure> {
    let (mut removable, mut kept) = (Vec::new(), Vec::new());
    let mut cursor: Option<String> = None;
    loop {
        let page = context.api.json(call(args, cursor.as_deref())).await?;
        let rows = |name| page.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        removable.extend(rows("removable"));
        kept.extend(rows("kept"));
        cursor = table::member(&page, "next_cursor").as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    let bytes = removable
        .iter()
        .filter_map(|row| table::member(row, "size_bytes").as_u64())
        .fold(0, u64::saturating_add);
    let answer = json!({ "removable": removable, "kept": kept, "removable_bytes": bytes });
    context.out.show(&answer, |_| shown(&removable, &kept, bytes))?;
    if !removable.is_empty() {
        context.out.note("nothing was removed: `bp gc --apply` does");
    }
    Ok(())
}

fn shown(removable: &[Value], kept: &[Value], bytes: u64) -> String {
    let cells = |row: &Value, names: &[&str]| {
        names.iter().map(|name| table::cell(table::member(row, name))).collect()
    };
    let mut rows: Vec<Vec<String>> =
        removable.iter().map(|row| cells(row, &["kind", "name", "size_bytes", "why"])).collect();
    let kept = kept.iter().map(|row| {
        vec![
            "kept".to_owned(),
            table::cell(table::member(row, "name")),
            String::new(),
            table::cell(table::member(row, "why")),
        ]
    });
    rows.extend(kept);
    let total = format!("{} to remove, {bytes} bytes", removable.len());
    if rows.is_empty() {
        return total;
    }
    format!("{}\n\n{total}", table::table(&["WHAT", "NAME", "BYTES", "WHY"], &rows))
}

async fn apply(context: &Context, args: &GcArgs) -> Result<(), Failure> {
    let mut answer = context.api.json(call(args, None)).await?;
    let deadline = Deadline::after(Duration::from_secs(args.timeout));
    let mut attempt = 0;
    while table::member(table::member(&answer, "run"), "state") == "RUNNING" {
        attempt += 1;
        deadline.pause(back_off(attempt), "it is still cleaned up").await?;
        answer = context.api.json(Call::get(&["v1", "gc"])).await?;
    }
    let run = table::member(&answer, "run").clone();
    if let Some(why) = table::member(&run, "refused").as_str() {
        return Err(Failure::negative("GC_REFUSED", why));
    }
    context.out.show(&run, |run| {
        let first = ["state", "removed", "removed_bytes", "kept"];
        table::object(run, &first)
    })
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn an_age_has_a_unit() {
        assert_eq!((age("12h"), age("7d"), age("4w")), (Ok(43_200), Ok(604_800), Ok(2_419_200)));
        for text in ["", "7", "d", "0d", "-1d", "7m", "7 d", "1.5d", "99999999999999999999w"] {
            assert!(age(text).is_err(), "{text}");
        }
    }
}
