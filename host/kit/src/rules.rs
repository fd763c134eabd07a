//! The page of rules, which `larder plugin rules` prints.

/// The page: Markdown, with a section for each rule, whose heading is its name.
pub const RULES: &str = include_str!("../../docs/plugins/rules.md");

/// The section of one rule, without its heading.
pub fn rule(name: &str) -> Option<&'static str> {
    let heading = format!("\n### {name}\n");
    let (_, rest) = RULES.split_once(&*heading)?;
    let end = rest.find("\n#").unwrap_or(rest.len());
    rest.get(..end).map(str::trim)
}
