//! Steps 12 and 13: what is offered.

use decision::{Action, Version};
use serde_json::{Value, json};

use crate::fixture::{World, accepts, code, code_with, world};

fn none() -> World {
    world()
        .with("action", Some(json!("NONE")))
        .with("reason", Some(json!("UP_TO_DATE")))
        .with("release", None)
        .with("artifact", None)
}

fn offer(installed: &str, release: Value) -> Option<&'static str> {
    let mut world = world().with("from_version", Some(json!(installed))).with("release", Some(release));
    world.expected.installed_version = Version::parse(installed).unwrap();
    world.check().err().map(|refusal| refusal.code())
}

#[test]
fn step_12_nothing_to_do_has_neither_release_nor_artifact() {
    let facts = none().check().unwrap().payload;
    assert_eq!((facts.action, facts.release, facts.artifact), (Action::None, None, None));
    let full = world().payload;
    assert_eq!(code(none().with("release", Some(full["release"].clone())).check()), "SHAPE");
    assert_eq!(code(none().with("artifact", Some(full["artifact"].clone())).check()), "SHAPE");
    assert_eq!(code(none().with("release", Some(json!(null))).check()), "PAYLOAD_MEMBER");
    assert_eq!(code_with("action", "NONE"), "SHAPE");
}

#[test]
fn step_12_something_to_do_has_both() {
    for (word, action) in
        [("NOTIFY", Action::Notify), ("DOWNLOAD", Action::Download), ("INSTALL", Action::Install)]
    {
        let world = || world().with("action", Some(json!(word)));
        assert_eq!(world().check().unwrap().payload.action, action);
        assert_eq!(code(world().with("release", None).check()), "SHAPE");
        assert_eq!(code(world().with("artifact", None).check()), "SHAPE");
        assert_eq!(code(world().with("release", None).with("artifact", None).check()), "SHAPE");
    }
}

#[test]
fn step_12_unknown_actions_are_refused_and_unknown_reasons_are_not() {
    for word in ["", "install", "Install", "INSTALL ", "UNINSTALL"] {
        assert_eq!(code_with("action", word), "ACTION");
    }
    accepts("reason", "SOME_LATER_REASON");
    accepts("release.later", true);
    accepts("artifact.later", json!({"a": 1}));
}

#[test]
fn step_12_a_release_is_newer_than_what_is_installed() {
    for (installed, version) in [
        ("1.4.0", "1.4.1"),
        ("1.4.0", "1.10.0"),
        ("1.4.0", "2.0.0-alpha"),
        ("1.4.0-rc.1", "1.4.0"),
        ("1.4.0-rc.2", "1.4.0-rc.10"),
        ("1.4.0-alpha", "1.4.0-alpha.1"),
        ("1.4.0-1", "1.4.0-a"),
        ("1.4.0+zz", "1.4.1+aa"),
        ("1.4.0", "9007199254740991.0.0"),
    ] {
        assert_eq!(
            offer(installed, json!({"release_id": "r", "version": version})),
            None,
            "{installed} {version}"
        );
        let back = json!({"release_id": "r", "version": installed});
        assert_eq!(offer(version, back), Some("DOWNGRADE"), "{version} {installed}");
        let allowed = json!({"release_id": "r", "version": installed, "allow_downgrade": true});
        assert_eq!(offer(version, allowed), None, "{version} {installed}");
        let denied = json!({"release_id": "r", "version": installed, "allow_downgrade": false});
        assert_eq!(offer(version, denied), Some("DOWNGRADE"), "{version} {installed}");
    }
}

#[test]
fn step_12_the_installed_version_is_never_an_offer() {
    for (installed, version) in
        [("1.4.0", "1.4.0"), ("1.4.0", "1.4.0+build"), ("1.4.0+a", "1.4.0+b"), ("1.4.0-rc.1+a", "1.4.0-rc.1")]
    {
        for allow_downgrade in [false, true] {
            let release = json!({"release_id": "r", "version": version, "allow_downgrade": allow_downgrade});
            assert_eq!(offer(installed, release), Some("SAME_VERSION"), "{installed} {version}");
        }
    }
}

#[test]
fn step_12_the_floor_holds_upwards_and_downwards() {
    let with_floor = |version: &str, floor: &str| {
        offer(
            "1.4.0",
            json!({"release_id": "r", "version": version, "floor": floor, "allow_downgrade": true}),
        )
    };
    assert_eq!(with_floor("1.3.0", "1.3.0"), None);
    assert_eq!(with_floor("1.3.0", "1.3.0+build"), None);
    assert_eq!(with_floor("1.3.0", "1.3.0-rc.1"), None);
    assert_eq!(with_floor("1.3.0", "1.3.1"), Some("BELOW_FLOOR"));
    assert_eq!(with_floor("1.3.0-rc.1", "1.3.0"), Some("BELOW_FLOOR"));
    assert_eq!(with_floor("1.5.0", "1.6.0"), Some("BELOW_FLOOR"));
    assert_eq!(with_floor("1.5.0", "1.10.0"), Some("BELOW_FLOOR"));
}

