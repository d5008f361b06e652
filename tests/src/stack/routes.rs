//! Which function answers: routes as API Gateway's HTTP APIs choose among them.

use std::collections::BTreeMap;

/// A method, a path and who answers.
#[derive(Debug)]
pub(super) struct Route {
    /// As the template has it, such as `GET /v1/products/{product}`.
    pub(super) key: String,
    /// The program that answers.
    pub(super) program: String,
    method: String,
    segments: Vec<Segment>,
}

/// Every route of an API.
#[derive(Debug)]
pub(super) struct Routes {
    routes: Vec<Route>,
}

/// What a request was matched with.
#[derive(Debug)]
pub(super) struct Match<'a> {
    /// The route.
    pub(super) route: &'a Route,
    /// The path's parameters.
    pub(super) parameters: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    // In the order of preference.
    Text(String),
    Parameter(String),
}

const DEFAULT: &str = "$default";
const ANY: &str = "ANY";

impl Route {
    /// Reads a route's key.
    pub(super) fn new(key: &str, program: &str) -> Self {
        let (method, path) = key.split_once(' ').unwrap_or((key, ""));
        assert!(!path.contains("+}"), "greedy parameters, as in `{key}`, are not made here");
        let segments = path.split('/').skip(1).map(|segment| {
            let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            name.map_or_else(|| Segment::Text(segment.to_owned()), |name| Segment::Parameter(name.to_owned()))
        });
        let segments = segments.collect();
        Self { key: key.to_owned(), program: program.to_owned(), method: method.to_owned(), segments }
    }

    fn takes(&self, method: &str, path: &str) -> Option<BTreeMap<String, String>> {
        let given: Vec<&str> = path.split('/').skip(1).collect();
        if self.key == DEFAULT
            || (self.method != method && self.method != ANY)
            || given.len() != self.segments.len()
        {
            return None;
        }
        let mut parameters = BTreeMap::new();
        for (segment, given) in self.segments.iter().zip(given) {
            match segment {
                Segment::Text(text) if text == given => {}
                Segment::Parameter(name) if !given.is_empty() => {
                    parameters.insert(name.clone(), given.to_owned());
                }
                _ => return None,
            }
        }
        Some(parameters)
    }
}

impl Routes {
    /// The routes of an API.
    pub(super) fn new(routes: Vec<Route>) -> Self {
        Self { routes }
    }

    /// Whether any route leads to this program.
    #[cfg(test)]
    pub(super) fn lead_to(&self, program: &str) -> bool {
        self.routes.iter().any(|route| route.program == program)
    }

    /// The route of a request: the path that names most, then the method that is named, then `$default`.
    pub(super) fn find(&self, method: &str, path: &str) -> Option<Match<'_>> {
        let fitting = self
            .routes
            .iter()
            .filter_map(|route| route.takes(method, path).map(|parameters| Match { route, parameters }));
        let shape = |route: &Route| -> Vec<bool> {
            route.segments.iter().map(|segment| matches!(segment, Segment::Parameter(_))).collect()
        };
        let best = fitting.min_by_key(|found| (shape(found.route), found.route.method == ANY));
        best.or_else(|| {
            let route = self.routes.iter().find(|route| route.key == DEFAULT)?;
            Some(Match { route, parameters: BTreeMap::new() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Route, Routes};

    fn chosen(keys: &[&str], method: &str, path: &str) -> Option<String> {
        let routes = Routes::new(keys.iter().map(|key| Route::new(key, "any")).collect());
        routes.find(method, path).map(|found| found.route.key.clone())
    }

    #[test]
    fn words_win_over_parameters_and_methods_over_any() {
        let keys = ["ANY /a/{x}", "GET /a/{x}", "ANY /a/b", "GET /{y}/b", "$default"];
        assert_eq!(chosen(&keys, "GET", "/a/b").as_deref(), Some("ANY /a/b"));
        assert_eq!(chosen(&keys, "GET", "/a/c").as_deref(), Some("GET /a/{x}"));
        assert_eq!(chosen(&keys, "PUT", "/a/c").as_deref(), Some("ANY /a/{x}"));
        assert_eq!(chosen(&keys, "GET", "/c/b").as_deref(), Some("GET /{y}/b"));
    }

    #[test]
    fn what_no_route_takes_is_the_default_route_s_or_nobody_s() {
        for path in ["/", "/a", "/a/", "/a/b/c", "//b"] {
            assert_eq!(
                chosen(&["GET /a/{x}", "$default"], "GET", path).as_deref(),
                Some("$default"),
                "{path}"
            );
            assert_eq!(chosen(&["GET /a/{x}"], "GET", path), None, "{path}");
        }
    }

    #[test]
    fn parameters_have_what_stands_in_their_place() {
        let routes = Routes::new(vec![Route::new("GET /a/{x}/{y}", "any")]);
        let found = routes.find("GET", "/a/b/c").unwrap();
        assert_eq!(
            found.parameters,
            [("x", "b"), ("y", "c")].map(|(a, b)| (a.to_owned(), b.to_owned())).into()
        );
    }
}
