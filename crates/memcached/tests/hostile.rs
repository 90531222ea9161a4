//! Servers that lie, stall, or are something else: an error that says so, within the limits, and the next
//! request is answered rightly on another connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use waypost_memcached::{Address, Client, Error, ResultCode, StoreOptions};
use waypost_tests::Port;

const VERSION: (&str, &[u8]) = ("version\r\n", b"VERSION 1.6.18\r\n");
const OLD_VERSION: (&str, &[u8]) = ("version\r\n", b"VERSION 1.4.39\r\n");

/// What is expected from the client, and what is said then.
type Script = Vec<(&'static str, Vec<u8>)>;

/// A server that plays one script on its first connection, and another on all that follow.
struct Scripted {
    port: Port,
    connections: Arc<AtomicUsize>,
}

impl Scripted {
    async fn start(first: Script, next: Script) -> Scripted {
        let port = Port::free();
        let listener = TcpListener::bind(port.address()).await.unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let script =
                    if count.fetch_add(1, Ordering::SeqCst) == 0 { first.clone() } else { next.clone() };
                tokio::spawn(async move {
                    let mut heard = Vec::new();
                    for (expected, said) in script {
                        if expected == "close" {
                            return;
                        }
                        while !heard.ends_with(expected.as_bytes()) {
                            if stream.read_buf(&mut heard).await.unwrap_or(0) == 0 {
                                return;
                            }
                        }
                        heard.clear();
                        if stream.write_all(&said).await.is_err() {
                            return;
                        }
                    }
                    // Open, and silent, until the client has enough.
                    while stream.read_buf(&mut heard).await.unwrap_or(0) > 0 {}
                });
            }
        });
        Scripted { port, connections }
    }

    fn client(&self, options: &str) -> Client {
        let url = format!("memcached://{}?retry_timeout=0s&{options}", self.port.address());
        Client::new(&Address::parse(&url).unwrap()).unwrap()
    }
}

