//! The promises of every object store, over Google Cloud Storage: with versions, and without.

use shared::{contract::objects as contract, large_objects_contract};

use crate::over_http::OverHttp;

macro_rules! promises {
    ($name:ident, $versions:literal: $($promise:ident)+) => {
        mod $name {
            use super::*;

            $(
                #[tokio::test]
                #[ignore = "needs a server: set BP_TEST_GCS"]
                async fn $promise() {
                    contract::$promise(&OverHttp::new($versions).await).await;
                }
            )+
        }
    };
    ($($promise:ident)+) => {
        promises!(with_versions, true: $($promise)+);
        promises!(without_versions, false: $($promise)+);
        const HERE: &[&str] = &[$(stringify!($promise)),+];
    };
}

promises! {
    // bytes
    what_was_put_is_found_with_size_and_digest
    an_object_of_no_bytes_is_an_object
    a_torn_upload_may_be_tried_again
    fewer_bytes_than_declared_are_not_kept
    what_was_never_put_is_not_found
    promote_gives_the_bytes_of_staging
    promote_twice_gives_the_same_copy
    promotes_at_once_give_the_same_copy
    promote_proves_the_digest_of_the_copy
    promote_looks_at_a_copy_whose_staging_is_gone
    what_staging_becomes_never_reaches_the_copy
    a_range_is_exactly_that_range
    a_deleted_object_is_not_found
    deleting_nothing_is_no_error
    deleting_one_key_leaves_the_others
    a_download_under_way_outlives_its_object
    // doors
    the_documented_curl_works
    a_url_opens_no_other_key
    the_bare_door_refuses_another_length
    the_bare_door_refuses_an_unknown_length
    the_bare_door_refuses_another_media_type_than_declared
    // listing
    what_is_stored_is_listed_with_size_and_age
    a_list_in_pages_has_everything_once
    what_was_erased_is_gone
    a_mark_is_listed_apart_from_what_is_stored
    // keeping
    what_we_write_is_nothing_before_it_is_published
    what_we_write_is_published_once
    what_we_give_up_leaves_nothing
    what_we_write_comes_back_whole_whatever_its_size
}

large_objects_contract!(parts_with_versions, OverHttp::new(true).await, "needs a server: set BP_TEST_GCS");
large_objects_contract!(
    parts_without_versions,
    OverHttp::new(false).await,
    "needs a server: set BP_TEST_GCS"
);

/// Promises of which Google keeps the sense in another way, and where that is tested.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "a_torn_upload_is_not_found",
        "a server has the whole once all bytes came: promises::a_torn_upload_is_not_found",
    ),
    ("more_bytes_than_declared_are_not_kept_and_not_read_on", "HTTP ends a body at its announced length"),
    ("a_second_put_changes_nothing", "a condition would be a header: promises::a_second_put_reaches_no_copy"),
    (
        "two_puts_at_once_keep_exactly_one",
        "a condition would be a header: promises::a_second_put_reaches_no_copy",
    ),
    (
        "promote_without_staging_finds_nothing",
        "there is no locked door: promises::promote_without_staging_finds_nothing",
    ),
    ("a_range_outside_the_object_is_refused", "the client sends its range to Google by itself"),
    (
        "a_large_object_comes_back_whole_in_bounded_chunks",
        "a client reads as it likes: promises::a_large_object_comes_back_whole",
    ),
    ("a_url_ends_when_it_says", "a server has its own clock: promises::a_url_ends_when_it_says"),
    ("an_expired_url_is_refused", "a server has its own clock: promises::a_url_ends_when_it_says"),
    (
        "a_changed_signature_is_refused",
        "`a` and `A` are the same digit: promises::every_changed_value_of_the_query_is_refused",
    ),
    (
        "every_changed_parameter_is_refused",
        "`%2f` and `%2F` are the same: promises::every_changed_value_of_the_query_is_refused",
    ),
    (
        "every_added_or_missing_parameter_is_refused",
        "some are refused with 400: promises::every_added_or_missing_parameter_is_refused",
    ),
    ("the_bare_door_refuses_a_checksum_that_nobody_signed", "Google has no such header"),
    ("the_locked_door_takes_the_declared_bytes", "there is no locked door"),
    ("the_locked_door_refuses_other_bytes", "there is no locked door"),
    ("the_locked_door_refuses_a_missing_or_another_checksum", "there is no locked door"),
    ("the_locked_door_refuses_another_length", "there is no locked door"),
    ("a_refused_put_reads_no_body", "a server may ask for the body before it looks"),
];

#[test]
fn every_promise_is_run_or_its_place_is_told() {
    let list = include_str!("../../src/contract/objects.rs").split_once("// bytes").unwrap().1;
    let names = list.lines().map(str::trim).filter(|line| line.contains('_') && !line.starts_with("//"));
    let mut count = 0;
    for name in names {
        let here = HERE.contains(&name);
        let elsewhere = ELSEWHERE.iter().any(|(promise, place)| *promise == name && !place.is_empty());
        assert!(here != elsewhere, "{name}: here {here}, elsewhere {elsewhere}");
        count += 1;
    }
    assert_eq!(count, HERE.len() + ELSEWHERE.len());
}
