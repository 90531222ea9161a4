use super::*;

use std::task::Waker;

use bytes::Bytes;
use proptest::prelude::*;
use waypost_http1::Name;

/// A client that sends these pieces, with a pause before each.
struct Client {
    pieces: std::collections::VecDeque<Vec<u8>>,
    /// What of the current piece has not been taken.
    rest: Vec<u8>,
    paused: bool,
    /// Goes away behind the pieces rather than end the body.
    breaks: bool,
}

impl Client {
    fn body(pieces: &[Vec<u8>], known: bool, breaks: bool) -> Body {
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        let client = Client { pieces: pieces.to_vec().into(), rest: Vec::new(), paused: false, breaks };
        Body::stream(Box::new(client), known.then_some(length))
    }
}

impl Source for Client {
    fn poll_fill(
        &mut self,
        _: &mut Context<'_>,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Poll<Result<Fill, BodyError>> {
        if self.rest.is_empty() {
            self.paused = !self.paused;
            if self.paused {
                return Poll::Pending;
            }
            match self.pieces.pop_front() {
                Some(piece) => self.rest = piece,
                None if self.breaks => return Poll::Ready(Err(BodyError::ClientClosed)),
                None => return Poll::Ready(Ok(Fill::End)),
            }
        }
        out.extend(self.rest.drain(..room.min(self.rest.len())));
        Poll::Ready(Ok(Fill::Data))
    }

    fn trailers(&mut self) -> Option<Fields> {
        let mut trailers = Fields::new();
        trailers.push("Checksum", b"1").ok()?;
        Some(trailers)
    }
}

/// Takes at least `most` bytes of a body if there are so many; says how it ended, if it did.
fn take(body: &mut Body, most: usize, room: usize) -> (Vec<u8>, Option<Result<(), BodyError>>) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut out = Vec::new();
    while out.len() < most {
        let before = out.len();
        match body.poll_fill(&mut cx, &mut out, room) {
            Poll::Ready(Ok(Fill::Data)) => assert!((1..=room).contains(&(out.len() - before))),
            Poll::Ready(Ok(Fill::End)) => return (out, Some(Ok(()))),
            Poll::Ready(Err(error)) => return (out, Some(Err(error))),
            Poll::Pending => {}
        }
    }
    (out, None)
}

fn shared(replay: &Replay) -> std::cell::Ref<'_, Shared> {
    match &replay.state {
        State::Shared(shared) => shared.borrow(),
        State::Whole(_) => panic!("no attempt was made with a stream"),
    }
}

fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..20),
        prop::collection::vec(any::<u8>(), 1000..5000),
    ];
    prop::collection::vec(piece, 0..12)
}

proptest! {
    #[test]
    fn an_attempt_that_is_rewound_begins_again_unless_the_limit_was_passed(
        pieces in pieces(),
        known: bool,
        stops in prop::collection::vec(0usize..20_000, 1..4),
        limit in 0u64..30_000,
        room in 1usize..8_000,
    ) {
        let whole = pieces.concat();
        let mut replay = Replay::new(Client::body(&pieces, known, false), limit);
        let mut attempt = replay.attempt();
        for stop in stops {
            take(&mut attempt, stop, room);
            attempt = attempt.rewound();
            if !replay.is_possible() {
                break;
            }
            prop_assert!(!attempt.is_touched());
            prop_assert_eq!(attempt.length(), known.then_some(whole.len() as u64));
            prop_assert!(!replay.is_delivered() || stop == 0);
        }
        let possible = replay.is_possible();
        let (got, end) = take(&mut attempt, usize::MAX, room);
        if possible {
            prop_assert_eq!(got, whole);
            prop_assert!(matches!(end, Some(Ok(()))));
            prop_assert!(attempt.take_trailers().is_some());
        } else {
            prop_assert!(got.is_empty() && matches!(end, Some(Err(BodyError::Spent))));
        }
        // The one before gets no more of it.
        if replay.is_possible() {
            let _next = replay.attempt();
            prop_assert!(attempt.rewound().is_touched());
        }
    }

    #[test]
    fn every_attempt_gets_the_whole_body_or_none_is_made(
        pieces in pieces(),
        known: bool,
        drops in prop::collection::vec(0usize..20_000, 0..5),
        limit in 0u64..30_000,
        room in 1usize..8_000,
        is_last: bool,
    ) {
        let whole = pieces.concat();
        let mut replay = Replay::new(Client::body(&pieces, known, false), limit);
        let mut read = 0;
        for drop_at in drops {
            prop_assert!(replay.is_possible());
            let mut attempt = replay.attempt();
            prop_assert_eq!(attempt.length(), known.then_some(whole.len() as u64));
            let (got, end) = take(&mut attempt, drop_at, room);
            prop_assert_eq!(&got, &whole[..got.len()], "a beginning of the body");
            prop_assert_eq!(replay.is_delivered(), end.is_some());
            prop_assert_eq!(end.is_some(), got.len() == whole.len() && drop_at > whole.len());
            read = read.max(got.len());
            prop_assert_eq!(replay.is_possible(), read as u64 <= limit, "{} bytes were read", read);
            if !replay.is_possible() {
                prop_assert_eq!(shared(&replay).kept.held(), 0, "what can't be replayed is not held");
                prop_assert!(matches!(take(&mut replay.attempt(), 1, room).1, Some(Err(BodyError::Spent))));
                let (rest, end) = take(&mut attempt, usize::MAX, room);
                prop_assert!(matches!(end, Some(Ok(()))), "the one in hand goes on: {:?}", end);
                prop_assert_eq!([got, rest].concat(), whole);
                return Ok(());
            }
        }
        let mut attempt = if is_last { replay.last() } else { replay.attempt() };
        prop_assert_eq!(attempt.length(), known.then_some(whole.len() as u64));
        let (got, end) = take(&mut attempt, usize::MAX, room);
        prop_assert!(matches!(end, Some(Ok(()))), "{:?}", end);
        prop_assert_eq!(got, whole);
        prop_assert!(attempt.take_trailers().is_some_and(|trailers| trailers.find("checksum").is_some()));
    }

    #[test]
    fn a_body_that_breaks_off_ends_for_nobody(
        pieces in pieces(),
        known: bool,
        drop_at in 0usize..20_000,
        room in 1usize..8_000,
    ) {
        let mut replay = Replay::new(Client::body(&pieces, known, true), u64::MAX);
        let (_, first) = take(&mut replay.attempt(), drop_at, room);
        let (_, second) = take(&mut replay.attempt(), usize::MAX, room);
        match first {
            None => prop_assert!(matches!(second, Some(Err(BodyError::ClientClosed))), "{:?}", second),
            Some(ended) => {
                prop_assert!(matches!(ended, Err(BodyError::ClientClosed)));
                prop_assert!(matches!(second, Some(Err(BodyError::Spent))), "{:?}", second);
            }
        }
        prop_assert!(!replay.is_possible() && !replay.is_delivered());
    }
}

