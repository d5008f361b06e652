use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

fn holds(range: &str, version: &str) -> bool {
    Range::parse(range).unwrap().contains(&Version::parse(version).unwrap())
}

fn check(table: &[(&str, &[&str], &[&str])]) {
    for (range, inside, outside) in table {
        for version in *inside {
            assert!(holds(range, version), "`{version}` should be in `{range}`");
        }
        for version in *outside {
            assert!(!holds(range, version), "`{version}` should not be in `{range}`");
        }
    }
}

#[test]
fn whole_versions_mean_what_cargo_says() {
    check(&[
        ("=1.2.3", &["1.2.3", "1.2.3+b"], &["1.2.4", "1.2.2", "1.2.3-rc.1"]),
        (">1.2.3", &["1.2.4", "1.2.4-0", "9.0.0"], &["1.2.3", "1.2.3-rc.1"]),
        (">=1.2.3", &["1.2.3", "2.0.0-rc.1"], &["1.2.2", "1.2.3-rc.1"]),
        ("<1.2.3", &["1.2.2", "0.0.0-0"], &["1.2.3", "1.2.4"]),
        ("<=1.2.3", &["1.2.3", "1.2.3+b", "1.2.2"], &["1.2.4", "1.2.4-0"]),
        ("^1.2.3", &["1.2.3", "1.99.0", "1.3.0-rc.1"], &["1.2.2", "2.0.0", "1.2.3-rc.1"]),
        ("^0.2.3", &["0.2.3", "0.2.9"], &["0.2.2", "0.3.0"]),
        ("^0.0.3", &["0.0.3"], &["0.0.2", "0.0.4"]),
        ("^0.0.0", &["0.0.0"], &["0.0.1"]),
        ("~1.2.3", &["1.2.3", "1.2.9"], &["1.2.2", "1.3.0"]),
        ("~0.0.3", &["0.0.9"], &["0.1.0"]),
    ]);
}

#[test]
fn one_or_two_numbers_mean_what_cargo_says() {
    check(&[
        ("=1.2", &["1.2.0", "1.2.9"], &["1.1.9", "1.3.0", "1.2.0-rc.1"]),
        ("=1", &["1.0.0", "1.9.9"], &["0.9.9", "2.0.0"]),
        (">1.2", &["1.3.0"], &["1.2.0", "1.2.9", "1.3.0-rc.1"]),
        (">1", &["2.0.0"], &["1.9.9", "1.0.0"]),
        (">=1.2", &["1.2.0"], &["1.1.9"]),
        ("<1.2", &["1.1.9"], &["1.2.0"]),
        ("<1", &["0.9.9"], &["1.0.0"]),
        ("<=1.2", &["1.2.9", "0.1.0"], &["1.3.0"]),
        ("<=1", &["1.9.9"], &["2.0.0"]),
        ("^1.2", &["1.2.0", "1.9.0"], &["1.1.9", "2.0.0"]),
        ("^0.2", &["0.2.0", "0.2.9"], &["0.3.0", "0.1.9"]),
        ("^0.0", &["0.0.0", "0.0.9"], &["0.1.0"]),
        ("^0", &["0.0.0", "0.9.9"], &["1.0.0"]),
        ("^2", &["2.0.0", "2.9.9"], &["3.0.0"]),
        ("~1.2", &["1.2.0", "1.2.9"], &["1.3.0"]),
        ("~1", &["1.0.0", "1.9.9"], &["2.0.0"]),
        ("*", &["0.0.0-0", "9007199254740991.9007199254740991.9007199254740991"], &[]),
        ("1.*", &["1.0.0", "1.9.9"], &["0.9.9", "2.0.0", "1.0.0-rc.1"]),
        ("1.2.*", &["1.2.0", "1.2.9"], &["1.3.0", "1.1.9"]),
    ]);
}

#[test]
fn an_upper_bound_without_a_pre_release_part_excludes_its_own_pre_releases() {
    for range in ["<2.0.0", "<2", "<2.0", "^1", "^1.2.3", "1.*", "~1", "<=1", "=1", ">=1.0.0,<2.0.0"] {
        assert!(!holds(range, "2.0.0-0") && !holds(range, "2.0.0-rc.1"), "{range}");
        assert!(holds(range, "1.9.9-rc.1"), "{range}");
    }
    for range in ["~1.2", "<=1.2", "~1.2.3", "1.2.*", "<1.3"] {
        assert!(!holds(range, "1.3.0-0") && holds(range, "1.2.9-rc.1"), "{range}");
    }
}

#[test]
fn a_bound_with_a_pre_release_part_is_that_version_and_no_other() {
    check(&[
        ("<2.0.0-rc.2", &["2.0.0-rc.1", "2.0.0-alpha", "1.9.9"], &["2.0.0-rc.2", "2.0.0-rc.10", "2.0.0"]),
        ("<=2.0.0-rc.2", &["2.0.0-rc.2"], &["2.0.0-rc.3", "2.0.0"]),
        (">2.0.0-rc.2", &["2.0.0-rc.3", "2.0.0"], &["2.0.0-rc.2", "2.0.0-rc.1"]),
        (">=2.0.0-rc.2", &["2.0.0-rc.2", "2.0.0"], &["2.0.0-rc.1"]),
        ("^2.0.0-rc.2", &["2.0.0-rc.2", "2.0.0", "2.1.0"], &["2.0.0-rc.1", "3.0.0-0"]),
        ("~2.0.0-rc.2", &["2.0.0-rc.2", "2.0.1"], &["2.1.0-0"]),
        ("^0.0.3-rc", &["0.0.3-rc", "0.0.3"], &["0.0.4-0"]),
        ("=2.0.0-rc.2", &["2.0.0-rc.2+b"], &["2.0.0-rc.3", "2.0.0"]),
    ]);
}

