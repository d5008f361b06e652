//! `template.yaml`, read as far as the tests need it. Short forms such as `!Ref` are read without their word: what
//! `!Sub` or `!GetAtt` names is text, what `!If` has is a list.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::text;

/// The functions, and the crates that they are built from.
pub(crate) const FUNCTIONS: [&str; 7] =
    ["register", "initiate", "complete", "decide", "download", "manage", "verify"];

/// The template.
pub(crate) struct Template {
    resources: Value,
    parameters: Value,
    globals: Value,
}

/// What one statement of a role allows.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    /// Its name.
    pub(crate) sid: String,
    /// The actions.
    pub(crate) actions: Vec<String>,
    /// On what, as `Table.Arn` or `${Bucket.Arn}/staging/*`.
    pub(crate) resources: Vec<String>,
    /// Under which condition; null for none.
    pub(crate) condition: Value,
}

/// A text or a list of texts, as a list.
pub(crate) fn list(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(texts) => texts.iter().map(|text| text.as_str().unwrap().to_owned()).collect(),
        other => panic!("neither a text nor a list of texts: {other}"),
    }
}

fn capital(function: &str) -> String {
    function[..1].to_ascii_uppercase() + &function[1..]
}

impl Template {
    pub(crate) fn read() -> Self {
        let whole: Value = serde_saphyr::from_str(&text("template.yaml")).unwrap();
        Self {
            resources: whole["Resources"].clone(),
            parameters: whole["Parameters"].clone(),
            globals: whole["Globals"]["Function"].clone(),
        }
    }

    /// The properties of a resource.
    pub(crate) fn properties(&self, resource: &str) -> &Value {
        let found = &self.resources[resource]["Properties"];
        assert!(found.is_object(), "template.yaml has no {resource}");
        found
    }

    /// A variable that every function has in its environment.
    pub(crate) fn everywhere(&self, name: &str) -> &Value {
        &self.globals["Environment"]["Variables"][name]
    }

    /// A parameter.
    pub(crate) fn parameter(&self, name: &str) -> &Value {
        let found = &self.parameters[name];
        assert!(found.is_object(), "template.yaml has no parameter {name}");
        found
    }

    /// All parameters, by name.
    pub(crate) fn parameters(&self) -> &serde_json::Map<String, Value> {
        self.parameters.as_object().unwrap()
    }

    /// The conditions of all resources of a kind, by name; empty text for none.
    pub(crate) fn conditional(&self, kind: &str) -> BTreeMap<&str, &str> {
        let all = self.resources.as_object().unwrap().iter();
        all.filter(|(_, resource)| resource["Type"] == kind)
            .map(|(name, resource)| (name.as_str(), resource["Condition"].as_str().unwrap_or_default()))
            .collect()
    }

    /// The properties of all resources of a kind, by name.
    pub(crate) fn of_type(&self, kind: &str) -> BTreeMap<&str, &Value> {
        let all = self.resources.as_object().unwrap().iter();
        all.filter(|(_, resource)| resource["Type"] == kind)
            .map(|(name, resource)| (name.as_str(), &resource["Properties"]))
            .collect()
    }

    /// The properties of a function.
    pub(crate) fn function(&self, function: &str) -> &Value {
        self.properties(&format!("{}Function", capital(function)))
    }

    /// Everything that the role of a function allows: its own policies, and those that name it.
    pub(crate) fn statements(&self, function: &str) -> Vec<Statement> {
        let role = format!("{}Role", capital(function));
        let properties = self.properties(&role);
        assert!(properties.get("ManagedPolicyArns").is_none(), "{role} has policies that nobody reads here");
        let own = properties["Policies"].as_array().unwrap().iter();
        let apart = self.of_type("AWS::IAM::RolePolicy").into_values();
        let documents: Vec<&Value> = own
            .chain(apart.filter(|policy| policy["RoleName"] == *role))
            .map(|p| &p["PolicyDocument"])
            .collect();
        documents
            .iter()
            .flat_map(|document| document["Statement"].as_array().unwrap())
            .map(statement)
            .collect()
    }

    /// The routes: the key, such as `GET /v1/keyset`, and the function behind it.
    pub(crate) fn routes(&self) -> BTreeMap<String, String> {
        let routes = self.of_type("AWS::ApiGatewayV2::Route").into_values();
        let mut found = BTreeMap::new();
        for route in routes {
            let target = route["Target"].as_str().unwrap();
            let integration = target.strip_prefix("integrations/${").and_then(|rest| rest.strip_suffix('}'));
            let uri = self.properties(integration.unwrap())["IntegrationUri"].as_str().unwrap().to_owned();
            let function = uri.strip_suffix("Function.Alias").unwrap().to_ascii_lowercase();
            let key = route["RouteKey"].as_str().unwrap().to_owned();
            assert_eq!(found.insert(key.clone(), function), None, "two routes are {key}");
        }
        found
    }
}

fn statement(value: &Value) -> Statement {
    assert_eq!(value["Effect"], "Allow", "{value}");
    assert!(value.get("NotAction").is_none() && value.get("NotResource").is_none(), "{value}");
    Statement {
        sid: value["Sid"].as_str().unwrap().to_owned(),
        actions: list(&value["Action"]),
        resources: list(&value["Resource"]),
        condition: value["Condition"].clone(),
    }
}
