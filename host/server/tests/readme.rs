//! Compares the README and the pages under `docs` with the code, and checks their links.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use larder::config::{self, Config, Sources};
use larder_core::telemetry::METRICS;

/// The folder of the workspace: the one above this crate that has the lock file.
fn root() -> PathBuf {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let root = above.find(|folder| folder.join("Cargo.lock").is_file());
    root.expect("the crate is in the workspace").to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file of the workspace with this extension, without build output and data folders.
fn files(extension: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                let name = name.to_string_lossy();
                // The last holds the compilers of plugins/examples.
                let others = [".git", "larder-data", ".tools"];
                let skipped = name.starts_with("target") || others.contains(&&*name);
                if !skipped {
                    walk(&path, extension, found);
                }
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), extension, &mut found);
    found
}

/// The content of the first fenced block in this language.
fn block<'a>(page: &'a str, language: &str) -> &'a str {
    let fence = format!("```{language}\n");
    let after = page.split_once(&fence).expect("a block in the language").1;
    after.split_once("```").expect("its end").0
}

// === tables and examples ===

#[test]
fn the_page_of_settings_has_the_table() {
    let table = config::markdown();
    assert!(
        read("host/docs/configuration.md").contains(table.trim()),
        "paste what `larder config table` prints into host/docs/configuration.md:\n{table}"
    );
}

#[test]
fn the_example_of_a_configuration_is_one() {
    let page = read("host/docs/configuration.md");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("larder.yaml");
    fs::write(&file, block(&page, "yaml")).unwrap();
    let config = Config::load(&Sources {
        file: Some(file),
        environment: Vec::new(),
        flags: Vec::new(),
    });
    let config = config.unwrap();
    assert!(config.tenancy.enabled && config.grpc.tls.cert.is_some());
}

#[test]
fn the_page_of_metrics_has_a_row_for_each_and_no_other() {
    let page = read("host/docs/metrics.md");
    let rows: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let wanted: Vec<String> = METRICS
        .iter()
        .map(|metric| {
            let labels: Vec<String> = metric
                .labels
                .iter()
                .map(|label| format!("`{label}`"))
                .collect();
            format!(
                "| `{}` | {} | {} | {} |",
                metric.name,
                metric.kind.as_str(),
                labels.join(", "),
                metric.meaning
            )
        })
        .collect();
    assert_eq!(rows, wanted);
}

/// The tests of the binary assert the lines of a start; the README has them with the default ports.
#[test]
fn the_readme_shows_what_a_start_prints() {
    let config = Config::default();
    let version = env!("CARGO_PKG_VERSION");
    let shown = format!(
        "$ cargo run --release\n\
         Plugin kv {version} (bundled), data in {}/kv\n\
         Serving Jaeger storage on {}\n\
         Serving admin HTTP on {}\n",
        config.data_dir.display(),
        config.grpc.endpoint,
        config.admin.endpoint,
    );
    let readme = read("README.md");
    assert_eq!(block(&readme, "console"), shown);
    let before = readme.split_once("```console").expect("the block").0;
    let note = "On a terminal, the server prints three lines besides its log\n(elsewhere all lines are [JSON]";
    assert!(before.contains(note), "{before}");
}

/// A newcomer reads it whole.
#[test]
fn the_readme_has_at_most_150_lines() {
    assert!(read("README.md").lines().count() <= 150);
}

/// Jaeger's exporter has its queue and its retries off unless told otherwise, and then loses spans while Larder restarts. The keys are
/// those of `exporterhelper.QueueBatchConfig` and `configretry.BackOffConfig`.
#[test]
fn each_configuration_of_jaegers_exporter_has_retries_and_a_queue() {
    let mut exporters = 0;
    let docs = files("md").into_iter();
    for page in
        docs.filter(|page| page.ends_with("README.md") || page.parent().unwrap().ends_with("docs"))
    {
        let text = fs::read_to_string(&page).unwrap();
        for after in text.split("```yaml\n").skip(1) {
            let yaml = after.split_once("```").expect("its end").0;
            if !yaml.contains("jaeger_storage_exporter:") {
                continue;
            }
            exporters += 1;
            let parsed: serde_json::Value = serde_saphyr::from_str(yaml).unwrap();
            let exporter = &parsed["exporters"]["jaeger_storage_exporter"];
            let place = page.display();
            assert_eq!(
                exporter["retry_on_failure"]["enabled"], true,
                "{place}: {exporter}"
            );
            let queue = &exporter["queue"];
            assert_ne!(queue["enabled"], false, "{place}: {exporter}");
            for bound in ["num_consumers", "queue_size"] {
                assert!(queue[bound].as_u64() > Some(0), "{place}: {exporter}");
            }
        }
    }
    assert!(exporters > 0, "the README has one");
}

