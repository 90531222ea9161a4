//! Handlers inside this process: axum routers and tower services behind `InProcess`, with bodies that come as
//! they like and are given up at any point.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body as AxumBody, Bytes, HttpBody};
use axum::extract::{Extension, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response as AxumResponse};
use axum::routing::{any as whatever, get, post};
use proptest::prelude::*;
use waypost_backend::{
    Backend, Body, BodyError, Downstream, Exchange, FailureKind, Fill, InProcess, InProcessOptions, Response,
    Source, Timers, TryPass, TryPassOptions,
};
use waypost_http1::{Fields, Name, RequestHead, Scheme};

/// Runs a test on a worker's kind of runtime, with timers that tick.
fn worker<T>(test: impl AsyncFnOnce(Rc<Timers>) -> T) -> T {
    let options = tokio::runtime::LocalOptions::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(options).unwrap();
    runtime.block_on(async {
        let timers = Timers::new();
        let ticking = Rc::clone(&timers);
        let ticker = tokio::task::spawn_local(async move {
            loop {
                ticking.tick();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let result = test(timers).await;
        ticker.abort();
        result
    })
}

fn backend(router: Router, timeout: Duration, timers: Rc<Timers>) -> InProcess<Router> {
    InProcess::new("site", router, InProcessOptions { timeout, ..InProcessOptions::default() }, timers)
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(150);

fn exchange(method: &str, target: &str, body: Body) -> Exchange {
    let client = SocketAddr::from(([192, 0, 2, 7], 4321));
    let local = SocketAddr::from(([127, 0, 0, 1], 80));
    let mut exchange = Exchange::new(Downstream { client, local, scheme: Scheme::Http });
    exchange.request = RequestHead::new(method.parse().unwrap(), target).unwrap();
    exchange.request.fields.push_known(Name::Host, b"site.test").unwrap();
    exchange.body = body;
    exchange
}

/// A client's body, in pieces with pauses between them; it counts what was taken and knows when it is gone.
struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    /// Waits once before each piece.
    pauses: bool,
    paused: bool,
    trailers: Option<Fields>,
    taken: Rc<Cell<usize>>,
    _alive: Rc<()>,
    error: Option<BodyError>,
    /// Never ends.
    endless: bool,
}

#[derive(Default)]
struct Watch {
    taken: Rc<Cell<usize>>,
    alive: Rc<()>,
}

impl Watch {
    fn is_gone(&self) -> bool {
        Rc::strong_count(&self.alive) == 1
    }
}

fn pieces(bytes: &[u8], piece: usize, watch: &Watch) -> Pieces {
    Pieces {
        pieces: bytes.chunks(piece.max(1)).map(<[u8]>::to_vec).collect(),
        pauses: true,
        paused: false,
        trailers: None,
        taken: Rc::clone(&watch.taken),
        _alive: Rc::clone(&watch.alive),
        error: None,
        endless: false,
    }
}

impl Source for Pieces {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Poll<Result<Fill, BodyError>> {
        if self.pauses && !std::mem::replace(&mut self.paused, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.paused = false;
        let Some(piece) = self.pieces.front_mut() else {
            return match self.error.take() {
                Some(error) => Poll::Ready(Err(error)),
                None if self.endless => Poll::Pending,
                None => Poll::Ready(Ok(Fill::End)),
            };
        };
        let count = piece.len().min(room);
        out.extend(piece.drain(..count));
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        self.taken.set(self.taken.get() + count);
        Poll::Ready(Ok(Fill::Data))
    }

    fn trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }
}

/// All of a body, taken `room` bytes at a time.
async fn read(body: &mut Body, room: usize) -> Result<Vec<u8>, BodyError> {
    let mut out = Vec::new();
    loop {
        let before = out.len();
        match poll_fn(|cx| body.poll_fill(cx, &mut out, room)).await? {
            Fill::Data => assert!((1..=room).contains(&(out.len() - before)), "room was {room}"),
            Fill::End => return Ok(out),
        }
    }
}

async fn text(response: &mut Response) -> String {
    String::from_utf8(read(&mut response.body, 7).await.unwrap()).unwrap()
}

#[test]
fn an_axum_router_sees_the_request_and_answers_it() {
    worker(async |timers| {
        let seen = |Extension(from): Extension<Downstream>, request: Request| async move {
            let host = request.headers()[header::HOST].to_str().unwrap().to_owned();
            format!("{} {} {:?} {host} {}", request.method(), request.uri(), request.version(), from.client)
        };
        let site = backend(Router::new().route("/{*rest}", get(seen)), LONG, timers);
        let mut asked = exchange("GET", "/a/b?c=d", Body::empty());
        let mut response = site.call(&mut asked).await.unwrap();
        assert_eq!(response.head.status, 200);
        assert_eq!(response.head.fields.get(Name::ContentType), Some(&b"text/plain; charset=utf-8"[..]));
        let seen = "GET /a/b?c=d HTTP/1.1 site.test 192.0.2.7:4321";
        assert_eq!(response.body.length(), Some(seen.len() as u64));
        assert_eq!(text(&mut response).await, seen);
    });
}

#[test]
fn a_target_that_is_no_strict_uri_arrives_encoded() {
    worker(async |timers| {
        let router = Router::new().fallback(|request: Request| async move { request.uri().to_string() });
        let site = backend(router, LONG, timers);
        for (target, seen) in [("/<a>?q=\"{b}|`\"", "/%3Ca%3E?q=%22%7Bb%7D%7C%60%22"), ("//x/y", "//x/y")] {
            let mut response = site.call(&mut exchange("GET", target, Body::empty())).await.unwrap();
            let text = text(&mut response).await;
            assert!(text == seen || text == target, "{target} arrived as {text}");
        }
    });
}

fn echo() -> Router {
    let whole = |body: Bytes| async move { body };
    let stream = |request: Request| async move { AxumResponse::new(request.into_body()) };
    Router::new().route("/whole", post(whole)).route("/stream", post(stream))
}

#[test]
fn bodies_come_whole_and_as_streams_with_their_trailers() {
    worker(async |timers| {
        let site = backend(echo(), LONG, timers);
        for (path, length) in
            [("/whole", None), ("/whole", Some(11)), ("/stream", None), ("/stream", Some(11))]
        {
            let watch = Watch::default();
            let mut source = pieces(b"hello world", 3, &watch);
            if length.is_none() {
                let mut trailers = Fields::new();
                trailers.push("X-Sum", b"11").unwrap();
                source.trailers = Some(trailers);
            }
            let mut asked = exchange("POST", path, Body::stream(Box::new(source), length));
            let mut response = site.call(&mut asked).await.unwrap();
            assert!(path == "/whole" || watch.taken.get() < 11, "it was read before it was wanted");
            assert_eq!(read(&mut response.body, 4).await.unwrap(), b"hello world", "{path}");
            let trailers = response.body.take_trailers();
            let sum = trailers.as_ref().and_then(|trailers| trailers.find("x-sum"));
            assert_eq!(sum, (path == "/stream" && length.is_none()).then_some(&b"11"[..]), "{path}");
            assert!(asked.body.is_touched());
            drop(response);
            assert!(watch.is_gone(), "{path}: somebody still holds the body");
        }
    });
}

#[test]
fn a_body_is_read_no_faster_than_the_handler_asks() {
    worker(async |timers| {
        let watch = Watch::default();
        let mut source = pieces(&[b'x'; 100], 10, &watch);
        source.pauses = false;
        let router = Router::new().route(
            "/",
            post(|request: Request| async move {
                let mut body = request.into_body();
                let first = poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await;
                first.unwrap().unwrap().into_data().unwrap()
            }),
        );
        let site = backend(router, LONG, timers);
        let mut asked = exchange("POST", "/", Body::stream(Box::new(source), Some(100)));
        let mut response = site.call(&mut asked).await.unwrap();
        assert_eq!(text(&mut response).await, "xxxxxxxxxx");
        assert_eq!(watch.taken.get(), 10);
        assert!(matches!(read(&mut asked.body, 9).await, Err(BodyError::Spent)), "the rest is not the whole");
    });
}

#[test]
fn a_handler_that_passes_early_leaves_the_body_as_it_was() {
    worker(async |timers| {
        let router = Router::new().fallback(|| async { StatusCode::NOT_IMPLEMENTED });
        let site = backend(router, LONG, timers);
        let watch = Watch::default();
        let mut asked =
            exchange("POST", "/", Body::stream(Box::new(pieces(b"for the next", 5, &watch)), None));
        let response = site.call(&mut asked).await.unwrap();
        assert_eq!(response.head.status, 501);
        assert!(!asked.body.is_touched());
        assert_eq!(watch.taken.get(), 0);
        assert_eq!(read(&mut asked.body, 100).await.unwrap(), b"for the next");
    });
}

#[test]
fn a_handler_over_its_time_is_cancelled() {
    worker(async |timers| {
        let cancelled = Arc::new(());
        let held = Arc::clone(&cancelled);
        let router = Router::new().fallback(move || async move {
            let _held = held;
            std::future::pending::<()>().await
        });
        let site = backend(router, SHORT, timers);
        let failure = site.call(&mut exchange("GET", "/", Body::empty())).await.unwrap_err();
        assert!(matches!(failure.kind, FailureKind::Late { .. }), "{failure:?}");
        assert_eq!(failure.status(), 504);
        assert_eq!(failure.to_string(), "the handler of site took longer than 150ms");
        drop(site);
        assert_eq!(Arc::strong_count(&cancelled), 1, "the handler lives on");
    });
}

#[test]
fn the_clients_time_is_not_the_handlers() {
    worker(async |timers| {
        let site = backend(echo(), SHORT, Rc::clone(&timers));
        let watch = Watch::default();
        let mut source = pieces(b"hello", 5, &watch);
        source.endless = true;
        let mut asked = exchange("POST", "/whole", Body::stream(Box::new(source), None));
        let mut call = site.call(&mut asked);
        let waited = tokio::time::timeout(4 * SHORT, &mut call).await;
        assert!(waited.is_err(), "{waited:?}");
    });
}

#[test]
fn silence_within_an_answer_ends_it() {
    worker(async |timers| {
        let router = Router::new().fallback(|| async {
            AxumBody::from_stream(futures_util::stream::unfold(0, |count| async move {
                if count == 1 {
                    std::future::pending::<()>().await;
                }
                Some((Ok::<_, std::io::Error>("first"), count + 1))
            }))
        });
        let site = backend(router, SHORT, timers);
        let mut response = site.call(&mut exchange("GET", "/", Body::empty())).await.unwrap();
        let error = read(&mut response.body, 100).await.unwrap_err();
        assert_eq!(error.to_string(), "the handler of site sent no more of its answer in time");
        assert!(!error.is_clients());
    });
}

#[test]
fn a_call_that_is_dropped_cancels_the_handler_and_lets_the_body_go() {
    worker(async |timers| {
        let site = backend(echo(), LONG, timers);
        let watch = Watch::default();
        let mut source = pieces(b"hello", 5, &watch);
        source.endless = true;
        let mut asked = exchange("POST", "/whole", Body::stream(Box::new(source), None));
        let waited = tokio::time::timeout(Duration::from_millis(20), site.call(&mut asked)).await;
        assert!(waited.is_err(), "{waited:?}");
        assert_eq!(watch.taken.get(), 5);
        drop(asked);
        assert!(watch.is_gone());
    });
}

#[test]
fn a_body_that_outlives_its_exchange_ends_in_an_error() {
    worker(async |timers| {
        let kept: Arc<std::sync::Mutex<Option<AxumBody>>> = Arc::default();
        let keeper = Arc::clone(&kept);
        let router = Router::new().fallback(move |request: Request| async move {
            *keeper.lock().unwrap() = Some(request.into_body());
        });
        let site = backend(router, LONG, timers);
        let watch = Watch::default();
        let mut asked = exchange("POST", "/", Body::stream(Box::new(pieces(b"hello", 5, &watch)), None));
        let response = site.call(&mut asked).await.unwrap();
        assert_eq!(response.head.status, 200);
        drop((response, asked));
        assert!(watch.is_gone());
        let body = kept.lock().unwrap().take().unwrap();
        let error = axum::body::to_bytes(body, 100).await.unwrap_err();
        assert!(error.to_string().contains("outlived its exchange"), "{error}");
    });
}

#[test]
fn a_client_that_breaks_off_fails_the_call_as_it_does_elsewhere() {
    worker(async |timers| {
        let site = backend(echo(), LONG, timers);
        let watch = Watch::default();
        let mut source = pieces(b"hello", 5, &watch);
        source.error = Some(BodyError::TooLarge);
        let mut asked = exchange("POST", "/whole", Body::stream(Box::new(source), None));
        let failure = site.call(&mut asked).await.unwrap_err();
        assert!(matches!(failure.kind, FailureKind::RequestBody(BodyError::TooLarge)), "{failure:?}");
        assert_eq!(failure.status(), 413);
    });
}

#[test]
fn readiness_is_waited_for_and_a_service_that_is_never_ready_is_late() {
    worker(async |timers| {
        let most = Arc::new(AtomicU32::new(0));
        let now = Arc::new(AtomicU32::new(0));
        let (seen, running) = (Arc::clone(&most), Arc::clone(&now));
        let handler = tower::service_fn(move |_: axum::http::Request<waypost_backend::RequestBody>| {
            let (seen, running) = (Arc::clone(&seen), Arc::clone(&running));
            async move {
                seen.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                running.fetch_sub(1, SeqCst);
                Ok::<_, std::io::Error>(axum::http::Response::new(AxumBody::from("done")))
            }
        });
        let limited = tower::limit::ConcurrencyLimit::new(handler, 1);
        let options = InProcessOptions { timeout: LONG, ..InProcessOptions::default() };
        let site = Rc::new(InProcess::new("site", limited, options, Rc::clone(&timers)));
        let calls = (0..5).map(|_| {
            let site = Rc::clone(&site);
            tokio::task::spawn_local(async move {
                let mut asked = exchange("GET", "/", Body::empty());
                let mut response = site.call(&mut asked).await.unwrap();
                text(&mut response).await
            })
        });
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap(), "done");
        }
        assert_eq!(most.load(SeqCst), 1);

        let stuck = tower::limit::ConcurrencyLimit::new(echo(), 0);
        let options = InProcessOptions { timeout: SHORT, ..InProcessOptions::default() };
        let site = InProcess::new("site", stuck, options, timers);
        let failure = site.call(&mut exchange("POST", "/whole", Body::empty())).await.unwrap_err();
        assert!(matches!(failure.kind, FailureKind::Late { .. }) && !failure.sent, "{failure:?}");
    });
}

#[test]
fn a_service_that_fails_is_a_failure_with_its_reason() {
    worker(async |timers| {
        let failing = tower::service_fn(|_: axum::http::Request<waypost_backend::RequestBody>| async {
            Err::<AxumResponse, _>(std::io::Error::other("the disk is full"))
        });
        let site = InProcess::new("site", failing, InProcessOptions::default(), timers);
        let failure = site.call(&mut exchange("GET", "/", Body::empty())).await.unwrap_err();
        assert_eq!(failure.to_string(), "the handler of site failed: the disk is full");
        assert_eq!((failure.status().as_u16(), failure.sent), (500, true));
    });
}

#[test]
fn what_a_handler_says_of_its_answer_is_held_against_it() {
    fn stated(length: &str, body: AxumBody) -> AxumResponse {
        ([(header::CONTENT_LENGTH, length.to_owned())], body).into_response()
    }
    fn stream(text: &'static str) -> AxumBody {
        AxumBody::from_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(text)]))
    }
    worker(async |timers| {
        let router = Router::new()
            .route("/known", whatever(|| async { stated("5", AxumBody::from("hello")) }))
            .route("/stated", whatever(|| async { stated("5", stream("hello")) }))
            .route("/short", whatever(|| async { stated("6", stream("hello")) }))
            .route("/long", whatever(|| async { stated("4", stream("hello")) }))
            .route("/wrong", whatever(|| async { stated("4", AxumBody::from("hello")) }))
            .route("/none", whatever(|| async { stated("five", AxumBody::from("hello")) }))
            .route("/interim", whatever(|| async { StatusCode::SWITCHING_PROTOCOLS }))
            .route("/empty", whatever(|| async { StatusCode::NO_CONTENT }))
            .route("/unchanged", whatever(|| async { StatusCode::NOT_MODIFIED }))
            .route(
                "/hops",
                whatever(|| async { [("connection", "x-mine"), ("x-mine", "1"), ("x-other", "2")] }),
            );
        let site = backend(router, LONG, timers);
        let mut answers = Vec::new();
        for path in ["/known", "/stated", "/short", "/long", "/wrong", "/none", "/interim", "/empty", "/hops"]
        {
            let answer = match site.call(&mut exchange("GET", path, Body::empty())).await {
                Err(failure) => failure.to_string(),
                Ok(mut response) => match read(&mut response.body, 100).await {
                    Err(error) => error.to_string(),
                    Ok(bytes) => {
                        format!("{} {}", response.head.status.as_u16(), String::from_utf8(bytes).unwrap())
                    }
                },
            };
            answers.push(answer.replace("the handler of site ", ""));
        }
        let expected = [
            "200 hello",
            "200 hello",
            "sent less than the length it stated",
            "sent more than the length it stated",
            "answered with a Content-Length of 4 and a body of 5 bytes",
            "answered with a Content-Length that is no length: \"five\"",
            "answered 101 Switching Protocols, which is no final answer",
            "204 ",
            "200 ",
        ];
        assert_eq!(answers, expected);

        let head = site.call(&mut exchange("HEAD", "/known", Body::empty())).await.unwrap();
        assert!(head.body.is_empty());
        assert_eq!(head.head.fields.get(Name::ContentLength), Some(&b"5"[..]));
        let hops = site.call(&mut exchange("GET", "/hops", Body::empty())).await.unwrap();
        assert_eq!(hops.head.fields.find("x-mine"), None);
        assert_eq!(hops.head.fields.find("x-other"), Some(&b"2"[..]));
        let unchanged = site.call(&mut exchange("GET", "/unchanged", Body::empty())).await.unwrap();
        assert!(unchanged.body.is_empty());
    });
}

