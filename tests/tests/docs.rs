//! What the pages show is what the program takes: every configuration on them is checked by `waypost check`, every
//! table kept by hand is listed.

use std::path::Path;
use std::process::Command;

use waypost_tests::{Process, program};

/// The TOML blocks of a page, each with its line.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line.trim() == "```toml" {
            let block: Vec<&str> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
            blocks.push((number + 1, block.join("\n")));
        }
    }
    blocks
}

#[test]
fn every_configuration_on_a_page_is_a_good_one() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut pages = vec![root.join("README.md"), root.join("examples/hierarchy/waypost.toml")];
    let docs = std::fs::read_dir(root.join("docs")).unwrap();
    pages.extend(
        docs.map(|page| page.unwrap().path()).filter(|page| page.extension().is_some_and(|e| e == "md")),
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("page.toml");
    // A page may name a directory that this machine doesn't have.
    let www = directory.path().join("www");
    std::fs::create_dir(&www).unwrap();
    let mut checked = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        let whole = page.extension().is_some_and(|extension| extension == "toml");
        let blocks = if whole { vec![(1, text)] } else { blocks(&text) };
        for (line, block) in blocks {
            std::fs::write(&file, block.replace("/var/www", &www.display().to_string())).unwrap();
            let mut command = Command::new(program());
            match block.contains("[[route]]") {
                true => command.args(["route", "list", "--table", &format!("file:{}", file.display())]),
                false => command.arg("check").arg(&file),
            };
            let finished = Process::run(&mut command);
            assert_eq!(finished.code, Some(0), "{}:{line}: {finished:#?}", page.display());
            checked += 1;
        }
    }
    assert!(checked >= 5, "only {checked} were found");
}
