//! The constructs of RE2 that Jaeger refuses, as the backends it knows do not all have them.

use super::node::{Flags, Node, Op};
use super::parser::Tree;

const FOLD: &str = "operator \"regex\" matches case-sensitively, so a pattern cannot use an inline case-folding flag";

/// Looks through the tree from the top and from the left, as Jaeger does, for the first thing that it refuses.
///
/// Jaeger of August 2026 refused the trees that fold case: `[Aa]` too, which Go writes as a letter of either case, but not a flag that
/// Go loses where it joins alternatives. Since October 2026 it refuses the flag in the text of the pattern, and so does this.
///
/// # Errors
/// Jaeger's text for that thing.
pub(super) fn check(tree: &Tree) -> Result<(), &'static str> {
    check_node(&tree.root, tree.asks_to_fold)?;
    if tree.asks_to_fold {
        return Err(FOLD);
    }
    Ok(())
}

fn check_node(node: &Node, asks_to_fold: bool) -> Result<(), &'static str> {
    match node.op {
        Op::Anchor => {
            return Err(
                "operator \"regex\" matches anywhere in the value, so a pattern cannot anchor itself",
            );
        }
        Op::Boundary => return Err("operator \"regex\" takes a pattern without word boundaries"),
        Op::Empty
        | Op::Literal(_)
        | Op::Class(_)
        | Op::AnyNotNewline
        | Op::Any
        | Op::Capture(_)
        | Op::Star(_)
        | Op::Plus(_)
        | Op::Quest(_)
        | Op::Repeat { .. }
        | Op::Concat(_)
        | Op::Alternate(_) => {}
    }
    if node.flags.has(Flags::NON_GREEDY) {
        return Err(
            "operator \"regex\" asks whether the value matches, so a quantifier cannot be lazy",
        );
    }
    if node.folds() && asks_to_fold {
        return Err(FOLD);
    }
    let mut subs = node.subs().iter();
    subs.try_for_each(|sub| check_node(sub, asks_to_fold))
}