#[test]
fn a_handler_may_read_its_body_on_another_thread() {
    worker(async |timers| {
        let router = Router::new().fallback(|request: Request| async move {
            let (told, answer) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let read = runtime.block_on(axum::body::to_bytes(request.into_body(), 1 << 20));
                told.send(read.unwrap())
            });
            answer.await.unwrap()
        });
        let site = backend(router, LONG, timers);
        let sent: Vec<u8> = (0..100_000u32).map(|number| number as u8).collect();
        let watch = Watch::default();
        let mut asked = exchange("POST", "/", Body::stream(Box::new(pieces(&sent, 777, &watch)), None));
        let mut response = site.call(&mut asked).await.unwrap();
        assert!(read(&mut response.body, 5000).await.unwrap() == sent);
    });
}

/// What a handler does with its request's body, piece by piece.
#[derive(Debug, Clone, Copy)]
enum Plan {
    /// Reads so many pieces and answers 501 without a body.
    Pass(usize),
    /// Reads so many pieces, answers, and sends those and all others back.
    Echo(usize),
}

fn plan() -> impl Strategy<Value = Plan> {
    prop_oneof![(0..6usize).prop_map(Plan::Pass), (0..6usize).prop_map(Plan::Echo)]
}

async fn follow(plan: Plan, request: Request, taken: Arc<AtomicU32>) -> AxumResponse {
    let mut body = request.into_body();
    let mut first = Vec::new();
    let (Plan::Pass(count) | Plan::Echo(count)) = plan;
    for _ in 0..count {
        let frame = poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await;
        let Some(Ok(frame)) = frame else { break };
        let data = frame.into_data().unwrap();
        taken.fetch_add(data.len() as u32, SeqCst);
        first.push(data);
    }
    match plan {
        Plan::Pass(_) => StatusCode::NOT_IMPLEMENTED.into_response(),
        Plan::Echo(_) => {
            use futures_util::StreamExt;
            let first = futures_util::stream::iter(first.into_iter().map(Ok));
            AxumBody::from_stream(first.chain(body.into_data_stream())).into_response()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_is_lost_and_nothing_comes_twice(
        bytes in proptest::collection::vec(any::<u8>(), 0..5000),
        piece in 1..2000usize,
        known: bool,
        pauses: bool,
        plan in plan(),
        room in 1..3000usize,
        // The call, or the response, is dropped after so many polls.
        polls in proptest::option::of(0..40usize),
    ) {
        worker(async |timers| {
            let watch = Watch::default();
            let mut source = pieces(&bytes, piece, &watch);
            source.pauses = pauses;
            let length = known.then_some(bytes.len() as u64);
            let taken = Arc::new(AtomicU32::new(0));
            let count = Arc::clone(&taken);
            let router = Router::new().fallback(move |request| follow(plan, request, count));
            let site = backend(router, LONG, timers);
            let mut asked = exchange("POST", "/", Body::stream(Box::new(source), length));
            let left = Cell::new(polls.unwrap_or(usize::MAX));
            let got = RefCell::new(Vec::new());
            let outcome = {
                let work = async {
                    let mut response = site.call(&mut asked).await.unwrap();
                    loop {
                        let mut out = Vec::new();
                        let fill = poll_fn(|cx| response.body.poll_fill(cx, &mut out, room)).await.unwrap();
                        got.borrow_mut().extend(out);
                        if fill == Fill::End {
                            return response.head.status;
                        }
                    }
                };
                let mut work = pin!(work);
                poll_fn(|cx| {
                    if left.get() == 0 {
                        return Poll::Ready(None);
                    }
                    left.set(left.get() - 1);
                    work.as_mut().poll(cx).map(Some)
                })
                .await
            };
            let got = got.into_inner();
            match (outcome, plan) {
                (Some(status), Plan::Echo(_)) => {
                    assert_eq!(status, 200);
                    assert_eq!(got, bytes, "what came back is not what was sent");
                }
                (Some(status), Plan::Pass(count)) => {
                    assert_eq!(status, 501);
                    assert_eq!(taken.load(SeqCst) as usize, watch.taken.get(), "taken for nobody");
                    if count == 0 {
                        assert_eq!(read(&mut asked.body, room).await.unwrap(), bytes, "not left as it was");
                    } else {
                        assert!(matches!(read(&mut asked.body, room).await, Err(BodyError::Spent)));
                    }
                }
                (None, _) => assert!(bytes.starts_with(&got), "what came back is not what was sent"),
            }
            drop(asked);
            assert!(watch.is_gone(), "somebody still holds the body");
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_handler_that_passes_in_the_middle_of_the_body_costs_the_next_one_nothing(
        bytes in proptest::collection::vec(any::<u8>(), 0..5000),
        piece in 1..2000usize,
        known: bool,
        pauses: bool,
        reads in proptest::collection::vec(0..6usize, 1..4),
        room in 1..3000usize,
    ) {
        worker(async |timers| {
            let watch = Watch::default();
            let mut source = pieces(&bytes, piece, &watch);
            source.pauses = pauses;
            let length = known.then_some(bytes.len() as u64);
            let mut members: Vec<Rc<dyn Backend>> = Vec::new();
            for count in &reads {
                let plan = Plan::Pass(*count);
                let router = Router::new().fallback(move |request| follow(plan, request, Arc::default()));
                members.push(Rc::new(backend(router, LONG, Rc::clone(&timers))));
            }
            let last = Router::new().fallback(|body: Bytes| async move { body });
            members.push(Rc::new(backend(last, LONG, Rc::clone(&timers))));
            let site = TryPass::new("all", members, TryPassOptions::default(), timers);
            let mut asked = exchange("POST", "/", Body::stream(Box::new(source), length));
            let mut response = site.call(&mut asked).await.unwrap();
            assert_eq!(response.head.status, 200);
            assert_eq!(read(&mut response.body, room).await.unwrap(), bytes);
            drop((response, asked));
            assert!(watch.is_gone(), "somebody still holds the body");
        });
    }
}

#[test]
fn a_router_with_state_and_layers_is_a_service_like_any_other() {
    worker(async |timers| {
        async fn count(Extension(hits): Extension<Arc<AtomicU32>>) -> String {
            hits.fetch_add(1, SeqCst).to_string()
        }
        let hits = Arc::new(AtomicU32::new(0));
        let router = Router::new().route("/", get(count)).layer(Extension(hits));
        let service = tower::ServiceBuilder::new()
            .map_response(|mut response: AxumResponse| {
                response.headers_mut().insert("x-layer", "yes".parse().unwrap());
                response
            })
            .service(router);
        let site = InProcess::new("site", service, InProcessOptions::default(), timers);
        for expected in ["0", "1"] {
            let mut response = site.call(&mut exchange("GET", "/", Body::empty())).await.unwrap();
            assert_eq!(response.head.fields.find("x-layer"), Some(&b"yes"[..]));
            assert_eq!(text(&mut response).await, expected);
        }
    });
}
