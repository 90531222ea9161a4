//! What a handler inside the process costs, beside a fixed answer and a bare axum router, and what a `log` adds
//! that nobody listens to: nanoseconds a call.
//!
//! `cargo run --release -p waypost-backend --example handler_cost`

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use axum::body::Body as AxumBody;
use http::{Method, Request, StatusCode};
use tower::Service;
use waypost_backend::{
    Backend, Downstream, Exchange, InProcess, InProcessOptions, Log, LogOptions, RequestBody, Respond, Timers,
};
use waypost_http1::{Name, RequestHead, Scheme};

const CALLS: u32 = 500_000;

/// Nanoseconds a call of something that is ready at once, the best of a few runs.
fn cost<T>(mut call: impl FnMut(&mut Context<'_>) -> Poll<T>) -> f64 {
    let mut cx = Context::from_waker(Waker::noop());
    let mut run = || {
        let began = Instant::now();
        for _ in 0..CALLS {
            assert!(std::hint::black_box(call(&mut cx)).is_ready(), "it waits for something");
        }
        began.elapsed().as_nanos() as f64 / f64::from(CALLS)
    };
    (0..7).map(|_| run()).fold(f64::INFINITY, f64::min)
}

fn backend_cost(backend: &dyn Backend, exchange: &mut Exchange) -> f64 {
    cost(|cx| pin!(backend.call(exchange)).poll(cx))
}

#[expect(clippy::print_stdout, reason = "an example that measures")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let nobody = ([127, 0, 0, 1], 0).into();
    let mut exchange = Exchange::new(Downstream { client: nobody, local: nobody, scheme: Scheme::Http });
    exchange.request = RequestHead::new(Method::GET, "/images/of/some/length/picture.png?size=large")?;
    for (name, value) in
        [(Name::Host, "www.example.com"), (Name::UserAgent, "curl/8"), (Name::XRequestId, "1")]
    {
        exchange.request.fields.push_known(name, value.as_bytes())?;
    }
    let fixed: Rc<dyn Backend> = Rc::new(Respond::new("fixed", StatusCode::OK, &[], "hello")?);
    let alone = backend_cost(&*fixed, &mut exchange);
    println!("a fixed answer                  {alone:6.0} ns");
    let logged = backend_cost(&Log::new("log", fixed, &LogOptions::default()), &mut exchange);
    println!("below a log nobody listens to   {:+6.0} ns", logged - alone);

    let (options, timers) = (InProcessOptions::default(), Timers::new());
    let plain = tower::service_fn(|_: Request<RequestBody>| {
        std::future::ready(Ok::<_, std::io::Error>(http::Response::new(AxumBody::from("hello"))))
    });
    let service =
        backend_cost(&InProcess::new("plain", plain, options.clone(), Rc::clone(&timers)), &mut exchange);
    println!("a service that answers at once  {service:6.0} ns");
    let router = axum::Router::new().fallback(|| async { "hello" });
    let axum = backend_cost(&InProcess::new("axum", router.clone(), options, timers), &mut exchange);
    println!("an axum router                  {axum:6.0} ns");
    let mut bare = router;
    let bare = cost(|cx| {
        let mut request = Request::new(AxumBody::empty());
        *request.uri_mut() = http::Uri::from_static("/images/of/some/length/picture.png?size=large");
        pin!(bare.call(request)).poll(cx)
    });
    println!("the same router, bare           {bare:6.0} ns");
    Ok(())
}
