//! `echo`: the request as it arrived behind the router's rules for forwarding, as JSON: what an instance in this
//! place would be sent.

use std::pin::Pin;
use std::task::Poll;

use http::Request;
use http_body::Body as _;
use serde_json::{Value, json};
use waypost_backend::{Downstream, RequestBody};

use super::{Answer, json};

/// So much of the body is shown; all of it is counted.
const SHOWN: usize = 64 * 1024;

pub(super) async fn answer(request: Request<RequestBody>) -> Answer {
    let (head, body) = request.into_parts();
    let from = head.extensions.get::<Downstream>();
    let fields: Vec<Value> = head
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    json(&json!({
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "version": format!("{:?}", head.version),
        "client": from.map(|from| from.client.to_string()),
        "local": from.map(|from| from.local.to_string()),
        "scheme": from.map(|from| from.scheme.as_str()),
        "fields": fields,
        "body": read(body).await,
    }))
}

/// The body's beginning and its length; null where there is none.
async fn read(mut body: RequestBody) -> Value {
    let (mut shown, mut length, mut trailers) = (Vec::new(), 0u64, Vec::new());
    if body.is_end_stream() {
        return Value::Null;
    }
    let error = std::future::poll_fn(|cx| {
        loop {
            let frame = match Pin::new(&mut body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(error.to_string())),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            };
            match frame.into_data() {
                Ok(data) => {
                    length += data.len() as u64;
                    shown.extend_from_slice(&data[..data.len().min(SHOWN - shown.len())]);
                }
                Err(frame) => {
                    if let Ok(fields) = frame.into_trailers() {
                        trailers.extend(fields.iter().map(|(name, value)| {
                            json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])
                        }));
                    }
                }
            }
        }
    })
    .await;
    json!({
        "length": length,
        "text": String::from_utf8_lossy(&shown),
        "cut": length > shown.len() as u64,
        "trailers": trailers,
        "error": error,
    })
}
