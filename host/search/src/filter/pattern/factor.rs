//! Factors the alternatives of a pattern as Go does: shared beginnings, and classes for those of one code point.
//!
//! It matters for what is refused: flags of what is taken out are lost, and what is merged into a class folds case no more.
//! So each round does as Go's does, on the same runs of alternatives.

use super::error::Code;
use super::node::{Flags, Node, Op};
use super::stack::Stack;

/// The alternatives after all rounds; at least one, if there was one.
pub(super) fn factor(stack: &mut Stack, subs: Vec<Node>) -> Result<Vec<Node>, Code> {
    if subs.len() < 2 {
        return Ok(subs);
    }
    let subs = by_text(stack, subs)?;
    let subs = by_first_part(stack, subs)?;
    let subs = into_classes(stack, subs);
    Ok(without_repeated_empties(subs))
}

/// First round: text with which several alternatives in a row begin.
fn by_text(stack: &mut Stack, subs: Vec<Node>) -> Result<Vec<Node>, Code> {
    let mut out = Vec::new();
    let mut run: Vec<Node> = Vec::new();
    let mut shared: (Vec<u32>, bool) = (Vec::new(), false);
    for sub in subs {
        let (text, folds) = leading_text(&sub);
        if folds == shared.1 {
            let same = text.iter().zip(&shared.0).take_while(|(a, b)| a == b);
            let same = same.count();
            if same > 0 {
                shared.0.truncate(same);
                run.push(sub);
                continue;
            }
        }
        let next = (text.to_vec(), folds);
        end_of_text_run(
            stack,
            std::mem::replace(&mut run, vec![sub]),
            shared,
            &mut out,
        )?;
        shared = next;
    }
    end_of_text_run(stack, run, shared, &mut out)?;
    Ok(out)
}

fn end_of_text_run(
    stack: &mut Stack,
    mut run: Vec<Node>,
    (text, folds): (Vec<u32>, bool),
    out: &mut Vec<Node>,
) -> Result<(), Code> {
    if run.len() < 2 {
        out.append(&mut run);
        return Ok(());
    }
    let length = text.len();
    let flags = Flags::default().set(Flags::FOLD_CASE, folds);
    let prefix = stack.node(Op::Literal(text), flags);
    let mut rest = Vec::with_capacity(run.len());
    for sub in run {
        let mut sub = without_text(stack, sub, length);
        stack.check(&mut sub)?;
        rest.push(sub);
    }
    out.push(shared(stack, prefix, rest)?);
    Ok(())
}

/// Second round: a first part, simple enough, that several alternatives in a row share.
fn by_first_part(stack: &mut Stack, subs: Vec<Node>) -> Result<Vec<Node>, Code> {
    let mut out = Vec::new();
    let mut run: Vec<Node> = Vec::new();
    for sub in subs {
        let first = run.first().and_then(leading_part);
        let is_shared = first.is_some_and(|first| {
            first.can_be_shared() && leading_part(&sub).is_some_and(|next| first.equals(next))
        });
        if is_shared {
            run.push(sub);
        } else {
            end_of_part_run(stack, std::mem::replace(&mut run, vec![sub]), &mut out)?;
        }
    }
    end_of_part_run(stack, run, &mut out)?;
    Ok(out)
}

fn end_of_part_run(stack: &mut Stack, mut run: Vec<Node>, out: &mut Vec<Node>) -> Result<(), Code> {
    if run.len() < 2 {
        out.append(&mut run);
        return Ok(());
    }
    let mut prefix = None;
    let mut rest = Vec::with_capacity(run.len());
    for sub in run {
        let (first, sub) = split_first_part(sub);
        match (&prefix, first) {
            (None, first) => prefix = Some(first),
            (Some(_), first) => stack.usage.drop(first.size),
        }
        let mut sub = match sub {
            Tail::Nothing => stack.node(Op::Empty, Flags::default()),
            Tail::Parts(sub) => sub,
            Tail::Part { part, dropped } => {
                stack.usage.drop(dropped);
                part
            }
        };
        stack.check(&mut sub)?;
        rest.push(sub);
    }
    if let Some(prefix) = prefix {
        out.push(shared(stack, prefix, rest)?);
    }
    Ok(())
}

