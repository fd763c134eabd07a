//! From the tree to what `regex-automata` compiles.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, Repetition};

use super::node::{Node, Op};
use super::runes::Runes;

/// Translates a node to one of `regex-syntax`.
///
/// It is only asked whether there is a match, so groups capture nothing, and all that is checked for portability is gone:
/// anchors, word boundaries and lazy quantifiers. A letter that folds is one of either case.
pub(super) fn translate(node: &Node) -> Hir {
    match &node.op {
        Op::Empty | Op::Anchor | Op::Boundary => Hir::empty(),
        Op::Literal(text) if node.folds() => Hir::concat(
            text.iter()
                .map(|rune| class(&Runes::of(&[(*rune, *rune)]).folded()))
                .collect(),
        ),
        Op::Literal(text) => literal(text),
        Op::Class(runes) => class(runes),
        Op::AnyNotNewline => {
            let newline = u32::from('\n');
            class(&Runes::of(&[(newline, newline)]).negated())
        }
        Op::Any => class(&Runes::all()),
        Op::Capture(sub) => translate(sub),
        Op::Star(sub) => repetition(0, None, sub),
        Op::Plus(sub) => repetition(1, None, sub),
        Op::Quest(sub) => repetition(0, Some(1), sub),
        Op::Repeat { min, max, sub } => repetition(*min, *max, sub),
        Op::Concat(subs) => Hir::concat(subs.iter().map(translate).collect()),
        Op::Alternate(subs) => Hir::alternation(subs.iter().map(translate).collect()),
    }
}

fn repetition(min: u32, max: Option<u32>, sub: &Node) -> Hir {
    Hir::repetition(Repetition {
        min,
        max,
        greedy: true,
        sub: Box::new(translate(sub)),
    })
}

/// No text has a surrogate, so nothing matches a literal with one.
fn literal(text: &[u32]) -> Hir {
    let text: Option<String> = text.iter().copied().map(char::from_u32).collect();
    text.map_or_else(Hir::fail, |text| Hir::literal(text.into_bytes()))
}

fn class(runes: &Runes) -> Hir {
    let mut class = ClassUnicode::empty();
    for &(low, high) in runes.ranges() {
        let low = if (0xD800..0xE000).contains(&low) {
            0xE000
        } else {
            low
        };
        let high = if (0xD800..0xE000).contains(&high) {
            0xD7FF
        } else {
            high
        };
        if low <= high
            && let (Some(low), Some(high)) = (char::from_u32(low), char::from_u32(high))
        {
            class.push(ClassUnicodeRange::new(low, high));
        }
    }
    Hir::class(Class::Unicode(class))
}
