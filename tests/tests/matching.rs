//! Which instance answers for which host and path: the matching rules of the route table, seen over HTTP.

use std::collections::BTreeMap;
use std::fmt::Write;

use waypost_tests::{Client, Port, Random, Response, Router, Upstream};

/// A router and the upstreams of its routes, each of which answers with its own name.
struct Site {
    router: Router,
    upstreams: BTreeMap<&'static str, Upstream>,
}

impl Site {
    /// Adds `(name, host, path)` for each route; a path of "" is none.
    fn new(routes: &[(&'static str, &str, &str)]) -> Site {
        let (router, mut upstreams) = (Router::start(), BTreeMap::new());
        for (name, host, path) in routes {
            let upstream = Upstream::named(name);
            let path = if path.is_empty() { vec![] } else { vec!["--path", path] };
            router.route_add(host, &[upstream.address()], &path);
            upstreams.insert(*name, upstream);
        }
        Site { router, upstreams }
    }

    fn get(&self, host: &str, path: &str) -> Response {
        self.router.connect().get(host, path)
    }

    /// Asserts who answers: a name, or a status where nobody does.
    fn assert_all(&self, cases: &[(&str, &str, &str)]) {
        let mut client = self.router.connect();
        let faults: Vec<String> = cases
            .iter()
            .filter_map(|(host, path, expected)| {
                let found = who(&client.get(host, path));
                (found != *expected).then(|| format!("{host} {path}: expected {expected}, found {found}"))
            })
            .collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}

/// Who answered: an upstream by its name, or the router by its status.
fn who(response: &Response) -> String {
    if response.status == 200 { response.text() } else { response.status.to_string() }
}

#[test]
fn the_most_specific_host_wins() {
    let site = Site::new(&[
        ("exact", "www.a.example.com", ""),
        ("deep", "*.a.example.com", ""),
        ("wide", "*.example.com", ""),
        ("com", "*.com", ""),
        ("any", "*", ""),
    ]);
    site.assert_all(&[
        ("www.a.example.com", "/", "exact"),
        ("other.a.example.com", "/", "deep"),
        ("x.www.a.example.com", "/", "deep"),
        ("a.example.com", "/", "wide"),
        ("b.example.com", "/", "wide"),
        ("x.y.z.example.com", "/", "wide"),
        ("example.com", "/", "com"),
        ("other.com", "/", "com"),
        ("com", "/", "any"),
        ("example.org", "/", "any"),
        ("127.0.0.1", "/", "any"),
        ("[::1]", "/", "any"),
        ("localhost", "/", "any"),
        ("wwwxa.example.com", "/", "wide"),
        ("notexample.com", "/", "com"),
    ]);
}

#[test]
fn a_wildcard_does_not_match_its_own_domain() {
    let site = Site::new(&[("wide", "*.example.com", "")]);
    site.assert_all(&[
        ("example.com", "/", "404"),
        ("www.example.com", "/", "wide"),
        ("a.b.c.d.e.f.example.com", "/", "wide"),
        ("wwwexample.com", "/", "404"),
        ("example.com.org", "/", "404"),
    ]);
}

#[test]
fn a_host_is_compared_without_case_port_and_final_dot() {
    let site =
        Site::new(&[("a", "www.Example.com", ""), ("six", "[::1]", ""), ("wide", "*.EXAMPLE.org", "")]);
    site.assert_all(&[
        ("www.example.com", "/", "a"),
        ("WWW.EXAMPLE.COM", "/", "a"),
        ("www.example.com:8080", "/", "a"),
        ("www.example.com:", "/", "a"),
        ("www.example.com.", "/", "a"),
        ("Www.Example.Com.:443", "/", "a"),
        ("[::1]:8080", "/", "six"),
        ("[::1]", "/", "six"),
        ("a.Example.ORG.:1", "/", "wide"),
    ]);
}

#[test]
fn path_prefixes_win_longest_first_on_whole_segments() {
    let site = Site::new(&[
        ("plain", "p.test", ""),
        ("api", "p.test", "/api"),
        ("v1", "p.test", "/api/v1"),
        ("slash", "p.test", "/dir/"),
        ("only", "only.test", "/api"),
        ("fallback", "*.test", ""),
    ]);
    site.assert_all(&[
        ("p.test", "/", "plain"),
        ("p.test", "/api", "api"),
        ("p.test", "/api/", "api"),
        ("p.test", "/api/x", "api"),
        ("p.test", "/api?x=/api/v1", "api"),
        ("p.test", "/apix", "plain"),
        ("p.test", "/ap", "plain"),
        ("p.test", "/API", "plain"),
        ("p.test", "/api/v1", "v1"),
        ("p.test", "/api/v1/x/y", "v1"),
        ("p.test", "/api/v10", "api"),
        ("p.test", "/x/api/v1", "plain"),
        ("p.test", "/dir/x", "slash"),
        ("p.test", "/?/api", "plain"),
        ("only.test", "/api/x", "only"),
        // An entry whose instances are all for other paths has none to offer.
        ("only.test", "/x", "fallback"),
    ]);
}

#[test]
fn the_path_that_is_matched_is_the_path_that_is_sent() {
    let site = Site::new(&[("plain", "p.test", ""), ("api", "p.test", "/api")]);
    for (path, expected) in [
        ("/api/../x", "api"),
        ("/api/..%2fx", "api"),
        ("/api%2fx", "plain"),
        ("/%61pi", "plain"),
        ("//api", "plain"),
        ("/./api", "plain"),
        ("/x/../api", "plain"),
        ("/x%5c..%5capi", "plain"),
        ("/api;x=y", "plain"),
        ("/api//x", "api"),
        ("/x?a=b&c=%20'()*+,;:@!$", "plain"),
        ("/x?", "plain"),
    ] {
        let upstream = &site.upstreams[expected];
        upstream.forget();
        assert_eq!(site.get("p.test", path).text(), expected, "{path}");
        assert_eq!(upstream.request().target, path);
    }
}

#[test]
fn nothing_that_matches_is_a_404() {
    let site = Site::new(&[("a", "a.test", ""), ("api", "p.test", "/api")]);
    site.assert_all(&[("b.test", "/", "404"), ("p.test", "/x", "404"), ("www.a.test", "/", "404")]);
}

#[test]
fn a_table_that_is_empty_is_a_404() {
    let router = Router::start();
    assert_eq!(router.connect().get("a.test", "/").status, 404);
}

#[test]
fn an_entry_whose_instances_are_all_down_is_a_503_with_retry_after() {
    let router = Router::start();
    let (one, two) = (Port::free(), Port::free());
    router.route_add("down.test", &[one.address(), two.address()], &[]);
    let mut client = router.connect();
    // The first finds it out, the others know it.
    for attempt in 0..5 {
        let response = client.get("down.test", "/");
        assert_eq!(response.status, 503, "attempt {attempt}");
        let after = response.fields.get("retry-after").expect("Retry-After");
        assert!(after.parse::<u32>().is_ok(), "{after}");
    }
}

#[test]
fn an_entry_whose_instances_are_all_down_leaves_the_host_to_the_next() {
    let site = Site::new(&[("wide", "*.test", "")]);
    site.router.route_add("down.test", &[Port::free().address()], &[]);
    // Of the first, the router learns that the instance is down; it may be answered by the next entry.
    let first = who(&site.get("down.test", "/"));
    assert!(first == "wide" || first == "503", "{first}");
    for _ in 0..5 {
        assert_eq!(who(&site.get("down.test", "/")), "wide");
    }
}

#[test]
fn a_path_whose_instances_are_all_down_is_left_to_the_shorter() {
    let site = Site::new(&[("plain", "p.test", "")]);
    site.router.route_add("p.test", &[Port::free().address()], &["--path", "/api"]);
    site.get("p.test", "/api");
    for _ in 0..5 {
        assert_eq!(who(&site.get("p.test", "/api")), "plain");
    }
}

#[test]
fn an_absolute_target_has_the_say_over_host() {
    let site = Site::new(&[("a", "a.test", ""), ("b", "b.test", "")]);
    for (line, host, expected, sent_target, sent_host) in [
        ("GET http://a.test/x?y HTTP/1.1", "a.test", "a", "/x?y", "a.test"),
        ("GET http://a.test/x HTTP/1.1", "b.test", "a", "/x", "a.test"),
        ("GET http://A.test:81/x HTTP/1.1", "b.test", "a", "/x", "A.test:81"),
        ("GET HTTP://a.test HTTP/1.1", "b.test", "a", "/", "a.test"),
        ("GET http://a.test?q HTTP/1.1", "b.test", "a", "/?q", "a.test"),
        ("GET http://b.test/ HTTP/1.0", "a.test", "b", "/", "b.test"),
    ] {
        let upstream = &site.upstreams[expected];
        upstream.forget();
        let response = site.router.connect().exchange(format!("{line}\r\nHost: {host}\r\n\r\n"));
        assert_eq!(response.text(), expected, "{line}");
        let request = upstream.request();
        assert_eq!(request.target, sent_target, "{line}");
        assert_eq!(request.fields.get("host"), Some(sent_host), "{line}");
    }
}

#[test]
fn an_absolute_target_of_http_1_0_needs_no_host() {
    let site = Site::new(&[("a", "a.test", "")]);
    assert_eq!(site.router.connect().exchange("GET http://a.test/ HTTP/1.0\r\n\r\n").text(), "a");
    assert_eq!(site.upstreams["a"].request().fields.get("host"), Some("a.test"));
}

#[test]
fn options_of_the_server_as_a_whole_is_routed() {
    let site = Site::new(&[("a", "a.test", "")]);
    let response = site.router.connect().exchange("OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(response.text(), "a");
    assert_eq!(site.upstreams["a"].request().target, "*");
}

#[test]
fn a_removed_route_is_gone_and_a_removed_instance_gets_nothing_more() {
    let site = Site::new(&[("a", "r.test", ""), ("b", "r.test", "")]);
    let b = site.upstreams["b"].address().to_string();
    site.router.cli_ok(["route", "remove", "r.test", &b]);
    for _ in 0..10 {
        assert_eq!(who(&site.get("r.test", "/")), "a");
    }
    site.router.cli_ok(["route", "remove", "r.test"]);
    assert_eq!(site.get("r.test", "/").status, 404);
}

#[test]
fn requests_are_spread_over_all_instances() {
    let site = Site::new(&[("a", "s.test", ""), ("b", "s.test", ""), ("c", "s.test", "")]);
    let mut client = site.router.connect();
    let mut counts = BTreeMap::new();
    for _ in 0..300 {
        *counts.entry(client.get("s.test", "/").text()).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 3, "{counts:?}");
    assert!(counts.values().all(|count| *count > 30), "{counts:?}");
}

#[test]
fn an_instance_of_weight_zero_is_drained() {
    let site = Site::new(&[("a", "w.test", "")]);
    let drained = Upstream::named("drained");
    site.router.route_add("w.test", &[drained.address()], &["--weight", "0"]);
    for _ in 0..20 {
        assert_eq!(who(&site.get("w.test", "/")), "a");
    }
}

/// The rules again, as plainly as they can be said: `(host, path, name)` for each route, a path of "" for
/// none; the first that serves a request, or none.
fn model<'r>(routes: &'r [(String, String, &'static str)], host: &str, path: &str) -> Option<&'r str> {
    let mut candidates = vec![host.to_owned()];
    let labels: Vec<&str> = host.split('.').collect();
    candidates.extend((1..labels.len()).map(|skipped| format!("*.{}", labels[skipped..].join("."))));
    candidates.push("*".to_owned());
    candidates.iter().find_map(|candidate| {
        let covers = |prefix: &str| path == prefix || path.starts_with(&format!("{prefix}/"));
        routes
            .iter()
            .filter(|(pattern, prefix, _)| pattern == candidate && (prefix.is_empty() || covers(prefix)))
            .max_by_key(|(_, prefix, _)| prefix.len())
            .map(|(_, _, name)| *name)
    })
}

#[test]
fn random_hosts_and_paths_are_routed_as_the_model_says() {
    const NAMES: [&str; 8] = ["0", "1", "2", "3", "4", "5", "6", "7"];
    const LABELS: [&str; 4] = ["a", "b", "com", "xn--a"];
    const SEGMENTS: [&str; 4] = ["/api", "/apix", "/v1", "/"];
    let mut random = Random::new();
    let seed = random.seed();
    let upstreams = NAMES.map(Upstream::named);
    let router = Router::start();

    fn host(random: &mut Random) -> String {
        let count = 1 + random.below(4);
        let labels: Vec<&str> = (0..count).map(|_| *random.pick(&LABELS)).collect();
        labels.join(".")
    }
    fn path(random: &mut Random, most: usize) -> String {
        let count = random.below(most);
        let path: String = (0..count).map(|_| *random.pick(&SEGMENTS[..3])).collect();
        path
    }

    let mut routes: BTreeMap<(String, String), &'static str> = BTreeMap::new();
    for _ in 0..60 {
        let pattern = match random.below(5) {
            0 => "*".to_owned(),
            1 | 2 => format!("*.{}", host(&mut random)),
            _ => host(&mut random),
        };
        // "*" for every path would leave nothing to the 404.
        let prefix = if pattern == "*" { "/api/v1".to_owned() } else { path(&mut random, 3) };
        let name = *random.pick(&NAMES);
        // An entry has an address once.
        if !routes.iter().any(|((other, _), used)| *other == pattern && *used == name) {
            routes.insert((pattern, prefix), name);
        }
    }
    let mut lines = String::new();
    for ((pattern, prefix), name) in &routes {
        let address = upstreams[name.parse::<usize>().unwrap()].address();
        let path = if prefix.is_empty() { String::new() } else { format!(r#","path":"{prefix}""#) };
        writeln!(lines, r#"{{"host":"{pattern}","address":"{address}"{path}}}"#).unwrap();
    }
    router.import(&lines);

    let routes: Vec<_> =
        routes.into_iter().map(|((pattern, prefix), name)| (pattern, prefix, name)).collect();
    let mut client: Client = router.connect();
    for _ in 0..600 {
        let (host, mut path) = (host(&mut random), path(&mut random, 4));
        if path.is_empty() || random.below(4) == 0 {
            path.push('/');
        }
        let expected = model(&routes, &host, &path).unwrap_or("404");
        let spelled = match random.below(4) {
            0 => host.to_uppercase(),
            1 => format!("{host}."),
            2 => format!("{host}:8080"),
            _ => host.clone(),
        };
        let found = who(&client.get(&spelled, &path));
        assert_eq!(found, expected, "{spelled}{path} with WAYPOST_TEST_SEED={seed} and {routes:#?}");
    }
}
