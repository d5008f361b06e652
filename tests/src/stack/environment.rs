//! A configuration as functions get it: variables instead of YAML.

use std::collections::BTreeMap;

use serde_json::Value;

use super::template::scalar;

/// The variables that say what a YAML file says.
pub(super) fn of_yaml(yaml: &str) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    if !yaml.trim().is_empty() {
        let sections: Value = serde_saphyr::from_str(yaml).expect("YAML");
        add("BP", &sections, &mut variables);
    }
    variables
}

fn add(name: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                let separator = if name == "BP" { "_" } else { "__" };
                add(&format!("{name}{separator}{}", member.to_uppercase()), value, into);
            }
        }
        value => {
            into.insert(name.to_owned(), scalar(value).unwrap_or_else(|| value.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::of_yaml;

    #[test]
    fn keys_become_names_and_lists_stay_json() {
        let yaml = "uploads: { max_size_bytes: 5 }\ncdn_url: http://a\nrepositories: [{ name: b }]\n";
        let variables = of_yaml(yaml);
        let expected = [
            ("BP_UPLOADS__MAX_SIZE_BYTES", "5"),
            ("BP_CDN_URL", "http://a"),
            ("BP_REPOSITORIES", r#"[{"name":"b"}]"#),
        ];
        assert_eq!(variables, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert!(of_yaml("").is_empty());
    }
}
