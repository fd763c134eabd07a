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

#[cfg(test)]
mod tests {
    use super::*;

    /// What names rules.
    const SOURCES: [&str; 12] = [
        include_str!("cases.rs"),
        include_str!("cases/damage.rs"),
        include_str!("cases/full.rs"),
        include_str!("cases/outside.rs"),
        include_str!("cases/trouble.rs"),
        include_str!("report.rs"),
        include_str!("sandboxed.rs"),
        include_str!("stories.rs"),
        include_str!("../../runtime/src/component/direct.rs"),
        include_str!("../../runtime/src/sandbox/check.rs"),
        include_str!("../../../plugins/sdk/src/testing/checker.rs"),
        include_str!("../../../plugins/sdk/src/testing/finding.rs"),
    ];

    fn is_rule(text: &str) -> bool {
        let is_word = |it: &str| !it.is_empty() && it.chars().all(|c| c.is_ascii_lowercase());
        let parts = text.split_once('.');
        parts.is_some_and(|(of, rule)| is_word(of) && is_word(rule) && rule != "rs")
    }

    #[test]
    fn each_rule_has_a_section() {
        let texts = SOURCES.iter().flat_map(|source| source.split('"'));
        let functions = [
            "write",
            "refresh",
            "find",
            "read",
            "services",
            "operations",
            "purge",
            "retire",
            "repair",
        ];
        let errors = functions.map(|function| format!("{function}.error"));
        let named = texts.filter(|text| is_rule(text)).map(str::to_owned);
        let all: Vec<String> = named.chain(errors).collect();
        assert!(all.len() > 50, "{all:?}");
        for name in all {
            assert!(rule(&name).is_some_and(|text| text.len() > 10), "{name}");
        }
        assert_eq!(rule("no.such"), None);
    }
}
