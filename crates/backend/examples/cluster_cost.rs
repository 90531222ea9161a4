//! What a cluster adds to a request: nanoseconds a call of `hash_ring` and `round_robin` over members that
//! answer out of memory, beside a call of such a member alone.
//!
//! `cargo run --release -p waypost-backend --example cluster_cost`

use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use http::{Method, StatusCode};
use waypost_backend::upstream::Registry;
use waypost_backend::{
    Algorithm, Backend, ClusterOptions, Downstream, Exchange, HashRing, HashRingOptions, Respond, RingKey,
    RoundRobin,
};
use waypost_http1::{InvalidField, RequestHead, Scheme};

const CALLS: u32 = 1_000_000;
const MEMBERS: usize = 8;

fn member(number: usize) -> Result<Rc<dyn Backend>, InvalidField> {
    Ok(Rc::new(Respond::new(format!("m{number}"), StatusCode::OK, &[], "")?))
}

fn ring(bound: Option<f64>, registry: &Registry) -> Result<HashRing, InvalidField> {
    let members = (0..MEMBERS).map(|number| Ok((format!("10.0.0.{number}:80"), member(number)?)));
    let options = HashRingOptions {
        key: RingKey::PathAndQuery,
        algorithm: Algorithm::Ketama,
        points: None,
        bound,
        cluster: ClusterOptions::default(),
    };
    Ok(HashRing::new("ring", members.collect::<Result<_, InvalidField>>()?, options, registry))
}

/// Nanoseconds a call, the best of a few runs.
fn cost(backend: &dyn Backend, exchange: &mut Exchange) -> f64 {
    let mut cx = Context::from_waker(Waker::noop());
    let mut run = || {
        let began = Instant::now();
        for _ in 0..CALLS {
            match pin!(backend.call(exchange)).poll(&mut cx) {
                Poll::Ready(response) => drop(std::hint::black_box(response)),
                Poll::Pending => unreachable!("a fixed answer is there at once"),
            }
        }
        began.elapsed().as_nanos() as f64 / f64::from(CALLS)
    };
    (0..7).map(|_| run()).fold(f64::INFINITY, f64::min)
}

#[expect(clippy::print_stdout, reason = "an example that measures")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let nobody = ([127, 0, 0, 1], 0).into();
    let mut exchange = Exchange::new(Downstream { client: nobody, local: nobody, scheme: Scheme::Http });
    exchange.request = RequestHead::new(Method::GET, "/images/of/some/length/picture.png?size=large")?;
    let registry = Registry::new();
    let members = (0..MEMBERS).map(|number| Ok((member(number)?, 1))).collect::<Result<_, InvalidField>>()?;
    let round_robin = RoundRobin::new("turns", members, ClusterOptions::default(), &registry);
    let alone = cost(&*member(0)?, &mut exchange);
    println!("a member alone        {alone:6.0} ns a call");
    let (plain, bounded) = (ring(None, &registry)?, ring(Some(1.25), &registry)?);
    let clusters: [(&str, &dyn Backend); 3] =
        [("hash_ring", &plain), ("hash_ring, bounded", &bounded), ("round_robin", &round_robin)];
    for (what, cluster) in clusters {
        println!("{what:20}  {:+6.0} ns a call", cost(cluster, &mut exchange) - alone);
    }
    Ok(())
}
