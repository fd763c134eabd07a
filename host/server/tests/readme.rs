//! The README says what the code says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use larder::config::{self, Config, Sources};
use larder_core::telemetry::METRICS;

fn readme() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    std::fs::read_to_string(path).expect("README.md stands at the top")
}

fn own_readme() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    std::fs::read_to_string(path).expect("host/README.md")
}

#[test]
fn the_readme_has_the_table_of_settings() {
    let table = config::markdown();
    assert!(
        own_readme().contains(table.trim()),
        "paste what `larder config table` prints into host/README.md:\n{table}"
    );
}

#[test]
fn the_readmes_configuration_is_one() {
    let readme = readme();
    let section = readme
        .split("\n## ")
        .find(|part| part.starts_with("Configuration\n"));
    let yaml = section.and_then(|section| section.split("```").nth(1));
    let yaml = yaml.and_then(|block| block.strip_prefix("yaml\n"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("larder.yaml");
    std::fs::write(&file, yaml.expect("an example in YAML")).unwrap();
    let config = Config::load(&Sources {
        file: Some(file),
        environment: Vec::new(),
        flags: Vec::new(),
    });
    let config = config.unwrap();
    assert!(config.tenancy.enabled && config.grpc.tls.cert.is_some());
}

#[test]
fn the_readme_has_a_row_for_each_metric_and_no_other() {
    let readme = own_readme();
    let section = readme
        .split("\n## ")
        .find(|section| section.starts_with("Metrics\n"))
        .expect("a section on metrics");
    let rows: Vec<&str> = section
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

#[test]
fn the_readme_stays_readable() {
    assert!(readme().lines().count() <= 200);
}
