//! Heads between our form and that of `http`.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, StatusCode, Uri, response};
use waypost_http1::{Fields, Name, ResponseHead, Version};

use super::answer::Answer;
use super::request_body::RequestBody;
use crate::body::Body;
use crate::exchange::Exchange;
use crate::response::Response;

/// The request as a handler sees it. The error says what can't be told to it.
pub(super) fn request(exchange: &Exchange, body: RequestBody) -> Result<Request<RequestBody>, String> {
    let head = &exchange.request;
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.version_mut() = match head.version {
        Version::Http10 => http::Version::HTTP_10,
        Version::Http11 => http::Version::HTTP_11,
    };
    *request.uri_mut() = uri(head.target())?;
    let headers = request.headers_mut();
    headers.reserve(head.fields.len());
    append(headers, &head.fields)?;
    request.extensions_mut().insert(exchange.downstream);
    Ok(request)
}

/// The target in origin form. Browsers and scripts send a few characters plain that a URI must have encoded
/// (RFC 3986 §3.3): where `http` refuses them, they are encoded, which names the same resource.
fn uri(target: &[u8]) -> Result<Uri, String> {
    let plain = PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(target));
    let parsed = plain.or_else(|_| {
        let mut encoded = Vec::with_capacity(target.len() + 16);
        for &byte in target {
            match byte {
                b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                    const HEX: &[u8; 16] = b"0123456789ABCDEF";
                    encoded.push(b'%');
                    encoded.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
                }
                _ => encoded.push(byte),
            }
        }
        PathAndQuery::from_maybe_shared(Bytes::from(encoded))
    });
    parsed.map(Uri::from).map_err(|error| format!("can't be told the request's target: {error}"))
}

fn append(headers: &mut HeaderMap, fields: &Fields) -> Result<(), String> {
    for field in fields.iter() {
        let spelled = String::from_utf8_lossy(field.spelled);
        let wrong = |error: &dyn std::fmt::Display| format!("can't be told the field {spelled}: {error}");
        let name = HeaderName::from_bytes(field.spelled).map_err(|error| wrong(&error))?;
        let value = HeaderValue::from_bytes(field.value).map_err(|error| wrong(&error))?;
        headers.try_append(name, value).map_err(|error| wrong(&error))?;
    }
    Ok(())
}

/// A request's trailers as a handler sees them; those that it can't be told are left out, as trailers may be
/// (RFC 9110 §6.5.1).
pub(super) fn trailers(fields: &Fields) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for field in fields.iter() {
        let name = HeaderName::from_bytes(field.spelled);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(field.value)) {
            // A map that is full takes no more.
            let _ = headers.try_append(name, value);
        }
    }
    headers
}

/// Headers of a handler as fields of ours.
pub(super) fn fields(headers: &HeaderMap) -> Result<Fields, String> {
    let mut fields = Fields::new();
    for (name, value) in headers {
        fields
            .push(name.as_str(), value.as_bytes())
            .map_err(|error| format!("answered with the field {name}: {error}"))?;
    }
    Ok(fields)
}

/// A handler's answer to a request of that method. `answer` makes the body's source, given its length if that
/// is known. The error says what is wrong with the answer.
pub(super) fn response<R>(
    method: &Method,
    parts: response::Parts,
    answer: impl FnOnce(Option<u64>) -> Answer<R>,
) -> Result<Response, String>
where
    R: http_body::Body + 'static,
    R::Error: Into<super::AnyError>,
{
    let status = parts.status;
    if status.is_informational() {
        return Err(format!("answered {status}, which is no final answer"));
    }
    let stated = stated_length(&parts.headers)?;
    let mut head = ResponseHead::new(status);
    head.fields = fields(&parts.headers)?;
    head.fields.remove_hop_by_hop();
    let answer = answer(stated);
    let known = answer.length();
    let mut response = Response { head, body: Body::empty(), tunnel: None };
    if status == StatusCode::NO_CONTENT {
        // RFC 9110 §8.6: it may not be there.
        response.head.fields.remove(Name::ContentLength);
        return Ok(response);
    }
    if *method == Method::HEAD || status == StatusCode::NOT_MODIFIED {
        // A handler that answers HEAD as it answers GET has made the body that is not sent.
        if *method == Method::HEAD
            && stated.is_none()
            && let Some(length) = known.filter(|length| *length > 0)
        {
            response.add(Name::ContentLength, length.to_string().as_bytes());
        }
        return Ok(response);
    }
    if let (Some(stated), Some(known)) = (stated, answer.hint())
        && stated != known
    {
        return Err(format!("answered with a Content-Length of {stated} and a body of {known} bytes"));
    }
    if !answer.is_empty() {
        response.body = Body::stream(Box::new(answer), known);
    }
    Ok(response)
}

/// What the headers say of the body's length.
fn stated_length(headers: &HeaderMap) -> Result<Option<u64>, String> {
    let mut all = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = all.next() else { return Ok(None) };
    let digits = value.to_str().unwrap_or_default();
    match digits.parse() {
        Ok(length) if all.next().is_none() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(Some(length))
        }
        _ => Err(format!("answered with a Content-Length that is no length: {value:?}")),
    }
}
