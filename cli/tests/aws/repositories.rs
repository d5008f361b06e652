//! Repositories on AWS: which functions know of them, and who may read what opens them.

use std::collections::BTreeSet;

use crate::{
    path,
    privileges::{code, features, rust_files},
    template::{FUNCTIONS, Template},
};

/// What is asked of AWS without an SDK: the words of the request, in one file, and what each needs.
const SECRETS: &str = "shared/src/adapters/fetcher/https/secrets.rs";
const SIGNED: [(&str, &str); 2] = [
    ("secretsmanager.GetSecretValue", "secretsmanager:GetSecretValue"),
    ("AmazonSSM.GetParameter", "ssm:GetParameter"),
];
/// Who opens private repositories: to read them, and to get links into them.
const OPENS_REPOSITORIES: [&str; 2] = ["download", "verify"];
/// Who knows of repositories at all: besides, to admit URLs, and to hold releases to `products`.
const KNOWS_REPOSITORIES: [&str; 4] = ["download", "manage", "register", "verify"];

/// What a function needs for them.
pub(crate) fn needed(function: &str) -> impl Iterator<Item = String> {
    let opens = OPENS_REPOSITORIES.contains(&function);
    SIGNED.into_iter().filter(move |_| opens).map(|(_, action)| action.to_owned())
}

#[test]
fn secrets_are_asked_for_in_one_place_and_by_who_opens_repositories_alone() {
    let asked = code(&path(SECRETS));
    let words: BTreeSet<&str> =
        asked.split("action: \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(words, SIGNED.map(|(words, _)| words).into());
    for file in rust_files(&path("shared/src")) {
        assert!(file.ends_with(SECRETS) || !code(&file).contains("x-amz-target"), "{}", file.display());
    }
    for function in FUNCTIONS {
        // `fetcher-https`, up to its hyphen.
        let opens = features(function).contains("fetcher");
        assert_eq!(opens, OPENS_REPOSITORIES.contains(&function), "{function}");
    }
}

#[test]
fn no_secret_may_be_read_until_the_operator_names_it() {
    let template = Template::read();
    let mut conditions = BTreeSet::new();
    for function in FUNCTIONS {
        for statement in template.statements(function) {
            for (_, action) in SIGNED.iter().filter(|(_, action)| statement.actions == [*action]) {
                if statement.sid == "ReadCdnKey" {
                    assert_eq!(
                        (function, &statement.resources[..]),
                        ("download", &["CdnPrivateKeySecretArn".to_owned()][..])
                    );
                    continue;
                }
                let parameter = if action.starts_with("ssm") {
                    "RepositoryParameterArns"
                } else {
                    "RepositorySecretArns"
                };
                assert_eq!(statement.resources, [parameter], "{function}");
                assert_eq!(template.parameter(parameter)["Default"], "");
                assert_eq!(template.parameter(parameter)["Type"], "CommaDelimitedList");
                conditions.insert(statement.sid.clone());
            }
        }
    }
    assert_eq!(conditions.len(), 2);
    for (name, resource) in template.conditional("AWS::IAM::RolePolicy") {
        if name.contains("Repository") {
            let condition =
                if name.ends_with("Parameters") { "HasRepositoryParameters" } else { "HasRepositorySecrets" };
            assert_eq!(resource, condition, "{name}");
        }
    }
}

#[test]
fn repositories_are_given_to_the_functions_that_use_them() {
    let template = Template::read();
    assert_eq!(template.parameter("Repositories")["Default"], "[]");
    for function in FUNCTIONS {
        let given = template.function(function)["Environment"]["Variables"].get("BP_REPOSITORIES");
        let expected = KNOWS_REPOSITORIES.contains(&function).then_some("Repositories");
        assert_eq!(given.and_then(serde_json::Value::as_str), expected, "{function}");
    }
}