#[test]
fn a_body_in_memory_is_given_out_again_without_being_copied() {
    let bytes = Bytes::from(vec![b'x'; 100]);
    let mut replay = Replay::new(Body::bytes(bytes), 0);
    for _ in 0..3 {
        let mut attempt = replay.attempt();
        assert_eq!(attempt.length(), Some(100));
        assert_eq!(take(&mut attempt, 7, 10).0, vec![b'x'; 10]);
        assert!(matches!(replay.state, State::Whole(_)) && replay.is_possible() && replay.is_delivered());
    }
    assert_eq!(take(&mut replay.last(), usize::MAX, 50).0, vec![b'x'; 100]);
    assert!(Replay::new(Body::empty(), 0).attempt().is_empty());
}

#[test]
fn a_body_that_only_one_attempt_is_made_with_is_given_as_it_came() {
    let mut body = Replay::new(Client::body(&[b"abc".to_vec()], true, false), 10).last();
    assert_eq!(take(&mut body, usize::MAX, 2).0, b"abc");
}

#[test]
fn a_body_that_somebody_has_had_some_of_is_spent() {
    let mut body = Client::body(&[b"abc".to_vec()], true, false);
    assert_eq!(take(&mut body, 1, 1).0, b"a");
    let mut replay = Replay::new(body, 10);
    assert!(!replay.is_possible());
    assert!(matches!(take(&mut replay.attempt(), 1, 1).1, Some(Err(BodyError::Spent))));
    assert!(matches!(take(&mut replay.last(), 1, 1).1, Some(Err(BodyError::Spent))));
}

#[test]
fn an_attempt_gets_nothing_more_once_there_is_another() {
    let mut replay = Replay::new(Client::body(&[b"abc".to_vec()], true, false), 10);
    let mut first = replay.attempt();
    assert_eq!(take(&mut first, 1, 1).0, b"a");
    let mut second = replay.attempt();
    assert!(matches!(take(&mut first, 1, 1).1, Some(Err(BodyError::Spent))));
    assert_eq!(take(&mut second, usize::MAX, 2).0, b"abc");
}

#[test]
fn the_buffer_is_let_go_as_the_last_attempt_reads_on() {
    let pieces: Vec<Vec<u8>> = (0..64).map(|n| vec![n; 8 * 1024]).collect();
    let mut replay = Replay::new(Client::body(&pieces, true, false), u64::MAX);
    assert_eq!(take(&mut replay.attempt(), 300_000, 4096).0.len().div_ceil(4096), 74);
    let State::Shared(state) = &replay.state else { panic!("it is a stream") };
    let state = Rc::clone(state);
    assert!(state.borrow().kept.held() >= 300_000);
    let mut last = replay.last();
    let (mut got, mut held) = (Vec::new(), Vec::new());
    loop {
        let (some, end) = take(&mut last, 1, 4096);
        got.extend(some);
        held.push(state.borrow().kept.held());
        if end.is_some() {
            break;
        }
    }
    assert_eq!(got, pieces.concat());
    assert!(held.is_sorted_by(|before, after| before >= after), "{held:?}");
    assert_eq!(held.last(), Some(&0));
}

#[test]
fn trailers_come_with_every_attempt() {
    let mut replay = Replay::new(Client::body(&[b"abc".to_vec()], false, false), 10);
    for _ in 0..2 {
        let mut attempt = replay.attempt();
        assert!(matches!(take(&mut attempt, usize::MAX, 10).1, Some(Ok(()))));
        let trailers = attempt.take_trailers();
        assert!(trailers.is_some_and(|trailers| trailers.iter().all(|field| field.name == Name::Other)));
    }
}

#[test]
fn nothing_is_kept_of_a_body_that_is_delivered_and_asked_for_by_nobody_else() {
    let mut replay = Replay::new(Client::body(&[vec![b'x'; 5000]], true, false), 10_000);
    let mut attempt = replay.attempt();
    take(&mut attempt, usize::MAX, 1000);
    let State::Shared(held) = &replay.state else { panic!("a stream is shared") };
    let held = Rc::clone(held);
    assert!(held.borrow().kept.held() >= 5000);
    drop(replay);
    assert_eq!(held.borrow().kept.held(), 0);
    assert!(attempt.rewound().is_touched(), "it can't be had again");
}
