//! What holds for replies of any bytes whatsoever: shared by the property tests and the fuzz targets.

use bytes::{Bytes, BytesMut};
use waypost_memcached::protocol::{Create, Dialect, Limits, Outgoing, Pipeline, Reply, Request, StoreMode};
use waypost_memcached::{Key, KeyError};

/// One of each kind, reads in a run and alone.
fn requests() -> Vec<Request> {
    let key = |name: &str| Key::new(b"", name.as_bytes()).expect("a short name");
    let get = |name| Request::Get { key: key(name), cas: true, ttl: true, touch: None };
    let create = Some(Create { initial: 1, ttl: 0 });
    let (mode, value) = (StoreMode::Append, Bytes::from_static(b"value"));
    vec![
        get("a"),
        get("b"),
        get("c"),
        Request::Store { mode, key: key("d"), value, flags: 1, ttl: 2, cas: None },
        Request::Arithmetic { key: key("e"), delta: 1, decrement: true, create },
        get("f"),
        Request::Delete { key: key("g"), cas: None },
        Request::Touch { key: key("h"), ttl: 0 },
        Request::Version,
        Request::Stats { argument: None },
        Request::Flush { delay: None },
        Request::GetIfChanged { key: key("i"), token: 3 },
    ]
}

/// Requests under way, and what has come of them.
struct Conversation {
    pipeline: Pipeline,
    requests: Vec<Request>,
    input: BytesMut,
    replies: Vec<Option<Result<Reply, KeyError>>>,
}

impl Conversation {
    fn new(dialect: Dialect) -> Conversation {
        let limits = Limits { line: 256, value: 1024, stats: 16 };
        let (mut pipeline, mut out) = (Pipeline::new(dialect, limits), Outgoing::default());
        let requests = requests();
        let mut replies = vec![None; requests.len()];
        assert_eq!(pipeline.send(&requests, 0, &mut out, &mut replies), requests.len());
        Conversation { pipeline, requests, input: BytesMut::new(), replies }
    }

    /// Whether the connection is still of use after these bytes.
    fn hear(&mut self, bytes: &[u8]) -> bool {
        self.input.extend_from_slice(bytes);
        match self.pipeline.receive(&self.requests, &mut self.input, &mut self.replies) {
            Ok(None) => {
                assert!(self.pipeline.is_idle() && self.replies.iter().all(Option::is_some));
                true
            }
            Ok(Some(needed)) => {
                assert!(needed > self.input.len(), "asks for what is there");
                true
            }
            Err(_) => false,
        }
    }
}

/// Reads bytes as the replies to one request of each kind: whole, and cut in two, with the same result. Returns
/// whether they answer every request, and nothing else.
///
/// # Panics
/// When something doesn't hold.
pub(crate) fn check(dialect: Dialect, input: &[u8]) -> bool {
    let mut whole = Conversation::new(dialect);
    let usable = whole.hear(input);
    for reply in whole.replies.iter().flatten() {
        if let Ok(Reply::Item(item)) = reply {
            assert!(item.value.len() <= input.len().min(1024), "a value that was not sent");
        }
    }
    for cut in [input.len() / 3, input.len() / 2, input.len().saturating_sub(1)] {
        let mut parts = Conversation::new(dialect);
        let mut usable_too = parts.hear(&input[..cut]);
        usable_too = usable_too && parts.hear(&input[cut..]);
        assert_eq!(usable_too, usable, "cut at {cut}");
        assert_eq!(parts.replies, whole.replies, "cut at {cut}");
    }
    usable && whole.pipeline.is_idle()
}