#[test]
fn step_12_versions_are_semantic_versions() {
    for bad in [
        "",
        "1.5",
        "v1.5.0",
        "01.5.0",
        "1.5.0-01",
        "1.5.0.0",
        "latest",
        "9007199254740992.0.0",
        "1.5.0-9007199254740992",
        " 1.5.0",
    ] {
        assert_eq!(code_with("release.version", bad), "VERSION", "{bad}");
        assert_eq!(code_with("release.floor", bad), "VERSION", "{bad}");
    }
}

#[test]
fn step_12_a_release_without_a_channel_or_in_another_one_is_fine() {
    world().with("release.channel", None).check().unwrap();
    accepts("release.channel", "beta");
}

#[test]
fn step_13_the_installer_type_is_one_that_was_asked_for() {
    let asked = |types: &[&str]| {
        let mut world = world();
        world.expected.installer_types = types.iter().map(ToString::to_string).collect();
        world.check().err().map(|refusal| refusal.code())
    };
    assert_eq!(asked(&[]), None);
    assert_eq!(asked(&["exe", "msi"]), None);
    for types in [&["exe"][..], &["MSI"], &["msix"], &[""]] {
        assert_eq!(asked(types), Some("INSTALLER_TYPE"), "{types:?}");
    }
}

#[test]
fn step_13_the_size_is_from_one_to_the_cap() {
    accepts("artifact.size_bytes", 1);
    accepts("artifact.size_bytes", 1_000);
    for size in [0, -1, 1_001, 9_007_199_254_740_991_i64, -9_007_199_254_740_991] {
        assert_eq!(code_with("artifact.size_bytes", size), "SIZE", "{size}");
    }
}

#[test]
fn step_13_the_digest_is_64_lower_case_hex_digits() {
    accepts("artifact.sha256", "0123456789abcdef".repeat(4));
    for bad in [
        String::new(),
        "5A".repeat(32),
        "5a".repeat(31),
        "5a".repeat(33),
        format!("{}5", "5a".repeat(31)),
        format!("{}5g", "5a".repeat(31)),
        format!("0x{}", "5a".repeat(31)),
        format!("{} ", &"5a".repeat(32)[1..]),
        format!("{}１", &"5a".repeat(32)[3..]),
        "é".repeat(32),
    ] {
        assert_eq!(code_with("artifact.sha256", bad), "SHA256");
    }
}

#[test]
fn step_13_the_url_is_https_without_userinfo() {
    accepts("artifact.url", "https://dl.example.com:8443/a?b=c@d");
    for bad in [
        "http://dl.example.com/x",
        "https://user@dl.example.com/",
        "https://@dl.example.com/",
        "ftp://dl.example.com/",
        "https:///x",
        "",
        "/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://dl.example.com/ x",
        "https:\\\\dl.example.com",
        "http://localhost/x",
        "http://[::1]/x",
    ] {
        assert_eq!(code_with("artifact.url", bad), "URL", "{bad}");
    }
}

#[test]
fn step_13_the_loopback_switch_covers_loopback_alone() {
    let switched = |url: &str| {
        let mut world = world().with("artifact.url", Some(json!(url)));
        world.expected.allow_loopback_http = true;
        world.check().err().map(|refusal| refusal.code())
    };
    for good in [
        "https://dl.example.com/x",
        "http://127.0.0.1:8080/x",
        "http://127.9.9.9/x",
        "http://[::1]/x",
        "http://localhost:80/x",
    ] {
        assert_eq!(switched(good), None, "{good}");
    }
    for bad in [
        "http://dl.example.com/x",
        "http://127.0.0.1.example/x",
        "http://u@localhost/x",
        "ftp://localhost/x",
        "http://192.168.0.1/x",
    ] {
        assert_eq!(switched(bad), Some("URL"), "{bad}");
    }
}

#[test]
fn every_optional_fact_is_told() {
    let world = world()
        .with("release.critical", Some(json!(true)))
        .with("release.notes_url", Some(json!("https://updates.example.com/notes")))
        .with("artifact.requires_admin", Some(json!(false)))
        .with("artifact.file_name", Some(json!("setup.msi")))
        .with("artifact.access", Some(json!("token")))
        .with("artifact.verification", Some(json!("DECLARED")));
    let facts = world.check().unwrap().payload;
    let told = json!({"release": facts.release, "artifact": facts.artifact});
    assert_eq!(told["release"], world.payload["release"]);
    assert_eq!(told["artifact"], world.payload["artifact"]);
}