/// Third round: a class for alternatives in a row that match one code point each.
fn into_classes(stack: &mut Stack, subs: Vec<Node>) -> Vec<Node> {
    let mut out = Vec::new();
    let mut run = Vec::new();
    for sub in subs {
        if sub.complexity().is_some() {
            run.push(sub);
        } else {
            out.extend(class(stack, &mut run));
            out.push(sub);
        }
    }
    out.extend(class(stack, &mut run));
    out
}

/// The class of a run, in the place of its first and with the flags of its most complex part.
fn class(stack: &mut Stack, run: &mut Vec<Node>) -> Option<Node> {
    // Of parts that are as complex as each other the first counts.
    let most = (0..run.len()).rev().max_by_key(|&at| {
        let part = run.get(at);
        part.map(|part| (part.complexity(), part.rune_count()))
    })?;
    run.swap(0, most);
    let mut parts = run.drain(..);
    let mut merged = parts.next()?;
    let mut is_alone = true;
    for part in parts {
        merged.merge(&part);
        stack.usage.drop(part.size);
        is_alone = false;
    }
    if !is_alone {
        merged.name_class();
    }
    Some(merged)
}

/// Fourth round: of alternatives in a row that match the empty text the last is enough.
fn without_repeated_empties(subs: Vec<Node>) -> Vec<Node> {
    let mut out: Vec<Node> = Vec::with_capacity(subs.len());
    for sub in subs {
        if matches!(sub.op, Op::Empty) {
            out.pop_if(|before| matches!(before.op, Op::Empty));
        }
        out.push(sub);
    }
    out
}

fn shared(stack: &mut Stack, prefix: Node, rest: Vec<Node>) -> Result<Node, Code> {
    let suffix = stack.collapse(rest, Op::Alternate)?;
    Ok(stack.node(Op::Concat(vec![prefix, suffix]), Flags::default()))
}

/// The text with which a part begins, and whether it folds case.
fn leading_text(node: &Node) -> (&[u32], bool) {
    let first = match &node.op {
        Op::Concat(subs) => subs.first().unwrap_or(node),
        _ => node,
    };
    match &first.op {
        Op::Literal(text) => (text, first.folds()),
        _ => (&[], false),
    }
}

fn without_text(stack: &mut Stack, mut node: Node, length: usize) -> Node {
    let literal = match &mut node.op {
        Op::Concat(subs) => subs.first_mut(),
        _ => None,
    };
    let Some(first) = literal else {
        cut(&mut node, length);
        return node;
    };
    cut(first, length);
    if !matches!(first.op, Op::Empty) {
        return node;
    }
    stack.usage.drop(first.size);
    let size = node.size;
    match split_first_part(node).1 {
        Tail::Parts(node) => node,
        Tail::Part { part, .. } => {
            stack.usage.drop(size);
            part
        }
        Tail::Nothing => stack.node(Op::Empty, Flags::default()),
    }
}

fn cut(literal: &mut Node, length: usize) {
    if let Op::Literal(text) = &mut literal.op {
        text.drain(..length.min(text.len()));
        if text.is_empty() {
            literal.op = Op::Empty;
        }
    }
}

fn leading_part(node: &Node) -> Option<&Node> {
    let first = match &node.op {
        Op::Concat(subs) => subs.first()?,
        _ => node,
    };
    (!matches!(first.op, Op::Empty)).then_some(first)
}

/// The rest of a part without its first.
enum Tail {
    Nothing,
    Parts(Node),
    /// One part, and the remembered size of what it was in.
    Part {
        part: Node,
        dropped: Option<u64>,
    },
}

fn split_first_part(mut node: Node) -> (Node, Tail) {
    let subs = match &mut node.op {
        Op::Concat(subs) if subs.len() > 1 => subs,
        _ => return (node, Tail::Nothing),
    };
    let first = subs.remove(0);
    if subs.len() > 1 {
        return (first, Tail::Parts(node));
    }
    let part = subs.pop();
    let dropped = node.size;
    let rest = part.map_or(Tail::Nothing, |part| Tail::Part { part, dropped });
    (first, rest)
}