#[test]
fn a_version_alone_is_exactly_that_version_but_for_build_metadata() {
    check(&[
        ("1.2.3", &["1.2.3", "1.2.3+b9"], &["1.2.4", "1.3.0", "1.2.3-rc.1"]),
        ("1.2.3+b1", &["1.2.3", "1.2.3+b9"], &["1.2.4"]),
        ("1.2.3-rc.1", &["1.2.3-rc.1"], &["1.2.3", "1.2.3-rc.2"]),
    ]);
}

#[test]
fn every_comparator_must_hold() {
    check(&[
        (">=1.2.0,<1.4.0", &["1.2.0", "1.3.9"], &["1.1.9", "1.4.0"]),
        (">= 1.2,  <  2", &["1.2.0"], &["2.0.0"]),
        ("1.*, <1.5", &["1.4.9"], &["1.5.0", "0.9.0"]),
    ]);
    assert!(!holds("<3,<2,>1,>=0.1", "2.0.0-rc.1") && !holds("<3,<2,>1,>=0.1", "1.9.9"));
    assert!(!holds(">2, <1", "1.5.0"), "an empty range holds nothing");
    assert!(holds(">=1.0.0-a,>=1.0.0-b,<=1.0.0,<1.0.1", "1.0.0-b"));
    assert!(!holds(">=1.0.0-a,>1.0.0-a", "1.0.0-a") && !holds("<=1.0.0,<1.0.0", "1.0.0"));
}

#[test]
fn the_largest_numbers_have_a_next_one() {
    let max = decision::MAX_INTEGER;
    assert!(holds(&format!("^{max}"), &format!("{max}.1.0")));
    assert!(holds(&format!("~1.{max}"), &format!("1.{max}.7")));
    assert!(!holds(&format!("~1.{max}"), "2.0.0-0"));
    assert!(!holds(&format!(">1.{max}"), &format!("1.{max}.{max}")) && holds(&format!(">1.{max}"), "2.0.0"));
    assert!(Range::parse(&format!("^{}", max + 1)).is_err());
}

#[test]
fn any_other_text_is_refused() {
    let signs =
        [" ", ",", ">=1,", ",>=1", " >=1", ">=1 ", ">=1 ,<2", "1.2, 1.3", "1.2.3,<2", ">=1,1.2.3", "1.2.3 "];
    let words = concat!(
        "1;1.2;= =1;==1;=>1;!=1;!1;~>1;~=1;x;1.x;1.X;1.*.*;1.*.3;*.1;>=*;=1.*;^1.2.*;01;>=01;>=1.02;>=1.2.3.4;",
        ">=1.2-rc;>=1-rc;^1.2+b;1.2.*-rc;>= v1;v1.2.3;>=1||<2;>=1 <2;1.0.0 - 2.0.0;\t>=1;>=\t1;>=１;latest;>=1..2;",
        ">=.1;>=1.;^;>;1.2.*.*;1.2.3.*;.*;> =1;**;*1;1*;-1;>=-1;>=+1;^1.2.3-;^1.2.3-01;1,2,3;",
    );
    // The last of the words is the empty text.
    for text in signs.into_iter().chain(words.split(';')) {
        assert!(Range::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_range_reads_back_as_it_was_written() {
    let text = ">= 1.2.0,  <2";
    let range: Range = serde_json::from_str(&format!("\"{text}\"")).unwrap();
    assert_eq!(
        (range.to_string(), serde_json::to_string(&range).unwrap()),
        (text.into(), format!("\"{text}\""))
    );
    assert!(serde_json::from_str::<Range>("\"1.2\"").is_err());
}

proptest! {
    #[test]
    fn a_range_is_one_interval_in_which_all_its_comparators_hold(
        parts in vec((select(vec!["=", ">", ">=", "<", "<=", "^", "~"]), select(vec!["0", "1", "1.1", "0.1.1", "1.0.0-b", "1.1.1"])), 1..4),
    ) {
        let parts: Vec<String> = parts.iter().map(|(sign, operand)| format!("{sign}{operand}")).collect();
        let range = Range::parse(&parts.join(", ")).unwrap();
        let cores = (0..3).flat_map(|major| (0..3).flat_map(move |minor| (0..3).map(move |patch| format!("{major}.{minor}.{patch}"))));
        let versions = cores.flat_map(|core| ["-0", "-b", "-c", ""].map(|pre| Version::parse(&format!("{core}{pre}")).unwrap()));
        // Ascending versions lie under the range, then in it, then over it.
        let mut places = Vec::new();
        for version in versions {
            let contained = range.contains(&version);
            prop_assert_eq!(contained, parts.iter().all(|part| Range::parse(part).unwrap().contains(&version)), "{}", version);
            prop_assert_eq!(contained, !range.is_above(&version) && !range.is_below(&version));
            places.push((!range.is_above(&version), range.is_below(&version)));
        }
        prop_assert!(places.is_sorted_by_key(|place| place.0) && places.is_sorted_by_key(|place| place.1));
    }
}
