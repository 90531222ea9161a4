//! What a whole configuration means, and what is said of one that is wrong.

use waypost_table::Balance;

use super::*;
use crate::backends::BackendSpec;

fn lines(text: &str) -> Vec<String> {
    match Config::from_text(text, Some("w.toml".into()), &[]) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.lines().collect(),
    }
}

fn config(text: &str) -> Config {
    match Config::from_text(text, Some("w.toml".into()), &[]) {
        Ok(config) => config,
        Err(problems) => panic!("{}", problems.lines().collect::<Vec<_>>().join("\n")),
    }
}

fn flag(key: &str, name: &'static str, text: &str) -> Override {
    Override { key: key.into(), text: text.into(), place: Place::Flag(name) }
}

#[test]
fn nothing_written_is_the_router_of_the_first_minute() {
    let config = config("");
    assert_eq!(config.listen.http, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(config.listen.admin, "127.0.0.1:8081".parse().unwrap());
    assert_eq!(config.table_address().to_string(), "embedded:waypost-data");
    assert_eq!(config.stats_address().to_string(), "embedded:waypost-data");
    assert_eq!(config.access_log(), Path::new("waypost-data/access.json"));
    assert_eq!(config.general.entry, "routes");
    assert!(matches!(config.backend("routes").unwrap().spec, BackendSpec::Routes(_)));
}

#[test]
fn stores_follow_the_data_directory_unless_they_are_named() {
    let moved = config("data = '/srv/w'");
    assert_eq!(moved.table_address().to_string(), "embedded:/srv/w");
    assert_eq!(moved.access_log(), Path::new("/srv/w/access.json"));
    let named = config("data = '/srv/w'\n[table]\nurl = 'file:r.toml'\n[stats]\naccess_log = 'a.json'");
    assert_eq!(named.table_address().to_string(), "file:r.toml");
    assert_eq!(named.access_log(), Path::new("a.json"));
}

#[test]
fn every_kind_of_value_reaches_its_key() {
    let config = config(
        r#"
        workers = 3
        log_level = "debug"
        node_id = "6f3f9b3e-0d4c-4b59-8d5e-1f6f3f1c2a10"
        drain_timeout = "1m"
        [listen]
        http = ["0.0.0.0:80", "[::]:80"]
        [table]
        balance = "least_requests"
        [limits]
        max_body = "8MiB"
        connections_per_client = "off"
        [forwarded]
        trusted = ["10.0.0.0/8", "::1"]
        via = true
        "#,
    );
    assert_eq!(config.general.workers, Some(3));
    assert_eq!(config.general.log_level, LogLevel::Debug);
    assert!(config.general.node_id.is_some());
    assert_eq!(config.general.drain_timeout.as_secs(), 60);
    assert_eq!(config.listen.http.len(), 2);
    assert_eq!(config.table.balance, Balance::LeastRequests);
    assert_eq!(config.limits.max_body.get(), Some(Size(8 << 20)));
    assert_eq!(config.limits.connections_per_client.get(), None);
    assert_eq!(config.forwarded.trusted.len(), 2);
    assert!(config.forwarded.via && !config.forwarded.forwarded);
}

#[test]
fn all_errors_are_told_at_once_each_with_its_line() {
    let text = "\
lisen = 1
workers = \"two\"

[listen]
htp = []
https = [\"0.0.0.0:443\"]
admin = \"localhost:1\"

[table]
url = \"redis://10.0.0.1:port\"
balance = \"rondom\"

[limits]
header_timeout = \"10\"
request_line = true

[tabel]
x = 1
";
    let found = lines(text);
    let expected = [
        "w.toml:1: unknown key `lisen` (did you mean `listen`?)",
        "w.toml:2: `workers`: expected a number from 0 to 4294967295, found a string",
        "w.toml:5: unknown key `listen.htp` (did you mean `http`?)",
        "w.toml:6: `listen.https` is not supported in this version: take it out",
        "w.toml:7: `listen.admin`: expected an address as 127.0.0.1:8080 or [::1]:8080, found \"localhost:1\"",
        "w.toml:10: `table.url`: this is no address of a server: '10.0.0.1:port' is not HOST or HOST:PORT",
        "w.toml:11: `table.balance`: \"rondom\" is not one of p2c, random, round_robin, least_requests, hash \
         (did you mean `random`?)",
        "w.toml:14: `limits.header_timeout`: expected a duration as \"500ms\", \"30s\", \"2m\" or \"1h\", found \"10\"",
        "w.toml:15: `limits.request_line`: expected a size as \"32KiB\", \"8MiB\" or a number of bytes, found true \
         or false",
        "w.toml:17: unknown section `tabel` (did you mean `table`?)",
    ];
    assert_eq!(found, expected, "\n{}", found.join("\n"));
}

#[test]
fn everything_wrong_in_a_list_or_a_table_of_fields_is_told_each_with_its_line() {
    let text = "\
entry = \"a\"

[backend.a]
type = \"switch\"
cases = [
    { pth = \"/x\", backend = \"b\" },
    { path = \"/x\", backend = \"b\" },
    { path = \"x\", backend = \"b\" },
]

[backend.b]
type = \"try_pass\"
members = [\"c\", \"c2\"]
pass_on = [501, \"conect_failure\", 99]

[backend.c]
type = \"headers\"
backend = \"routes\"
request_set = { Connection = \"x\", fine = \"y\", \"a b\" = \"z\" }

[backend.c2]
type = \"respond\"
status = 200
";
    let found = lines(text);
    let expected = [
        "w.toml:6: `backend.a.cases`: unknown key `pth` (did you mean `path`?)",
        "w.toml:8: `backend.a.cases`: `path`: \"x\" is no path: it begins with / and has no query",
        "w.toml:14: `backend.b.pass_on`: expected a status from 200 to 599, found 99 (or write \
         \"connect_failure\")",
        "w.toml:14: `backend.b.pass_on`: expected a status from 200 to 599, or \"connect_failure\", found \
         \"conect_failure\"",
        "w.toml:19: `backend.c.request_set`: \"a b\" is not the name of a field",
        "w.toml:19: `backend.c.request_set`: the field connection is the router's own: take it out",
    ];
    assert_eq!(found, expected, "\n{}", found.join("\n"));
}

#[test]
fn broken_toml_is_told_with_its_line_beside_other_errors() {
    let found = lines("workers = 0\n[listen\nhttp = [\n");
    assert!(found.iter().any(|line| line.starts_with("w.toml:2: ")), "{found:?}");
    let found = lines("workers = 1\nworkers = 2\n[stats]\nx = 1\n");
    assert!(found.iter().any(|line| line.starts_with("w.toml:2: ")), "{found:?}");
    assert!(found.iter().any(|line| line.starts_with("w.toml:4: unknown key `stats.x`")), "{found:?}");
}

#[test]
fn a_section_that_is_no_table_is_an_error() {
    assert_eq!(lines("listen = 1"), ["w.toml:1: `listen`: expected a table, found a number"]);
    assert_eq!(lines("backend = 'x'"), ["w.toml:1: `backend`: expected a table, found a string"]);
    assert_eq!(lines("[backend]\nx = 1"), ["w.toml:2: `backend.x`: expected a table, found a number"]);
}

#[test]
fn a_key_of_the_whole_program_may_stand_below_a_section() {
    let text = "[stats]\naccess_log = 'a.json'\n\nentry = 'site'\n\n[backend.site]\ntype = 'respond'\n";
    assert_eq!(config(text).general.entry, "site");
    let found = lines("workers = 1\n[stats]\nworkers = 2\n");
    let expected =
        "w.toml:3: `workers` is a key of the whole program and stands there twice, the first on line 1";
    assert_eq!(found, [expected]);
    assert_eq!(lines("[stats]\nbalance = 'p2c'").len(), 1);
}

#[test]
fn a_flag_stands_over_the_file() {
    let overrides =
        [flag("listen.http", "--listen", "127.0.0.1:1,127.0.0.1:2"), flag("data", "--data", "/d")];
    let text = "data = '/file'\n[listen]\nhttp = ['127.0.0.1:9']\n";
    let config = Config::from_text(text, None, &overrides).unwrap();
    assert_eq!(config.listen.http, ["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()]);
    assert_eq!(config.general.data, Path::new("/d"));
}

#[test]
fn an_admin_api_beyond_loopback_needs_a_token() {
    let found = lines("[listen]\nadmin = '0.0.0.0:8081'");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("w.toml:2: `listen.admin`: on 0.0.0.0:8081 anyone"), "{found:?}");
    let problems = Config::from_text("", None, &[flag("listen.admin", "--admin", "10.0.0.1:1")]).unwrap_err();
    assert!(problems.to_string().starts_with("--admin: `listen.admin`: on 10.0.0.1:1 anyone"), "{problems}");

    assert_eq!(lines("[listen]\nadmin = '0.0.0.0:8081'\n[admin]\ntoken_file = 't'"), [""; 0]);
    assert_eq!(
        lines("[admin]\ntoken = 'short'"),
        ["w.toml:2: `admin.token`: the token has 5 characters: use at least 16"]
    );
    assert_eq!(lines("[admin]\ntoken = '0123456789abcdef'\ntoken_file = 't'").len(), 1);
}

#[test]
fn values_that_would_serve_nobody_are_errors() {
    for text in [
        "workers = 0",
        "[listen]\nhttp = []",
        "[table]\ntries = 0",
        "[limits]\nheader_size = 0",
        "[limits]\nheader_count = 257",
        "[limits]\nidle_timeout = '0s'",
        "[limits]\nmax_connections = 0",
        "[listen]\nhttp = ['127.0.0.1:1', '127.0.0.1:1']",
        "[listen]\nhttp = ['127.0.0.1:8081']",
        "[backend.routes]\ntype = 'routes'\nbackends = ['a']\n[backend.a]\ntype = 'client'\nurl = 'http://a'\ntimeout = '0s'",
    ] {
        assert_eq!(lines(text).len(), 1, "{text}: {:?}", lines(text));
    }
    assert_eq!(lines("[listen]\nhttp = ['127.0.0.1:0', '127.0.0.1:0']\nadmin = '127.0.0.1:0'"), [""; 0]);
}

#[test]
fn what_the_table_of_the_file_does_not_have_is_an_error() {
    let text = "[table]\nurl = 'memcached://h'\nbalance = 'hash'\n[backend.routes]\ntype = 'routes'\n\
                balance = 'p2c'\nsticky_cookie = 'x'\nbackends = ['a']\n[backend.a]\ntype = 'respond'";
    let why = "a memcached table has one server a route, and none to choose from: take it out";
    let expected = [
        format!("w.toml:3: `table.balance`: {why}"),
        format!("w.toml:6: `backend.routes.balance`: {why}"),
        format!("w.toml:7: `backend.routes.sticky_cookie`: {why}"),
        "w.toml:8: `backend.routes.backends`: the routes of a memcached table point at servers, not at \
         backends: take it out"
            .to_owned(),
    ];
    assert_eq!(lines(text), expected);
    for key in ["ttl = '2s'", "negative_ttl = '2s'", "wildcards = true", "preserve_host = true"] {
        let (name, _) = key.split_once(' ').unwrap();
        let found = lines(&format!("[table]\nurl = 'redis://h'\n{key}"));
        assert_eq!(found, [format!("w.toml:3: `table.{name}`: only a memcached table has it: take it out")]);
        assert_eq!(lines(&format!("[table]\nurl = 'memcached://h'\n{key}")), [""; 0]);
    }
    // A flag may name another table for a while.
    let overrides = [flag("table.url", "--table", "embedded:d")];
    Config::from_text("[table]\nurl = 'memcached://h'\nttl = '2s'", None, &overrides).unwrap();
    Config::from_text("[table]\nttl = '2s'", None, &[]).unwrap();
}

#[test]
fn backends_are_read_by_their_type() {
    let config = config(
        r#"
        [backend.routes]
        type = "routes"
        balance = "hash"
        backends = ["app", "old", "gone"]
        sticky_cookie = "instance"
        [backend.app]
        type = "client"
        url = "http://10.0.0.1:8080"
        host_header = "app.internal"
        [backend.old]
        type = "redirect"
        to = "https://new.example.com$path$query"
        status = 301
        [backend.gone]
        type = "respond"
        status = 410
        headers = { content-type = "text/plain" }
        body = "gone\n"
        "#,
    );
    let names: Vec<&str> = config.backends.iter().map(|backend| backend.name.as_str()).collect();
    assert_eq!(names, ["app", "gone", "old", "routes"]);
    let types: Vec<&str> = config.backends.iter().map(|backend| backend.spec.type_name()).collect();
    assert_eq!(types, ["client", "respond", "redirect", "routes"]);
    let BackendSpec::Client(client) = &config.backend("app").unwrap().spec else { panic!("not a client") };
    assert_eq!((client.url.host.as_str(), client.url.port, client.timeout.as_secs()), ("10.0.0.1", 8080, 45));
}

#[test]
fn an_unknown_type_lists_the_known_ones() {
    let known = BackendSpec::TYPES.join(", ");
    assert_eq!(
        lines("entry = 'a'\n[backend.a]\ntype = 'clinet'"),
        [format!("w.toml:3: `backend.a.type`: \"clinet\" is not one of {known} (did you mean `client`?)")]
    );
    assert_eq!(
        lines("entry = 'a'\n[backend.a]\ntype = 'content'\nmount = '/'"),
        [format!(
            "w.toml:3: `backend.a.type`: \"content\" is not supported in this version: use one of {known}"
        )]
    );
    assert_eq!(
        lines("entry = 'a'\n[backend.a]\n"),
        [format!("w.toml:2: `backend.a` has no `type`: write one of {known}")]
    );
}

#[test]
fn a_key_that_must_be_written_is_missed_where_its_section_begins() {
    let found = lines("entry = 'a'\n[backend.a]\ntype = 'client'\n");
    assert_eq!(found, ["w.toml:2: `backend.a.url` is missing: write a server as \"http://10.0.0.1:8080\""]);
}

#[test]
fn names_that_lead_nowhere_are_errors() {
    let found = lines("entry = 'sit'\n[backend.site]\ntype = 'respond'");
    assert_eq!(found, ["w.toml:1: `entry`: there is no backend \"sit\" (did you mean `site`?)"]);
    let found = lines(
        "[backend.routes]\ntype = 'routes'\nbackends = ['ap', 'app', 'app']\n[backend.app]\ntype = 'respond'",
    );
    let expected = [
        "w.toml:3: `backend.routes.backends`: \"app\" stands there twice",
        "w.toml:3: `backend.routes.backends`: there is no backend \"ap\" (did you mean `app`?)",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_backend_that_nothing_reaches_is_an_error() {
    let found = lines("[backend.lost]\ntype = 'respond'\n");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("w.toml:1: nothing reaches the backend \"lost\""), "{found:?}");
    // Written, but the entry leads elsewhere.
    let found = lines("entry = 'a'\n[backend.a]\ntype = 'respond'\n[backend.routes]\ntype = 'routes'\n");
    assert!(found[0].starts_with("w.toml:4: nothing reaches the backend \"routes\""), "{found:?}");
    // Not written and not asked for: there is none.
    assert!(config("entry = 'a'\n[backend.a]\ntype = 'respond'").backend("routes").is_none());
}

#[test]
fn a_cycle_is_told_once_with_its_way() {
    let found = lines("[backend.routes]\ntype = 'routes'\nbackends = ['routes']");
    assert_eq!(found, ["w.toml:3: the backends lead back to \"routes\": routes -> routes"]);
    let found = lines(
        "entry = 'a'\n[backend.a]\ntype = 'routes'\nbackends = ['b']\n[backend.b]\ntype = 'routes'\nbackends = ['a']",
    );
    assert_eq!(found, ["w.toml:7: the backends lead back to \"a\": a -> b -> a"]);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let problems = Config::load(Some(Path::new("/nonexistent/w.toml")), &[]).unwrap_err();
    assert!(problems.to_string().starts_with("/nonexistent/w.toml: can't be read: "), "{problems}");
}

#[test]
fn a_file_that_is_not_utf8_is_told_with_its_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"workers = 1\n# \xff\n").unwrap();
    let problems = Config::load(Some(file.path()), &[]).unwrap_err();
    assert!(problems.to_string().ends_with(":2: not UTF-8: save the file as UTF-8"), "{problems}");
}

#[test]
fn the_one_line_for_many_errors_says_how_to_see_the_others() {
    let problems = Config::from_text("a = 1\nb = 2\nc = 3", Some("w.toml".into()), &[]).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "w.toml:1: unknown key `a` (and 2 more: `waypost check w.toml` shows them all)"
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[\\[\\]a-z\"'= .\n0-9{},#-]{0,200}") {
        let _ = Config::from_text(&text, None, &[]);
    }
}