/// Each function of the README's plugin is a required one of the SDK's trait.
#[test]
fn the_readme_shows_the_trait_of_plugins() {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let spaced = |text: &str| words(text).replace("( ", "(").replace(", )", ")");
    let sdk = spaced(&read("plugins/sdk/src/plugin.rs"));
    let shown = words(block(&read("README.md"), "rust"));
    let functions: Vec<&str> = shown
        .split(" fn ")
        .skip(1)
        .map(|function| function.split_once(" {").expect("a body").0)
        .collect();
    assert_eq!(functions.len(), 4);
    for signature in functions {
        assert!(sdk.contains(&format!("fn {signature};")), "{signature}");
    }
}

// === links ===

/// The targets of a page's links and images. Code is left out.
fn targets(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_block = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        }
        if in_block {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        let links = prose.split("](").skip(1);
        found.extend(links.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())));
    }
    found
}

/// The anchors that GitHub makes of a page's headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut in_block = false;
    let mut found = BTreeSet::new();
    for line in page.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        }
        let heading = line.trim_start_matches('#');
        if in_block || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = heading.trim().to_lowercase();
        let kept = kept.chars().filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        });
        found.insert(kept.collect());
    }
    found
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut checked = 0;
    for page in files("md") {
        let text = fs::read_to_string(&page).unwrap();
        for target in targets(&text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if path.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap().join(path)
            };
            let from = page.display();
            assert!(file.exists(), "{from}: `{target}` leads nowhere");
            if !anchor.is_empty() {
                let known = anchors(&fs::read_to_string(&file).unwrap());
                assert!(known.contains(anchor), "{from}: `{target}`: {known:?}");
            }
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} links were found");
}

/// A comment names a page by its path from the top of the repository.
#[test]
fn every_page_that_a_comment_names_is_there() {
    let mut named = 0;
    for file in files("rs") {
        let source = fs::read_to_string(&file).unwrap();
        let comments = source.lines().map(str::trim_start);
        for comment in comments.filter(|line| line.starts_with("//")) {
            for word in comment.split('`').skip(1).step_by(2) {
                let is_page = Path::new(word).extension().is_some_and(|it| it == "md");
                if is_page && word.contains('/') {
                    assert!(root().join(word).is_file(), "{}: {word}", file.display());
                    named += 1;
                }
            }
        }
    }
    assert!(named > 0, "no comment names a page");
}

#[test]
fn links_and_anchors_are_read_as_markdown_has_them() {
    let page = "# A `kv` page: one, two\n\
                see [it](a.md#b), `[not](this.md)` and ![plot](c.svg)\n\
                ```\n# no heading [nor](link.md)\n```\n";
    assert_eq!(targets(page), ["a.md#b", "c.svg"]);
    assert_eq!(
        anchors(page),
        BTreeSet::from(["a-kv-page-one-two".to_owned()])
    );
}

// === rules ===

/// Codes in a text, such as `Q2`: a letter of `rules.md` and a number. `Q4 to Q7` are four of them.
fn codes(text: &str) -> BTreeSet<(char, u32)> {
    let mut found = BTreeSet::new();
    let mut last = None;
    let mut words = text
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .peekable();
    while let Some(word) = words.next() {
        let code = word
            .chars()
            .next()
            .filter(|letter| "ADEFGOQRVW".contains(*letter))
            .and_then(|letter| Some((letter, word[1..].parse::<u32>().ok()?)));
        match (code, last) {
            (Some((letter, number)), Some((from, first))) if letter == from => {
                found.extend((first..=number).map(|number| (letter, number)));
            }
            (Some(code), _) => {
                found.insert(code);
            }
            (None, _) => {}
        }
        last = code.filter(|_| words.next_if_eq(&"to").is_some());
    }
    found
}

#[test]
fn every_rule_that_a_comment_cites_is_explained() {
    let page = read("host/docs/rules.md");
    let explained: BTreeSet<(char, u32)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" |"))
        .filter(|(code, _)| code.len() <= 3)
        .flat_map(|(code, _)| codes(code))
        .collect();
    let mut cited: BTreeMap<(char, u32), PathBuf> = BTreeMap::new();
    for file in files("rs") {
        let source = fs::read_to_string(&file).unwrap();
        let comments = source.lines().map(str::trim_start);
        for comment in comments.filter(|line| line.starts_with("//")) {
            let found = codes(comment).into_iter();
            cited.extend(found.map(|code| (code, file.clone())));
        }
    }
    for (code, file) in &cited {
        assert!(explained.contains(code), "{code:?} in {}", file.display());
    }
    let unused: Vec<_> = explained
        .iter()
        .filter(|it| !cited.contains_key(it))
        .collect();
    assert!(unused.is_empty(), "cited nowhere: {unused:?}");
}

#[test]
fn codes_are_read_with_their_ranges() {
    let found = codes("/// D2 to D4, W6 (V11); not X11, Q1x, kQ1 or E_1");
    let wanted = [('D', 2), ('D', 3), ('D', 4), ('V', 11), ('W', 6)];
    assert_eq!(found, BTreeSet::from(wanted));
}
