//! `template.yaml` as far as a running stack needs it: routes, functions with their environment, and a few properties.
//!
//! The tags of `CloudFormation` are left out by the reader, so `!Ref Table` is the text `Table`, and `!If` a list of three.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::routes::{Route, Routes};
use crate::settings;
use crate::story::text;

/// The template, read.
#[derive(Debug)]
pub(super) struct Template {
    root: Value,
}

/// What the template says of a function.
#[derive(Debug)]
pub(super) struct Function {
    /// Its program.
    pub(super) program: String,
    /// Its time limit in seconds.
    pub(super) timeout: u64,
    /// Its memory in MiB.
    pub(super) memory: u64,
    /// What the template puts into its environment.
    pub(super) environment: BTreeMap<String, String>,
}

impl Template {
    /// Reads the checkout's template.
    pub(super) fn read() -> Self {
        let path = settings::checkout("template.yaml");
        let source = std::fs::read_to_string(&path).expect("a template");
        let root = serde_saphyr::from_str(&source).expect("YAML");
        Self { root }
    }

    /// The properties of a resource.
    pub(super) fn properties(&self, resource: &str) -> &Value {
        let properties = &self.root["Resources"][resource]["Properties"];
        assert!(properties.is_object(), "the template has no resource `{resource}`");
        properties
    }

    /// Its routes, each with the program that answers.
    pub(super) fn routes(&self) -> Routes {
        let found = self.of_type("AWS::ApiGatewayV2::Route").map(|(_, route)| {
            let target = text(&route["Properties"], "Target");
            let integration = target.strip_prefix("integrations/${").and_then(|rest| rest.strip_suffix('}'));
            let integration = self.properties(integration.unwrap_or_else(|| panic!("a target `{target}`")));
            assert_eq!(text(integration, "PayloadFormatVersion"), "2.0");
            let (function, alias) = text(integration, "IntegrationUri").split_once('.').expect("an alias");
            assert_eq!(alias, "Alias", "`{function}` is called by its alias");
            Route::new(text(&route["Properties"], "RouteKey"), &self.program(function))
        });
        Routes::new(found.collect())
    }

    /// Its functions; `known` has the values of what exists once a stack is there, by the words of the template.
    pub(super) fn functions(&self, known: &HashMap<String, String>) -> Vec<Function> {
        self.of_type("AWS::Serverless::Function")
            .map(|(name, function)| {
                let properties = &function["Properties"];
                let number = |member: &str| properties[member].as_u64().expect("a number");
                Function {
                    program: self.program(name),
                    timeout: number("Timeout"),
                    memory: number("MemorySize"),
                    environment: self.environment(properties, known),
                }
            })
            .collect()
    }

    fn program(&self, function: &str) -> String {
        let place = text(self.properties(function), "CodeUri");
        place.strip_prefix("functions/").unwrap_or_else(|| panic!("code at `{place}`")).to_owned()
    }

    fn environment(&self, function: &Value, known: &HashMap<String, String>) -> BTreeMap<String, String> {
        let variables = |of: &Value| of["Environment"]["Variables"].as_object().cloned().unwrap_or_default();
        let mut all: Map<String, Value> = variables(&self.root["Globals"]["Function"]);
        all.extend(variables(function));
        all.into_iter()
            .filter_map(|(name, value)| {
                let value = known.get(&name).cloned().or_else(|| self.resolve(&value, known));
                value.map(|value| (name, value))
            })
            .collect()
    }

    /// The text that a value comes to with the parameters' defaults, under which no condition holds; nothing for
    /// `AWS::NoValue`.
    fn resolve(&self, value: &Value, known: &HashMap<String, String>) -> Option<String> {
        match value {
            Value::String(word) if word == "AWS::NoValue" => None,
            Value::String(word) => {
                let parameter = &self.root["Parameters"][word.as_str()]["Default"];
                Some(known.get(word).cloned().or_else(|| scalar(parameter)).unwrap_or_else(|| word.clone()))
            }
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(condition), _, otherwise] if self.root["Conditions"][condition].is_array() => {
                    self.resolve(otherwise, known)
                }
                [Value::String(mapping), first, Value::String(second)] => {
                    let first = self.resolve(first, known)?;
                    self.resolve(&self.root["Mappings"][mapping][first][second], known)
                }
                _ => panic!("the stack of the tests cannot resolve {value}"),
            },
            other => Some(scalar(other).unwrap_or_else(|| panic!("an environment has no {other}"))),
        }
    }

    fn of_type(&self, kind: &str) -> impl Iterator<Item = (&str, &Value)> {
        let resources = self.root["Resources"].as_object().expect("resources");
        resources
            .iter()
            .filter(move |(_, resource)| resource["Type"] == kind)
            .map(|(name, it)| (name.as_str(), it))
    }
}

/// A scalar as an environment writes it.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Template;

    #[test]
    fn the_template_has_seven_functions_and_routes_to_six_of_them() {
        let template = Template::read();
        let functions = template.functions(&[("BP_BASE_URL".to_owned(), "http://a".to_owned())].into());
        let programs: Vec<&str> = functions.iter().map(|function| function.program.as_str()).collect();
        assert_eq!(programs.len(), 7, "{programs:?}");
        let routes = template.routes();
        for program in programs {
            assert_eq!(routes.lead_to(program), program != "verify", "{program}");
        }
    }

    #[test]
    fn an_environment_has_the_defaults_of_parameters_and_nothing_without_a_value() {
        let template = Template::read();
        let known = [("BP_BASE_URL", "http://a"), ("Table", "a-table"), ("Bucket", "a-bucket")];
        let known = known.map(|(word, value)| (word.to_owned(), value.to_owned())).into();
        let functions = template.functions(&known);
        let of = |program: &str| &functions.iter().find(|it| it.program == program).unwrap().environment;
        assert_eq!(of("initiate")["BP_METADATA__DYNAMODB__TABLE"], "a-table");
        assert_eq!(of("initiate")["BP_UPLOADS__EXPIRES_IN_SECONDS"], "86400");
        assert_eq!(of("download")["BP_BASE_URL"], "http://a");
        assert_eq!(of("download").get("BP_CDN_URL"), None);
        assert_eq!(of("decide").get("BP_STORAGE__S3__BUCKET"), None);
    }
}
