//! The README says what the code says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use larder::config;
use larder::telemetry::METRICS;

fn readme() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    std::fs::read_to_string(path).expect("README.md stands at the top")
}

fn own_readme() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    std::fs::read_to_string(path).expect("host/README.md")
}

#[test]
fn the_readme_has_the_table_of_settings() {
    let table = config::markdown();
    assert!(
        readme().contains(table.trim()),
        "paste what `larder config table` prints into README.md:\n{table}"
    );
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
