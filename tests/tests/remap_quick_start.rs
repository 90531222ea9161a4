//! The first steps of the memcached table's page, as they stand there: with the ports they name, in a network of
//! their own.

use std::process::Command;

use waypost_tests::{Finished, Namespace, Process, eventually, program};

const PAGE: &str = include_str!("../../docs/memcached-table.md");

/// The first block of this language in the page that has these words.
fn block(language: &str, words: &str) -> &'static str {
    let fence = format!("```{language}\n");
    let mut blocks = PAGE.split(fence.as_str()).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.find(|block| block.contains(words)).unwrap_or_else(|| panic!("no {language} with {words:?}"))
}

fn run(command: &mut Command) -> Finished {
    let finished = Process::run(command);
    assert_eq!(finished.code, Some(0), "{command:?}: {finished:#?}");
    finished
}

#[test]
fn the_page_s_first_steps_work_as_they_stand() {
    let network = Namespace::create();
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let _memcached = Process::start(network.command("memcached").args(["-u", "root", "-l", "127.0.0.1"]));
    let mut server = network.command("/usr/bin/python3");
    server.args(["-m", "http.server", "8080", "--bind", "127.0.0.1"]).current_dir(directory.path());
    let _server = Process::start(&mut server);
    // `waypost serve …`, of which the first word is the program.
    let serve = block("sh", "waypost serve").split_whitespace().skip(1);
    let program = program().to_str().expect("a path in UTF-8");
    let mut router = network.command(program);
    let _router = Process::start(router.args(serve).current_dir(directory.path()));
    for port in ["11211", "8080", "80"] {
        eventually("a port to be listened on", || {
            let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
            let tried = Process::run(network.command("bash").args(["-c", &connect]));
            (tried.code == Some(0)).then_some(())
        });
    }
    let python = run(network.command("/usr/bin/python3").args(["-c", block("python", "import memcache")]));
    assert_eq!(python.stdout, "http://127.0.0.1:8080\n");
    let curl = run(network.command("sh").args(["-c", block("sh", "curl -v")]));
    assert!(curl.stderr.contains("< HTTP/1.1 200 OK"), "{}", curl.stderr);
    assert!(curl.stderr.contains("SimpleHTTP"), "it was not the server behind the router: {}", curl.stderr);
}
