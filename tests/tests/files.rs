//! The `files` backend: what HTTP has for files, and nothing outside of the directory.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use waypost_tests::{Client, Response, Router};

struct Site {
    router: Router,
    directory: tempfile::TempDir,
}

impl Site {
    fn with(keys: &str) -> Site {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let router = Router::with()
            .config(format!(
                "entry = \"site\"\n[backend.site]\ntype = \"files\"\nroot = \"{}\"\n{keys}\n",
                root.display()
            ))
            .start();
        Site { router, directory }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.root().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn client(&self) -> Client {
        self.router.connect()
    }
}

fn ask(client: &mut Client, line: &str, fields: &str) -> Response {
    client.exchange(format!("{line} HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"))
}

#[test]
fn a_file_is_sent_with_its_type_and_validators() {
    let site = Site::with("cache_control = \"max-age=60\"");
    site.write("index.html", "<h1>index</h1>");
    site.write("a/b c.css", "body {}");
    site.write("empty.txt", "");
    site.write("größe", "utf-8");
    let mut client = site.client();
    let index = ask(&mut client, "GET /", "");
    assert_eq!((index.status, index.text().as_str()), (200, "<h1>index</h1>"));
    assert_eq!(index.fields.get("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(index.fields.get("cache-control"), Some("max-age=60"));
    assert!(index.fields.get("etag").unwrap().starts_with('"'));
    assert!(index.fields.get("last-modified").unwrap().ends_with("GMT"));
    assert_eq!(index.fields.get("accept-ranges"), Some("bytes"));
    let css = ask(&mut client, "GET /a/b%20c.css?v=1", "");
    assert_eq!(css.text(), "body {}");
    assert_eq!(css.fields.get("content-type"), Some("text/css; charset=utf-8"));
    assert_eq!(ask(&mut client, "GET /gr%C3%B6%C3%9Fe", "").text(), "utf-8");
    let empty = ask(&mut client, "GET /empty.txt", "");
    assert_eq!((empty.status, empty.fields.get("content-length")), (200, Some("0")));
    let head = ask(&mut client, "HEAD /a/b%20c.css", "");
    assert_eq!((head.status, head.fields.get("content-length"), head.body.len()), (200, Some("7"), 0));
    let post = client.exchange("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!((post.status, post.fields.get("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn a_large_file_comes_whole() {
    let site = Site::with("");
    let content: Vec<u8> = (0..5_000_003u32).map(|at| (at % 251) as u8).collect();
    site.write("large.bin", &content);
    let mut client = site.client();
    for _ in 0..2 {
        assert!(ask(&mut client, "GET /large.bin", "").body == content);
    }
}

#[test]
fn a_directory_has_a_slash_and_an_index() {
    let site = Site::with("index = [\"index.html\", \"home.txt\"]");
    site.write("docs/home.txt", "home");
    site.write("bare/other", "x");
    let mut client = site.client();
    for (path, location) in [("/docs", "/docs/"), ("/docs?a=b", "/docs/?a=b"), ("//docs", "/docs/")] {
        let response = ask(&mut client, &format!("GET {path}"), "");
        assert_eq!((response.status, response.fields.get("location")), (301, Some(location)), "{path}");
    }
    assert_eq!(ask(&mut client, "GET /docs/", "").text(), "home");
    assert_eq!(ask(&mut client, "GET /bare/", "").status, 404);
    assert_eq!(ask(&mut client, "GET /bare/other/", "").status, 404);
}

#[test]
fn a_client_with_a_copy_is_told_that_it_is_good() {
    let site = Site::with("");
    site.write("a.txt", "one");
    let mut client = site.client();
    let first = ask(&mut client, "GET /a.txt", "");
    let (etag, modified) = (first.fields.get("etag").unwrap(), first.fields.get("last-modified").unwrap());
    for (fields, status) in [
        (format!("If-None-Match: {etag}\r\n"), 304),
        (format!("If-None-Match: \"x\", W/{etag}\r\n"), 304),
        (format!("If-Modified-Since: {modified}\r\n"), 304),
        (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {modified}\r\n"), 200),
        (format!("If-Match: {etag}\r\n"), 200),
        ("If-Match: \"x\"\r\n".to_owned(), 412),
        ("If-Unmodified-Since: Tue, 01 Sep 2020 00:00:00 GMT\r\n".to_owned(), 412),
    ] {
        let response = ask(&mut client, "GET /a.txt", &fields);
        assert_eq!(response.status, status, "{fields}");
        if status == 304 {
            assert_eq!(response.fields.get("etag"), Some(etag), "{fields}");
            assert!(response.body.is_empty());
        }
    }
    site.write("a.txt", "three");
    let changed = ask(&mut client, "GET /a.txt", &format!("If-None-Match: {etag}\r\n"));
    assert_eq!((changed.status, changed.text().as_str()), (200, "three"));
}

#[test]
fn ranges_are_sent_one_or_several() {
    let site = Site::with("");
    site.write("a.txt", "0123456789");
    let mut client = site.client();
    for (range, status, body, content_range) in [
        ("bytes=0-3", 206, "0123", Some("bytes 0-3/10")),
        ("bytes=-3", 206, "789", Some("bytes 7-9/10")),
        ("bytes=8-", 206, "89", Some("bytes 8-9/10")),
        ("bytes=0-99", 206, "0123456789", Some("bytes 0-9/10")),
        ("bytes=5-2", 200, "0123456789", None),
        ("lines=1-2", 200, "0123456789", None),
    ] {
        let response = ask(&mut client, "GET /a.txt", &format!("Range: {range}\r\n"));
        assert_eq!((response.status, response.text().as_str()), (status, body), "{range}");
        assert_eq!(response.fields.get("content-range"), content_range, "{range}");
    }
    let none = ask(&mut client, "GET /a.txt", "Range: bytes=10-\r\n");
    assert_eq!((none.status, none.fields.get("content-range")), (416, Some("bytes */10")));

    let several = ask(&mut client, "GET /a.txt", "Range: bytes=0-1, 4-5 , -1\r\n");
    assert_eq!(several.status, 206);
    let kind = several.fields.get("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let part = |range: &str, text: &str| {
        format!(
            "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Range: bytes {range}/10\r\n\r\n{text}\r\n"
        )
    };
    let expected = [part("0-1", "01"), part("4-5", "45"), part("9-9", "9"), format!("--{boundary}--\r\n")];
    assert_eq!(several.text(), expected.concat());

    let etag = several.fields.get("etag").unwrap();
    let same = ask(&mut client, "GET /a.txt", &format!("Range: bytes=0-1\r\nIf-Range: {etag}\r\n"));
    assert_eq!(same.status, 206);
    let other = ask(&mut client, "GET /a.txt", "Range: bytes=0-1\r\nIf-Range: \"x\"\r\n");
    assert_eq!((other.status, other.body.len()), (200, 10));
}

#[test]
fn an_encoding_made_beforehand_is_sent_to_who_takes_it() {
    let site = Site::with("precompressed = true");
    for (name, content) in [("a.css", "plain"), ("a.css.gz", "gzipped"), ("a.css.br", "brotli")] {
        site.write(name, content);
    }
    let mut client = site.client();
    for (accept, body, encoding) in [
        ("", "plain", None),
        ("Accept-Encoding: gzip\r\n", "gzipped", Some("gzip")),
        ("Accept-Encoding: gzip, br\r\n", "brotli", Some("br")),
        ("Accept-Encoding: gzip, br;q=0\r\n", "gzipped", Some("gzip")),
        ("Accept-Encoding: zstd\r\n", "plain", None),
    ] {
        let response = ask(&mut client, "GET /a.css", accept);
        assert_eq!(response.text(), body, "{accept}");
        assert_eq!(response.fields.get("content-encoding"), encoding, "{accept}");
        assert_eq!(response.fields.get("content-type"), Some("text/css; charset=utf-8"), "{accept}");
        assert_eq!(response.fields.get("vary"), Some("Accept-Encoding"), "{accept}");
    }
}

#[test]
fn nothing_outside_of_the_directory_is_sent() {
    let site = Site::with("");
    std::fs::write(site.directory.path().join("secret"), "secret").unwrap();
    site.write("a/b", "inside");
    site.write(".git/config", "hidden");
    symlink("../secret", site.root().join("link")).unwrap();
    symlink("/etc/passwd", site.root().join("absolute")).unwrap();
    symlink("a/b", site.root().join("good")).unwrap();
    let mut client = site.client();
    for path in [
        "/../secret",
        "/a/../../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/a/%2e%2e/%2e%2e/secret",
        "/link",
        "/absolute",
        "/.git/config",
        "/a%00",
        "/%2fetc%2fpasswd",
        "/etc/passwd",
    ] {
        let response = ask(&mut client, &format!("GET {path}"), "");
        assert_eq!(response.status, 404, "{path}: {}", response.text());
    }
    assert_eq!(ask(&mut client, "GET /good", "").text(), "inside");
}

#[test]
fn links_and_hidden_names_are_found_only_if_told() {
    let site = Site::with("follow_symlinks = true\nhidden = true");
    std::fs::write(site.directory.path().join("outside"), "outside").unwrap();
    site.write(".git/config", "hidden");
    symlink("../outside", site.root().join("link")).unwrap();
    let mut client = site.client();
    assert_eq!(ask(&mut client, "GET /link", "").text(), "outside");
    assert_eq!(ask(&mut client, "GET /.git/config", "").text(), "hidden");
    assert_eq!(ask(&mut client, "GET /../outside", "").status, 404);
}

#[test]
fn a_file_that_becomes_shorter_is_never_taken_for_whole() {
    let site = Site::with("");
    site.write("shrinking", vec![b'x'; 64 << 20]);
    let mut wire = site.client().into_wire();
    wire.send("GET /shrinking HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    let head = wire.read_response_head("GET").unwrap();
    assert_eq!(head.fields.get("content-length"), Some("67108864"));
    // What has been sent fills the sockets' buffers; the rest is gone before it is read.
    std::fs::OpenOptions::new().write(true).open(site.root().join("shrinking")).unwrap().set_len(1).unwrap();
    let mut came = 0;
    let outcome = loop {
        match wire.read_some() {
            Ok(bytes) if bytes.is_empty() => break "closed",
            Ok(bytes) => came += bytes.len(),
            Err(_) => break "reset",
        }
    };
    assert!(came < 64 << 20, "all of it came");
    assert_eq!(outcome, "reset");
    // Nobody else is affected.
    site.write("other", "fine");
    assert_eq!(ask(&mut site.client(), "GET /other", "").text(), "fine");
}

#[test]
fn a_deployment_that_swaps_the_directory_is_seen_at_once() {
    let site = Site::with("");
    site.write("version", "1");
    let mut client = site.client();
    assert_eq!(ask(&mut client, "GET /version", "").text(), "1");
    let next = site.directory.path().join("next");
    std::fs::create_dir(&next).unwrap();
    std::fs::File::create(next.join("version")).unwrap().write_all(b"2").unwrap();
    std::fs::rename(site.root(), site.directory.path().join("old")).unwrap();
    std::fs::rename(&next, site.root()).unwrap();
    assert_eq!(ask(&mut client, "GET /version", "").text(), "2");
    std::fs::remove_dir_all(site.root()).unwrap();
    assert_eq!(ask(&mut client, "GET /version", "").status, 404);
}

#[test]
fn a_missing_file_may_say_that_it_is_for_the_next_backend() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("here"), "file").unwrap();
    let router = Router::with()
        .config(format!(
            "entry = \"site\"\n[backend.site]\ntype = \"files\"\nroot = \"{}\"\nmissing = 501\n",
            directory.path().display()
        ))
        .start();
    let mut client = router.connect();
    assert_eq!(ask(&mut client, "GET /here", "").text(), "file");
    assert_eq!(ask(&mut client, "GET /there", "").status, 501);
}
