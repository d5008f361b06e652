//! What `sam deploy` is given by `samconfig.toml`: it is taken only where the template knows it.

use serde_json::Value;

use crate::{template::Template, text};

/// The section of each list of parameters in `samconfig.toml`, and its `Name=value` pairs.
fn given() -> Vec<(String, Vec<(String, String)>)> {
    let (mut section, mut found) = (String::new(), Vec::new());
    for line in text("samconfig.toml").lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            name.trim_end_matches(']').clone_into(&mut section);
        } else if let Some(list) = line.strip_prefix("parameter_overrides = ") {
            let pairs: Vec<String> = serde_json::from_str(list).unwrap();
            let pairs = pairs.iter().map(|pair| pair.split_once('=').unwrap());
            let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            found.push((section.clone(), pairs));
        }
    }
    found
}

/// Why a deployment would be refused for a value of a parameter.
fn refusal(parameter: &Value, value: &str) -> Option<String> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let allowed = parameter["AllowedValues"].as_array();
    if allowed.is_some_and(|allowed| !allowed.iter().any(|one| word(one) == value)) {
        return Some(format!("{value} is none of {allowed:?}"));
    }
    assert!(parameter.get("AllowedPattern").is_none(), "patterns are not compared here: {parameter}");
    if parameter["MaxLength"].as_u64().is_some_and(|most| value.len() as u64 > most) {
        return Some(format!("{value} is too long"));
    }
    if parameter["Type"] != "Number" {
        return None;
    }
    let Ok(number) = value.parse::<i64>() else { return Some(format!("{value} is no number")) };
    let beyond = |bound: &str, beyond: fn(i64, i64) -> bool| {
        parameter[bound].as_i64().is_some_and(|bound| beyond(number, bound))
    };
    (beyond("MinValue", |number, least| number < least) || beyond("MaxValue", |number, most| number > most))
        .then(|| format!("{value} is out of bounds"))
}

#[test]
fn what_samconfig_gives_is_what_the_template_takes() {
    let (template, given) = (Template::read(), given());
    let sections: Vec<&str> = given.iter().map(|(section, _)| section.as_str()).collect();
    assert_eq!(sections, ["default.deploy.parameters", "prod.deploy.parameters"]);
    for (section, pairs) in given {
        for (name, value) in pairs {
            assert_eq!(refusal(template.parameter(&name), &value), None, "[{section}] {name}");
        }
    }
}

#[test]
fn the_default_of_each_parameter_is_a_value_that_it_takes() {
    for (name, parameter) in Template::read().parameters() {
        let default = parameter.get("Default").unwrap_or_else(|| panic!("{name} would have to be asked for"));
        let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        assert_eq!(refusal(parameter, &default), None, "{name}");
    }
}

#[test]
fn values_that_cloudformation_would_refuse_are_refused_here() {
    let template = Template::read();
    for (name, value) in [("LogLevel", "debug"), ("RetentionDays", "91"), ("ThrottleRate", "0")] {
        assert!(refusal(template.parameter(name), value).is_some(), "{name}={value}");
    }
}
