//! The backend of one's own does what its page says, and the page shows it as it is.

use std::process::Command;

use waypost_tests::{Client, Port, Process, Upstream, eventually};

#[test]
fn a_backend_of_ones_own_changes_pages_and_nothing_else() {
    let server = Upstream::serving(|request| {
        let answer = match request.target.as_str() {
            "/page" => {
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nETag: \"1\"\r\n\r\nhello\n"
            }
            "/chunks" => {
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n\
                 2\r\nhi\r\n1\r\n\n\r\n0\r\n\r\n"
            }
            _ => "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 3\r\nETag: \"2\"\r\n\r\npng",
        };
        match request.method.as_str() {
            "HEAD" => answer.split_inclusive("\r\n\r\n").next().unwrap_or_default().into(),
            _ => answer.into(),
        }
    });
    let listen = Port::free();
    let mut command = Command::new(env!("CARGO_BIN_EXE_own-backend"));
    let _process = Process::start(command.args([listen.address().to_string(), server.address().to_string()]));
    let mut client =
        eventually("the example takes connections", || Client::try_connect(listen.address()).ok());

    let page = client.get("a.test", "/page");
    assert_eq!(page.text(), "hello\nserved by waypost\n");
    assert_eq!((page.fields.get("content-length"), page.fields.get("etag")), (Some("24"), None));
    assert_eq!(client.get("a.test", "/chunks").text(), "hi\nserved by waypost\n");
    let image = client.get("a.test", "/image");
    assert_eq!((image.text().as_str(), image.fields.get("etag")), ("png", Some("\"2\"")));
    let head = client.exchange("HEAD /page HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!((head.status, head.fields.get("content-length")), (200, None));
    assert_eq!(server.connections(), 1, "the connection to the server was not used again");
}

#[test]
fn the_page_about_writing_a_backend_shows_the_file_as_it_is() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let read = |path: &str| std::fs::read_to_string(format!("{root}/{path}")).unwrap();
    let (page, file) = (read("docs/writing-a-backend.md"), read("examples/own-backend/footer.rs"));
    let shown = format!("```rust\n{file}```\n");
    assert!(page.contains(&shown), "docs/writing-a-backend.md differs from examples/own-backend/footer.rs");
}
