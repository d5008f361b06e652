//! Every kind of refusal, in one envelope.

use e2e::bytes::sha256;
use e2e::story::text;
use e2e::{Api, Server};
use reqwest::Method;
use serde_json::json;

const UNKNOWN: [&str; 4] = [
    "/v1/artifacts/art_01jd9xq2v6m4t8r0c5b7n3k1fz",
    "/v1/artifacts/uploads/upl_01jd9xq2v6m4t8r0c5b7n3k1fz",
    "/v1/releases/rel_01jd9xq2v6m4t8r0c5b7n3k1fz",
    "/v1/products/no-such-product",
];

#[tokio::test]
async fn what_is_no_json_or_of_a_wrong_type_is_400() {
    let server = Server::shared();
    let api = server.admin();
    let digest = sha256(b"x");
    let bodies = [
        String::new(),
        "{".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "\"text\"".to_owned(),
        format!("{{\"size_bytes\":\"10\",\"sha256\":\"{digest}\"}}"),
        format!("{{\"size_bytes\":null,\"sha256\":\"{digest}\"}}"),
        format!("{{\"sha256\":\"{digest}\"}}"),
        format!("{{\"size_bytes\":10,\"sha256\":\"{digest}\",\"colour\":\"red\"}}"),
        format!("{{\"size_bytes\":10,\"size_bytes\":10,\"sha256\":\"{digest}\"}}"),
        format!("{{\"size_bytes\":10,\"sha256\":\"{digest}\",\"labels\":{{\"a\":\"1\",\"a\":\"2\"}}}}"),
        format!("{{\"size_bytes\":10,\"sha256\":\"{digest}\"}} trailing"),
    ];
    for body in bodies {
        let answer = api.send_text(Method::POST, "/v1/artifacts/uploads", &body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        answer.refused(400, "BAD_REQUEST");
    }
}

#[tokio::test]
async fn unknown_and_duplicate_members_are_400_on_every_kind_of_route() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("members").await;
    let release = api.publish(&product, "1.0.0", json!({})).await;
    let release = format!("/v1/releases/{}", text(&release, "release_id"));
    let artifact = format!("/v1/artifacts/{}", api.artifact().await);
    for (method, path, body) in [
        (Method::POST, "/v1/products".to_owned(), r#"{"product_id":"x1","nme":"X"}"#),
        (Method::POST, "/v1/products".to_owned(), r#"{"product_id":"x1","product_id":"x2"}"#),
        (Method::POST, "/v1/products".to_owned(), r#"{"product_id":null}"#),
        (Method::PUT, format!("/v1/products/{product}/policy"), r#"{"paused":true,"paused":false}"#),
        (Method::PUT, format!("/v1/products/{product}/policy"), r#"{"pause":true}"#),
        (Method::PATCH, format!("{release}/rollout"), r#"{"percentage":1,"percent":1}"#),
        (Method::PATCH, format!("{release}/rollout"), r#"{"paused":"yes"}"#),
        (Method::POST, format!("{release}/revoke"), r#"{"reason":"x","why":"y"}"#),
        (Method::POST, format!("{release}/revoke"), "{}"),
        (Method::POST, format!("{release}/promote"), r#"{"canal":"beta"}"#),
        (Method::POST, format!("{artifact}/quarantine"), r#"{"reason":7}"#),
        (Method::POST, format!("{artifact}/quarantine"), r#"{"reason":null}"#),
        (Method::POST, "/v1/tokens".to_owned(), r#"{"name":"x","scopes":"artifacts:read"}"#),
        (Method::POST, "/v1/decision".to_owned(), r#"{"products":{}}"#),
        (Method::POST, "/v1/decision".to_owned(), r#"{"products":[],"products":[]}"#),
    ] {
        let answer = api.send_text(method, &path, body).await;
        assert_eq!(answer.status, 400, "{path} {body}: {}", answer.text());
        answer.refused(400, "BAD_REQUEST");
    }
}

#[tokio::test]
async fn without_a_token_or_with_a_bad_one_every_closed_route_is_401() {
    let server = Server::shared();
    let anonymous = server.anonymous();
    let admin = server.admin_token();
    let mut typo = admin.clone();
    let last = typo.pop().expect("a token");
    typo.push(if last == 'a' { 'b' } else { 'a' });
    let clients: [Api; 4] = [
        anonymous.clone(),
        anonymous.with_token("nonsense"),
        anonymous.with_token(&typo),
        anonymous.with_token(&format!("{admin}x")),
    ];
    for client in clients {
        for path in
            ["/v1/artifacts", "/v1/products", "/v1/tokens", "/v1/policy", "/v1/audit/events", UNKNOWN[0]]
        {
            client.get(path).await.refused(401, "UNAUTHORIZED");
        }
        client.post("/v1/releases", &json!({})).await.refused(401, "UNAUTHORIZED");
        client.delete(UNKNOWN[0]).await.refused(401, "UNAUTHORIZED");
    }
    let api = server.anonymous();
    for odd in ["", "Bearer", "Basic abc", "bearer"] {
        let request = api.request(Method::GET, "/v1/artifacts").header("authorization", odd);
        api.send(request).await.refused(401, "UNAUTHORIZED");
    }
}

#[tokio::test]
async fn a_token_without_the_scope_is_403() {
    let server = Server::shared();
    let reader = server.admin().token(&["artifacts:read"], json!({})).await;
    reader.get("/v1/artifacts").await.ok(200);
    reader.get("/v1/products").await.ok(200);
    for path in ["/v1/tokens", "/v1/policy", "/v1/audit/events", "/v1/tenants"] {
        reader.get(path).await.refused(403, "FORBIDDEN");
    }
    reader.post("/v1/products", &json!({"product_id": "x"})).await.refused(403, "FORBIDDEN");
    reader.delete(UNKNOWN[0]).await.refused(403, "FORBIDDEN");
}

#[tokio::test]
async fn what_is_not_there_is_404_with_one_and_the_same_body() {
    let server = Server::shared();
    let api = server.admin();
    let mut bodies = Vec::new();
    for path in UNKNOWN.into_iter().chain(["/v1/nowhere", "/v2/artifacts", "/v1/artifacts/x/y/z"]) {
        let answer = api.get(path).await;
        let mut body = answer.refused(404, "NOT_FOUND");
        body["request_id"] = json!("");
        bodies.push(body);
    }
    let first = bodies.first().cloned();
    assert!(bodies.into_iter().all(|body| Some(&body) == first.as_ref()), "bodies differ");
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_405_with_allow() {
    let server = Server::shared();
    let api = server.admin();
    for (method, path) in [
        (Method::DELETE, "/v1/artifacts"),
        (Method::PUT, "/v1/products"),
        (Method::GET, "/v1/decision"),
        (Method::POST, "/v1/keyset"),
        (Method::PATCH, "/v1/policy"),
        (Method::DELETE, "/healthz"),
    ] {
        let answer = api.send(api.request(method.clone(), path)).await;
        assert_eq!(answer.status, 405, "{method} {path}: {}", answer.text());
        answer.refused(405, "METHOD_NOT_ALLOWED");
        assert!(!answer.header("allow").is_empty(), "{method} {path}");
    }
}

#[tokio::test]
async fn a_json_body_above_one_mebibyte_is_413_and_one_below_is_read() {
    let server = Server::shared();
    let api = server.admin();
    let body = |size: usize| format!("{{\"product_id\":\"{}\"}}", "a".repeat(size));
    for size in [1 << 20, 2 << 20] {
        let answer = api.send_text(Method::POST, "/v1/products", &body(size)).await;
        answer.refused(413, "PAYLOAD_TOO_LARGE");
    }
    api.send_text(Method::POST, "/v1/products", &body((1 << 20) - 100)).await.refused(422, "");
    let blocks: Vec<Result<Vec<u8>, std::io::Error>> = (0..24).map(|_| Ok(vec![b' '; 65_536])).collect();
    let chunked = reqwest::Body::wrap_stream(futures_util::stream::iter(blocks));
    let request =
        api.request(Method::POST, "/v1/products").header("content-type", "application/json").body(chunked);
    api.send(request).await.refused(413, "PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn a_body_that_is_not_sent_as_json_is_415() {
    let server = Server::shared();
    let api = server.admin();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream"] {
        let request = api
            .request(Method::POST, "/v1/products")
            .header("content-type", kind)
            .body(r#"{"product_id":"kind"}"#);
        api.send(request).await.refused(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    let request = api
        .request(Method::POST, "/v1/decision")
        .header("content-type", "application/json; charset=utf-8")
        .body(r#"{"products":[]}"#);
    api.send(request).await.refused(422, "");
}

#[tokio::test]
async fn what_is_well_formed_but_not_acceptable_is_422_and_names_the_member_and_the_rule() {
    let server = Server::shared();
    let api = server.admin();
    for (path, body, member) in [
        ("/v1/products", json!({"product_id": "Upper Case"}), "product_id"),
        ("/v1/products", json!({"product_id": "x".repeat(65)}), "product_id"),
        ("/v1/artifacts/uploads", json!({"size_bytes": 10, "sha256": "12"}), "sha256"),
        ("/v1/artifacts/uploads", json!({"size_bytes": 0, "sha256": sha256(b"x")}), "size_bytes"),
        ("/v1/tokens", json!({"name": "x", "scopes": ["everything"]}), "scopes"),
        (
            "/v1/tokens",
            json!({"name": "x", "scopes": ["artifacts:read"], "expires_at": "2020-01-01T00:00:00Z"}),
            "expires_at",
        ),
    ] {
        let answer = api.post(path, &body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text());
        let refused = answer.refused(422, "");
        assert!(refused.to_string().contains(member), "{refused} does not name {member}");
        assert!(text(&refused["details"], "rule").len() > 2, "{refused}");
    }
    for query in
        ["limit=0", "limit=101", "limit=ten", "cursor=nonsense", "state=LOST", "sha256=12", "label=x"]
    {
        let answer = api.get(&format!("/v1/artifacts?{query}")).await;
        answer.refused(if answer.status == 400 { 400 } else { 422 }, "");
    }
}

#[tokio::test]
async fn a_request_id_is_returned_as_sent_or_made_and_is_in_the_log() {
    let server = Server::shared();
    let api = server.admin();
    let sent = "build-7/step!3";
    let answer = api.send(api.request(Method::GET, "/v1/products").header("x-request-id", sent)).await;
    assert_eq!(answer.header("x-request-id"), sent);
    let made = api.get("/v1/products").await.header("x-request-id").to_owned();
    assert!(!made.is_empty() && made.len() <= 64, "{made}");
    e2e::story::until("both ids in the log", 5, async || {
        let log = server.log();
        log.contains(sent) && log.contains(&made)
    })
    .await;
    for odd in ["x".repeat(65), "two words".to_owned()] {
        let answer = api.send(api.request(Method::GET, "/v1/nowhere").header("x-request-id", &odd)).await;
        answer.refused(404, "NOT_FOUND");
        assert_ne!(answer.header("x-request-id"), odd);
    }
}
