//! The constructs of RE2 that Jaeger refuses, as the backends it knows do not all have them.

use super::node::{Flags, Node, Op};
use super::parser::Tree;

/// Looks through the tree from the top and from the left, as Jaeger does, for the first thing that it refuses.
///
/// Jaeger of August 2026 also refuses what Go writes as a letter of either case, `[Aa]`; later ones take it, and so does this.
///
/// # Errors
/// Jaeger's text for that thing.
pub(super) fn check(tree: &Tree) -> Result<(), &'static str> {
    check_node(&tree.root, tree.asks_to_fold)
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
        return Err("operator \"regex\" matches case-sensitively, so a pattern cannot fold case");
    }
    let mut subs = node.subs().iter();
    subs.try_for_each(|sub| check_node(sub, asks_to_fold))
}
