//! Requests as events of an HTTP API, in the payload format 2.0, and the answers of functions as responses.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::routes::Match;

/// The event of a request.
pub(super) fn event(
    parts: &Parts,
    path: &str,
    body: &Bytes,
    found: &Match<'_>,
    source: IpAddr,
    id: &str,
) -> Value {
    let headers = &parts.headers;
    let agent = headers.get("user-agent").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let host = headers.get("host").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut event = json!({
        "version": "2.0",
        "routeKey": found.route.key,
        // API Gateway takes the escapes out of the path, and leaves them in the query.
        "rawPath": path,
        "rawQueryString": parts.uri.query().unwrap_or_default(),
        "headers": joined(headers, source),
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": host,
            "domainPrefix": host.split('.').next(),
            "http": {
                "method": parts.method.as_str(),
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": source,
                "userAgent": agent,
            },
            "requestId": id,
            "routeKey": found.route.key,
            "stage": "$default",
        },
        "isBase64Encoded": false,
    });
    let cookies: Vec<&str> = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).collect();
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies.join("; ").split("; ").collect::<Vec<_>>());
    }
    if !found.parameters.is_empty() {
        event["pathParameters"] = json!(found.parameters);
    }
    if !body.is_empty() {
        let text = is_text(headers).then(|| std::str::from_utf8(body).ok()).flatten();
        event["isBase64Encoded"] = json!(text.is_none());
        event["body"] = json!(text.map_or_else(|| STANDARD.encode(body), str::to_owned));
    }
    event
}

/// Names in lower case, values of one name joined by commas, cookies apart, and what the gateway adds.
fn joined(headers: &HeaderMap, source: IpAddr) -> Map<String, Value> {
    let mut all = Map::new();
    for name in headers.keys().filter(|name| **name != COOKIE) {
        let values: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        all.insert(name.as_str().to_owned(), json!(values.join(",")));
    }
    all.insert("x-forwarded-for".to_owned(), json!(source));
    all.insert("x-forwarded-proto".to_owned(), json!("http"));
    all
}

fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/")
        || matches!(kind.as_str(), "application/json" | "application/javascript" | "application/xml")
}

/// What a client gets for a function's answer; nothing where the gateway would not understand it.
pub(super) fn response(answer: &[u8], id: &str) -> Option<Response<Full<Bytes>>> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let status = u16::try_from(answer["statusCode"].as_u64()?).ok()?;
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    for (name, value) in answer["headers"].as_object().into_iter().flatten() {
        let name = HeaderName::try_from(name).ok()?;
        response.headers_mut().insert(name, HeaderValue::try_from(super::template::scalar(value)?).ok()?);
    }
    for cookie in answer["cookies"].as_array().into_iter().flatten() {
        response.headers_mut().append(SET_COOKIE, HeaderValue::try_from(cookie.as_str()?).ok()?);
    }
    let body = answer["body"].as_str().unwrap_or_default();
    let encoded = answer["isBase64Encoded"] == true;
    let body = if encoded { STANDARD.decode(body).ok()? } else { body.as_bytes().to_vec() };
    *response.body_mut() = Full::from(body);
    response.headers_mut().insert("apigw-requestid", HeaderValue::try_from(id).ok()?);
    Some(response)
}

/// An answer of the gateway's own.
pub(super) fn own(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(json!({"message": message}).to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A path without its escapes.
pub(super) fn unescaped(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, more @ ..] = rest {
        let digits = more.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%');
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &more[2..] } else { more };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{event, response, unescaped};
    use crate::stack::routes::{Route, Routes};
    use bytes::Bytes;
    use hyper::Request;
    use serde_json::{Value, json};

    fn of(request: hyper::http::request::Builder, body: &str) -> Value {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let routes = Routes::new(vec![Route::new("PUT /a/{x}", "any")]);
        let path = unescaped(parts.uri.path());
        let found = routes.find("PUT", &path).unwrap();
        event(&parts, &path, &Bytes::from(body.to_owned()), &found, [127, 0, 0, 1].into(), "an-id")
    }

    #[test]
    fn a_request_is_told_as_the_gateway_tells_it() {
        let request = Request::put("http://h/a/b%20c?q=d%20e").header("X-One", "1").header("x-one", "2");
        let seen = of(
            request.header("cookie", "a=b; c=d").header("content-type", "text/plain; charset=utf-8"),
            "hi",
        );
        assert_eq!(seen["rawPath"], "/a/b c");
        assert_eq!(seen["rawQueryString"], "q=d%20e");
        assert_eq!(seen["headers"]["x-one"], "1,2");
        assert_eq!(seen["cookies"], json!(["a=b", "c=d"]));
        assert_eq!(seen["headers"].get("cookie"), None);
        assert_eq!(seen["pathParameters"], json!({"x": "b c"}));
        assert_eq!((&seen["body"], &seen["isBase64Encoded"]), (&json!("hi"), &json!(false)));
    }

    #[test]
    fn bodies_that_are_no_text_are_base64_and_empty_ones_are_none() {
        let octets = of(Request::put("/a/b").header("content-type", "application/octet-stream"), "hi");
        assert_eq!((&octets["body"], &octets["isBase64Encoded"]), (&json!("aGk="), &json!(true)));
        assert_eq!(of(Request::put("/a/b"), "").get("body"), None);
    }

    #[test]
    fn an_answer_without_a_status_is_not_understood() {
        assert!(response(br#"{"errorType":"Oops"}"#, "an-id").is_none());
        let made = json!({"statusCode": 201, "headers": {"a": "b"}, "cookies": ["c=d", "e=f"], "body": "hi"});
        let made = response(made.to_string().as_bytes(), "an-id").unwrap();
        assert_eq!((made.status().as_u16(), made.headers().get_all("set-cookie").iter().count()), (201, 2));
    }
}
