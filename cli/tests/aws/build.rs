//! How the functions are built, as far as it decides about their start.

use std::collections::BTreeSet;

use crate::{
    template::{FUNCTIONS, Template},
    text,
};

#[test]
fn nothing_is_built_with_aws_lc_unless_its_jitter_entropy_is_off() {
    let lock = text("Cargo.lock");
    let aws_lc = lock.lines().any(|line| line.starts_with("name = \"aws-lc-"));
    let off = text(".cargo/config.toml").contains("AWS_LC_SYS_NO_JITTER_ENTROPY = \"1\"");
    assert!(!aws_lc || off, "aws-lc would take 20 ms of every start: set AWS_LC_SYS_NO_JITTER_ENTROPY");
    assert!(lock.contains("name = \"ring\""), "who else would make the keys of TLS?");
}

#[test]
fn each_function_is_built_from_the_crate_of_its_name() {
    let template = Template::read();
    let functions = template.of_type("AWS::Serverless::Function");
    assert_eq!(functions.len(), FUNCTIONS.len(), "{:?}", functions.keys());
    let folders: BTreeSet<String> =
        FUNCTIONS.iter().map(|function| format!("functions/{function}")).collect();
    let built: BTreeSet<String> =
        functions.values().map(|properties| properties["CodeUri"].as_str().unwrap().to_owned()).collect();
    assert_eq!(built, folders);
    for function in FUNCTIONS {
        let role = template.function(function)["Role"].as_str().unwrap().to_ascii_lowercase();
        assert_eq!(role, format!("{function}role.arn"), "{function} has somebody else's role");
    }
}