fn script(lines: &[(&'static str, &[u8])]) -> Script {
    lines.iter().map(|(expected, said)| (*expected, said.to_vec())).collect()
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// A read whose reply is `said`, over meta or text; then one on a good connection.
async fn read(version: (&'static str, &'static [u8]), said: &[u8], timeout: &str) -> Error {
    let (asked, good): (_, &[u8]) = match version == VERSION {
        true => ("mg key v f O0\r\n", b"VA 4 f3 O0\r\ngood\r\n"),
        false => ("get key\r\n", b"VALUE key 3 4\r\ngood\r\nEND\r\n"),
    };
    let first = script(&[version, (asked, said), ("close", b"")]);
    let first = if timeout == "10s" { first } else { first[..2].to_vec() };
    let server = Scripted::start(first, script(&[version, (asked, good)])).await;
    let client = server.client(&format!("timeout={timeout}&connect_timeout=10s"));
    let error = client.get("key").await.expect_err("a bad reply");
    let item = client.get("key").await.unwrap().unwrap();
    assert_eq!((&item.value[..], item.flags), (&b"good"[..], 3), "after {error}");
    assert_eq!(server.connections.load(Ordering::SeqCst), 2, "the bad connection is not used again");
    error
}

#[track_caller]
fn assert_code(error: &Error, code: ResultCode, said: &[u8]) {
    assert_eq!(error.code(), code, "{error}, for {}", said[..said.len().min(80)].escape_ascii());
}

#[test]
fn replies_over_meta_that_do_not_belong_to_the_request_are_protocol_errors() {
    for said in [
        &b"VA 2 f0 O1\r\nhi\r\n"[..],
        b"VA 2 f0\r\nhi\r\n",
        b"VA 2 f0 O00000000000000000001\r\nhi\r\n",
        b"EN O9\r\n",
        b"HD O0\r\n",
        b"NS O0\r\n",
        b"MN\r\n",
        b"STORED\r\n",
        b"VA 99999999999999 f0 O0\r\n",
        b"VA 2000000000 f0 O0\r\n",
        b"VA -1 f0 O0\r\n",
        b"VA 2 f-1 O0\r\nhi\r\n",
        b"VA 2 f0 O0\r\nhi!\r\n",
        b"VA 2 f0 O0\nhi\r\n",
        b"\r\n",
        b"\0\0\0\0\r\n",
        &[b'x'; 10_000],
    ] {
        assert_code(&run(read(VERSION, said, "10s")), ResultCode::ProtocolError, said);
    }
}

#[test]
fn replies_over_text_that_do_not_belong_to_the_request_are_protocol_errors() {
    for said in [
        &b"VALUE kex 0 2\r\nhi\r\nEND\r\n"[..],
        b"VALUE key 0 2\r\nhi!!END\r\n",
        b"VALUE key 0 -2\r\n",
        b"VALUE key 0 1073741825\r\n",
        b"VALUE key 0\r\n",
        b"STORED\r\n",
        b"NOT_FOUND\r\n",
        b"17\r\n",
        b"STAT pid 1\r\n",
        b"END\n",
    ] {
        assert_code(&run(read(OLD_VERSION, said, "10s")), ResultCode::ProtocolError, said);
    }
}

#[test]
fn a_server_that_hangs_up_in_the_middle_is_a_read_failure() {
    for said in [&b""[..], b"VA", b"VA 10 f0 O0\r\n", b"VA 10 f0 O0\r\nhalf", b"VA 1 f0 O0\r\nx\r"] {
        assert_code(&run(read(VERSION, said, "10s")), ResultCode::UnknownReadFailure, said);
    }
}

#[test]
fn a_server_that_stalls_is_a_time_out() {
    for said in [&b""[..], b"VA 10 f0 O0\r\nhalf", b"VA 1073741824 f0 O0\r\n", b"EN"] {
        assert_code(&run(read(VERSION, said, "1s")), ResultCode::Timeout, said);
    }
}

#[test]
fn a_value_cut_anywhere_is_read_whole() {
    run(async {
        let reply = b"VA 5 f0 O0\r\nvalue\r\n";
        for cut in 1..reply.len() {
            let lines = [VERSION, ("mg key v f O0\r\n", &reply[..cut]), ("", b""), ("", &reply[cut..])];
            let server = Scripted::start(script(&lines), Script::new()).await;
            let client = server.client("timeout=10s");
            assert_eq!(&client.get("key").await.unwrap().unwrap().value[..], b"value", "cut at {cut}");
        }
    });
}

#[test]
fn more_than_was_asked_for_closes_the_connection() {
    run(async {
        let bad = script(&[VERSION, ("mg key v f O0\r\n", b"EN O0\r\nVA 4 f0 O1\r\nevil\r\n")]);
        let good = script(&[VERSION, ("mg key v f O0\r\n", b"VA 4 f0 O0\r\ngood\r\n")]);
        let server = Scripted::start(bad, good).await;
        let client = server.client("timeout=10s");
        assert_eq!(client.get("key").await.unwrap(), None);
        assert_eq!(client.get("key").await.unwrap().unwrap().value, "good");
        assert_eq!(server.connections.load(Ordering::SeqCst), 2);
        let twice: &[u8] = b"VALUE key 0 2\r\nhi\r\nVALUE key 0 4\r\nevil\r\nEND\r\n";
        let good: &[u8] = b"VALUE key 0 4\r\ngood\r\nEND\r\n";
        let [bad, good] = [twice, good].map(|said| script(&[OLD_VERSION, ("get key\r\n", said)]));
        let server = Scripted::start(bad, good).await;
        let client = server.client("timeout=10s");
        assert_eq!(client.get("key").await.unwrap().unwrap().value, "hi");
        assert_eq!(client.get("key").await.unwrap().unwrap().value, "good");
        assert_eq!(server.connections.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn complaints_are_told_with_the_servers_words() {
    for (said, code, words) in [
        (&b"SERVER_ERROR out of memory\r\n"[..], ResultCode::ServerError, "out of memory"),
        (b"CLIENT_ERROR bad command line format\r\n", ResultCode::ClientError, "bad command line format"),
        (b"ERROR\r\n", ResultCode::ClientError, "ERROR"),
        (b"CLIENT_ERROR unauthenticated\r\n", ResultCode::AuthFailure, "unauthenticated"),
    ] {
        run(async {
            let first = script(&[VERSION, ("mg key v f O0\r\n", said)]);
            let server = Scripted::start(first.clone(), first).await;
            let error = server.client("timeout=10s").get("key").await.unwrap_err();
            assert_code(&error, code, said);
            let name = server.port.address().to_string();
            let text = error.to_string();
            assert!(text.contains(words) && text.contains(&name), "{text}");
        });
    }
}

#[test]
fn a_refused_value_closes_the_connection_unless_the_server_read_it() {
    run(async {
        // After this complaint a server takes the value for commands.
        let bad = script(&[VERSION, ("v\r\n", b"CLIENT_ERROR bad command line format\r\nERROR\r\n")]);
        let good = script(&[VERSION, ("v\r\n", b"HD O0\r\n")]);
        let server = Scripted::start(bad, good).await;
        let client = server.client("timeout=10s");
        let error = client.set("key", "v", StoreOptions::default()).await.unwrap_err();
        assert_eq!(error.code(), ResultCode::ClientError);
        client.set("key", "v", StoreOptions::default()).await.unwrap();
        assert_eq!(server.connections.load(Ordering::SeqCst), 2);
        // This one is said after the value was thrown away.
        let full: &[u8] = b"SERVER_ERROR out of memory storing object\r\n";
        let full = script(&[VERSION, ("v\r\n", full), ("v\r\n", b"HD O1\r\n")]);
        let server = Scripted::start(full, Script::new()).await;
        let client = server.client("timeout=10s");
        let error = client.set("key", "v", StoreOptions::default()).await.unwrap_err();
        assert_eq!(error.code(), ResultCode::ServerError);
        client.set("key", "v", StoreOptions::default()).await.unwrap();
        assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn one_bad_reply_in_a_batch_leaves_the_answers_before_it() {
    run(async {
        let said: &[u8] = b"VA 1 f0 O0\r\na\r\nVA 1 f0 O2\r\nc\r\nVA 1 f0 O1\r\nb\r\nMN\r\n";
        let server = Scripted::start(script(&[VERSION, ("mn\r\n", said)]), Script::new()).await;
        let outcomes = server.client("timeout=10s").get_multi(&["a", "b", "c", "d"]).await;
        let short: Vec<String> = outcomes
            .into_iter()
            .map(|outcome| match outcome {
                Ok(item) => {
                    item.map_or("none".to_owned(), |item| String::from_utf8_lossy(&item.value).into())
                }
                Err(error) => error.code().number().to_string(),
            })
            .collect();
        // The second is skipped by the third's tag, and then comes after all: nothing is believed from there.
        assert_eq!(short, ["a", "none", "c", "8"]);
    });
}

#[test]
fn statistics_without_end_are_cut_off() {
    run(async {
        let endless = b"STAT name value\r\n".repeat(70_000);
        let server = Scripted::start(script(&[VERSION, ("stats\r\n", &endless)]), Script::new()).await;
        let stats = server.client("timeout=10s").stats(None).await;
        let error = stats.into_iter().next().unwrap().1.unwrap_err();
        assert_eq!(error.code(), ResultCode::ProtocolError, "{error}");
    });
}

#[test]
fn a_server_without_meta_commands_is_spoken_to_in_text() {
    for version in [&b"VERSION 1.4.39\r\n"[..], b"VERSION mcrouter 41.0\r\n", b"ERROR\r\n", b"VERSION \r\n"] {
        run(async {
            let reply: &[u8] = b"VALUE key 0 5\r\nvalue\r\nEND\r\n";
            let server =
                Scripted::start(script(&[("version\r\n", version), ("get key\r\n", reply)]), Script::new())
                    .await;
            let item = server.client("timeout=10s").get("key").await.unwrap().unwrap();
            assert_eq!(&item.value[..], b"value");
        });
    }
}

#[test]
fn asking_for_meta_where_there_is_none_says_what_to_do() {
    run(async {
        let server = Scripted::start(script(&[OLD_VERSION]), Script::new()).await;
        let error = server.client("protocol=meta&timeout=10s").get("key").await.unwrap_err();
        assert_eq!(error.code(), ResultCode::NotSupported);
        assert!(error.to_string().contains("1.4.39") && error.to_string().contains("text"), "{error}");
    });
}

#[test]
fn a_server_that_is_full_is_told_as_such() {
    run(async {
        let full = script(&[("", b"ERROR Too many open connections\r\n"), ("close", b"")]);
        let server = Scripted::start(full.clone(), full).await;
        let error = server.client("timeout=10s").get("key").await.unwrap_err();
        assert!(error.to_string().contains("Too many open connections"), "{error}");
    });
}

#[test]
fn a_counter_others_delete_all_the_time_ends_in_an_error() {
    run(async {
        let mut lines = vec![OLD_VERSION, ("incr key 1\r\n", &b"NOT_FOUND\r\n"[..])];
        for _ in 0..8 {
            lines.push(("1\r\n", b"NOT_STORED\r\n"));
            lines.push(("incr key 1\r\n", b"NOT_FOUND\r\n"));
        }
        let server = Scripted::start(script(&lines), Script::new()).await;
        let error = server.client("timeout=10s").counter("key", 1, 1, 0).await.unwrap_err();
        assert_eq!(error.code(), ResultCode::NotStored);
    });
}

#[test]
fn an_append_that_may_make_the_item_is_one_command_where_the_server_has_it() {
    run(async {
        let version: &[u8] = b"VERSION 1.6.20\r\n";
        let lines = [("version\r\n", version), ("ms key 1 MA N60 F3 O0\r\nx\r\n", b"HD O0\r\n")];
        let server = Scripted::start(script(&lines), Script::new()).await;
        let options = StoreOptions { ttl: Some(60), flags: 3 };
        server.client("timeout=10s").append_or_set("key", "x", options).await.unwrap();
    });
}

#[test]
fn binary_replies_that_do_not_belong_to_the_request_are_protocol_errors() {
    fn packet(opcode: u8, tag: u32, extras: &[u8], value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x81, opcode, 0, 0, extras.len() as u8, 0, 0, 0];
        bytes.extend(((extras.len() + value.len()) as u32).to_be_bytes());
        bytes.extend(tag.to_be_bytes());
        bytes.extend([0; 8]);
        [&bytes, extras, value].concat()
    }
    let version = packet(0x0b, 0, b"", b"1.6.18");
    let mut long = packet(0x00, 1, &[0; 4], b"");
    long[8..12].fill(0xff);
    for said in
        [packet(0x00, 2, &[0; 4], b"x"), packet(0x0a, 1, b"", b""), long, b"VALUE key 0 1\r\nx\r\n".to_vec()]
    {
        run(async {
            // A version request ends with zeroes, a get with its key.
            let lines = [("\0\0\0\0", &version[..]), ("key", &said[..])];
            let server = Scripted::start(script(&lines), Script::new()).await;
            let client = server.client("protocol=binary&timeout=10s");
            let error = client.get("key").await.unwrap_err();
            assert_code(&error, ResultCode::ProtocolError, &said);
        });
    }
}
