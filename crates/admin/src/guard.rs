//! Who may ask, before anything is asked. On loopback the danger is a web page in a browser of this machine:
//! it may reach the port through a name of its own that resolves here (DNS rebinding), or send a form to it
//! (CSRF). Elsewhere it is anyone, and a token is needed.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header, uri::Authority};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;
use crate::state::Admin;

/// Lets a request through, or answers what is wrong with it.
pub(crate) async fn guard(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    match check(&admin, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(admin: &Admin, request: &Request) -> Result<(), Problem> {
    let (headers, method) = (request.headers(), request.method());
    check_origin(headers, admin.token().is_none())?;
    if matches!(request.uri().path(), "/healthz" | "/readyz") {
        return Ok(());
    }
    if let Some(token) = admin.token() {
        check_token(headers, token)?;
    }
    // A form can be posted from any page; a DELETE, and a POST of these types, a browser asks about first.
    if *method == Method::POST && !has_api_type(headers) {
        let detail = "a change must say Content-Type: application/json or application/x-ndjson";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    Ok(())
}

/// Refuses what was addressed to another name than this machine's own, or sent by a page from elsewhere.
fn check_origin(headers: &HeaderMap, by_name: bool) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok().and_then(|text| text.parse::<Authority>().ok()),
        _ => None,
    };
    let host = host.ok_or_else(|| Problem::bad_request("the request must have one valid Host"))?;
    if by_name && !is_own_name(host.host()) {
        let detail = "without a token this API answers to IP addresses and localhost, not to other names";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().ok().and_then(|text| text.parse::<Uri>().ok());
    if origin.as_ref().and_then(Uri::authority) != Some(&host) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "a page from elsewhere may not use this API"));
    }
    Ok(())
}

fn is_own_name(host: &str) -> bool {
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    literal.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost")
}

fn has_api_type(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    ["application/json", "application/x-ndjson"].iter().any(|known| essence.eq_ignore_ascii_case(known))
}

fn check_token(headers: &HeaderMap, token: &str) -> Result<(), Problem> {
    let given = headers.get(header::AUTHORIZATION).and_then(|field| {
        let (scheme, given) = field.as_bytes().split_at_checked("Bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then_some(given)
    });
    match given {
        Some(given) if equal(given, token.as_bytes()) => Ok(()),
        _ => {
            let detail = "this API needs its token, as Authorization: Bearer TOKEN";
            Err(Problem::new(StatusCode::UNAUTHORIZED, detail))
        }
    }
}

/// Compares in a time that does not depend on where the first difference is.
fn equal(given: &[u8], token: &[u8]) -> bool {
    let difference = given.iter().zip(token).fold(0, |all, (one, other)| all | (one ^ other));
    std::hint::black_box(difference) == 0 && given.len() == token.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_own_names() {
        for host in ["127.0.0.1", "[::1]", "localhost", "LOCALHOST", "192.0.2.1"] {
            assert!(is_own_name(host), "{host} was refused");
        }
        for host in ["", "example.com", "localhost.example.com", "127.0.0.1.example.com", "[::1", "1"] {
            assert!(!is_own_name(host), "{host} was taken");
        }
    }

    #[test]
    fn a_token_is_compared_whole() {
        assert!(equal(b"secret", b"secret"));
        assert!(!equal(b"secre", b"secret"));
        assert!(!equal(b"secret!", b"secret"));
        assert!(!equal(b"", b"secret"));
    }
}
