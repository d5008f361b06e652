//! Every operation of the API has its route, to the function whose router has it, and no route leads elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    events,
    served::{answer, operations, router},
    template::Template,
    world::World,
};

/// The routes that are operations: method and path.
fn of_operations(routes: &BTreeMap<String, String>) -> BTreeSet<(String, String)> {
    let keys = routes.keys().filter_map(|key| key.split_once(' '));
    keys.filter(|(method, _)| *method != "ANY").map(|(method, path)| (method.into(), path.into())).collect()
}

#[test]
fn the_routes_are_the_operations_of_the_api() {
    let expected = operations().into_iter().map(|operation| (operation.method, operation.route)).collect();
    assert_eq!(of_operations(&Template::read().routes()), expected);
}

#[test]
fn what_is_no_operation_is_answered_by_who_has_the_path() {
    let routes = Template::read().routes();
    assert_eq!(routes["$default"], "manage");
    let mut owners: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (key, function) in routes.iter().filter(|(key, _)| !key.starts_with("ANY ")) {
        let Some((_, path)) = key.split_once(' ') else { continue };
        owners.entry(path).or_default().insert(function);
    }
    for (path, functions) in owners {
        let other = routes.get(&format!("ANY {path}")).map_or("manage", String::as_str);
        assert!(functions.contains(other), "{other} answers 405 for {path}, which {functions:?} have");
    }
    let paths: BTreeSet<String> = operations().into_iter().map(|operation| operation.route).collect();
    for path in routes.keys().filter_map(|key| key.strip_prefix("ANY ")) {
        assert!(paths.contains(path), "ANY {path} is no path of the API");
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_405_wherever_it_is_sent() {
    let routes = Template::read().routes();
    for path in operations().into_iter().map(|operation| operation.route).collect::<BTreeSet<_>>() {
        let world = World::of_events().await;
        let function = routes.get(&format!("ANY {path}")).map_or("manage", String::as_str);
        let mut document = events::read(events::UNKNOWN_PATH);
        document["rawPath"] = path.as_str().into();
        document["requestContext"]["http"]["path"] = path.as_str().into();
        document["requestContext"]["http"]["method"] = "TRACE".into();
        let answer = answer(router(function, &world).await, document).await;
        assert_eq!(answer["statusCode"], 405, "{function}, {path}: {answer}");
        assert!(answer["headers"]["allow"].is_string(), "{function}, {path}: {answer}");
    }
}
