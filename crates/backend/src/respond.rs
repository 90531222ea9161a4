//! `respond`: a fixed answer.

use bytes::Bytes;
use http::{Method, StatusCode};
use waypost_http1::{Fields, InvalidField, Name, ResponseHead};

use crate::backend::{Backend, Call, Explanation, Report, Sketch};
use crate::body::Body;
use crate::exchange::Exchange;
use crate::response::Response;

/// Answers every request with the same status, fields and body.
#[derive(Debug)]
pub struct Respond {
    name: String,
    status: StatusCode,
    fields: Fields,
    body: Bytes,
}

impl Respond {
    /// A fixed answer. Without a `Content-Type` among the fields, a body is plain text.
    pub fn new(
        name: impl Into<String>,
        status: StatusCode,
        headers: &[(String, String)],
        body: impl Into<Bytes>,
    ) -> Result<Respond, InvalidField> {
        let (mut fields, body) = (Fields::new(), body.into());
        for (header, value) in headers {
            match Name::of(header.as_bytes()) {
                // The body has the say on its length, and the connection on itself.
                Name::ContentLength => {}
                known if known.is_hop_by_hop() => {}
                _ => fields.push(header, value.as_bytes())?,
            }
        }
        if !body.is_empty() && !fields.has(Name::ContentType) {
            fields.push_known(Name::ContentType, b"text/plain; charset=utf-8")?;
        }
        Ok(Respond { name: name.into(), status, fields, body })
    }

    fn says(&self) -> String {
        format!("answers {} with {} bytes", self.status.as_u16(), self.body.len())
    }
}

impl Backend for Respond {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a> {
        let mut head = ResponseHead::new(self.status);
        head.fields.clone_from(&self.fields);
        let mut response = Response { head, body: Body::empty(), tunnel: None };
        if exchange.request.method == Method::HEAD {
            response.add(Name::ContentLength, self.body.len().to_string().as_bytes());
        } else {
            response.body = Body::bytes(self.body.clone());
        }
        Box::pin(std::future::ready(Ok(response)))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn report(&self) -> Report {
        Report::of(self, "respond", self.says())
    }

    fn explain(&self, _: &Sketch<'_>) -> Explanation {
        Explanation {
            backend: self.name.clone(),
            kind: "respond",
            says: self.says(),
            detail: None,
            next: Vec::new(),
        }
    }
}
