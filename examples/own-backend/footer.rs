//! A backend of one's own: it passes requests on, and puts a line behind every page of plain text that comes
//! back.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::{Method, StatusCode};
use waypost_backend::{
    Backend, Body, BodyError, Call, Exchange, Explanation, Fill, Report, Response, Sketch, Source,
};
use waypost_http1::{Fields, Name};

/// Puts a line behind pages of plain text.
pub(crate) struct Footer {
    name: String,
    below: [Rc<dyn Backend>; 1],
    line: Rc<str>,
}

impl Footer {
    /// Puts `line` behind the pages of `backend`.
    pub(crate) fn new(name: impl Into<String>, backend: Rc<dyn Backend>, line: &str) -> Footer {
        Footer { name: name.into(), below: [backend], line: line.into() }
    }
}

impl Backend for Footer {
    fn call<'a>(&'a self, exchange: &'a mut Exchange) -> Call<'a> {
        Box::pin(async move {
            let to_head = exchange.request.method == Method::HEAD;
            let mut response = self.below[0].call(exchange).await?;
            if is_page(&response) {
                if to_head {
                    // What the length of the page would be isn't known without the page.
                    response.head.fields.remove(Name::ContentLength);
                } else {
                    let body = std::mem::take(&mut response.body);
                    let length = body.length().map(|length| length + self.line.len() as u64);
                    let footed = Footed { body, line: Rc::clone(&self.line), written: None };
                    response.set_body(Body::stream(Box::new(footed), length));
                }
                response.head.fields.remove_spelled(b"etag");
            }
            Ok(response)
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn children(&self) -> &[Rc<dyn Backend>] {
        &self.below
    }

    fn is_up(&self) -> bool {
        self.below[0].is_up()
    }

    fn report(&self) -> Report {
        Report {
            name: self.name.clone(),
            kind: "footer",
            up: self.is_up(),
            detail: format!("puts {:?} behind pages", self.line),
            health: None,
            children: vec![self.below[0].report()],
        }
    }

    fn explain(&self, request: &Sketch<'_>) -> Explanation {
        Explanation {
            backend: self.name.clone(),
            kind: "footer",
            says: "passes the request on, and puts a line behind the page that comes back".into(),
            detail: None,
            next: vec![self.below[0].explain(request)],
        }
    }
}

fn is_page(response: &Response) -> bool {
    let content_type = response.head.fields.get(Name::ContentType).unwrap_or_default();
    response.head.status == StatusCode::OK && content_type.starts_with(b"text/plain")
}

/// A body with a line behind it.
struct Footed {
    body: Body,
    line: Rc<str>,
    /// So many bytes of the line have been given; none before the body has ended.
    written: Option<usize>,
}

impl Source for Footed {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Poll<Result<Fill, BodyError>> {
        let written = match self.written {
            Some(written) => written,
            None => match ready!(self.body.poll_fill(cx, out, room))? {
                Fill::Data => return Poll::Ready(Ok(Fill::Data)),
                Fill::End => 0,
            },
        };
        let rest = &self.line.as_bytes()[written..];
        let count = rest.len().min(room);
        out.extend_from_slice(&rest[..count]);
        self.written = Some(written + count);
        Poll::Ready(Ok(if count == 0 { Fill::End } else { Fill::Data }))
    }

    fn trailers(&mut self) -> Option<Fields> {
        self.body.take_trailers()
    }
}
