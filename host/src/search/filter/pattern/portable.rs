//! The constructs of RE2 that Jaeger refuses, as the backends it knows do not all have them.

use super::node::{Flags, Node, Op};

/// Looks through the tree from the top and from the left, as Jaeger does, for the first thing that it refuses.
///
/// # Errors
/// Jaeger's text for that thing.
pub(super) fn check(node: &Node) -> Result<(), &'static str> {
    match node.op {
        Op::Anchor => {
            return Err(
                "operator \"regex\" matches anywhere in the value, so a pattern cannot anchor itself",
            );
        }
        Op::Boundary => return Err("operator \"regex\" takes a pattern without word boundaries"),
        _ => {}
    }
    if node.flags.has(Flags::NON_GREEDY) {
        return Err(
            "operator \"regex\" asks whether the value matches, so a quantifier cannot be lazy",
        );
    }
    if node.folds() {
        return Err("operator \"regex\" matches case-sensitively, so a pattern cannot fold case");
    }
    node.subs().iter().try_for_each(check)
}
