//! The stack of a parse: what has been read and is not yet part of something greater.
//!
//! Nodes are combined as Go combines them, since Jaeger looks at the result: neighbouring literals become one, a
//! class of one code point becomes a literal, a class of two that fold alike becomes a literal that folds case, and
//! alternatives of one code point become a class.

use super::error::Code;
use super::factor;
use super::limits::{MAX_REPEAT, Usage, may_repeat};
use super::node::{Flags, Node, Op};
use super::runes;

/// An entry of the stack.
#[derive(Debug)]
pub(super) enum Entry {
    Part(Node),
    /// An open parenthesis, with the flags in force before it.
    Open {
        captures: bool,
        flags: Flags,
    },
    /// A `|`; the alternatives before it lie below.
    Bar,
}

/// The stack of a parse, and the flags in force.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) flags: Flags,
    pub(super) usage: Usage,
    entries: Vec<Entry>,
    /// Size of the classes and literals of all nodes ever pushed, in `u32`s.
    runes: usize,
}

// === impl Stack ===

impl Stack {
    pub(super) fn new() -> Self {
        Self {
            flags: Flags::ONE_LINE,
            usage: Usage::new(),
            entries: Vec::new(),
            runes: 0,
        }
    }

    /// Size of the classes and literals of all nodes ever pushed, in `u32`s.
    pub(super) fn runes(&self) -> usize {
        self.runes
    }

    /// Makes a part.
    pub(super) fn node(&mut self, op: Op, flags: Flags) -> Node {
        let size = self.usage.make();
        Node {
            op,
            flags,
            size,
            height: None,
        }
    }

    /// Puts a new part under the flags in force on the stack.
    pub(super) fn push_op(&mut self, op: Op) -> Result<(), Code> {
        let node = self.node(op, self.flags);
        self.push(node)
    }

    /// Puts one code point on the stack.
    pub(super) fn push_rune(&mut self, mut rune: u32) -> Result<(), Code> {
        if self.flags.has(Flags::FOLD_CASE) {
            rune = runes::least_fold(rune);
        }
        self.push_op(Op::Literal(vec![rune]))
    }

    /// Opens a group. Its end restores the current flags.
    pub(super) fn open(&mut self, captures: bool) -> Result<(), Code> {
        let flags = self.flags;
        self.push_mark(Entry::Open { captures, flags })
    }

    /// Ends an alternative.
    pub(super) fn bar(&mut self) -> Result<(), Code> {
        self.concat()?;
        if self.settle_bar() {
            return Ok(());
        }
        self.push_mark(Entry::Bar)
    }

    /// Closes the innermost group.
    pub(super) fn close(&mut self) -> Result<(), Code> {
        let alternatives = self.alternatives()?;
        let Some(Entry::Open { captures, flags }) = self.entries.pop() else {
            return Err(Code::UnexpectedParenthesis);
        };
        self.flags = flags;
        self.push(if captures {
            Node {
                op: Op::Capture(Box::new(alternatives)),
                flags,
                size: None,
                height: None,
            }
        } else {
            alternatives
        })
    }

    /// The whole pattern.
    pub(super) fn finish(mut self) -> Result<Node, Code> {
        let whole = self.alternatives()?;
        if self.entries.is_empty() {
            Ok(whole)
        } else {
            Err(Code::MissingParenthesis)
        }
    }

    /// Repeats what lies on top, lazily or not. `op` makes the repetition of it.
    pub(super) fn repeat(
        &mut self,
        op: impl FnOnce(Box<Node>) -> Op,
        flags: Flags,
    ) -> Result<(), Code> {
        let Some(Entry::Part(sub)) = self.entries.pop_if(|top| matches!(top, Entry::Part(_)))
        else {
            return Err(Code::MissingRepeatArgument);
        };
        let mut node = self.node(op(Box::new(sub)), flags);
        self.usage.check(&mut node, &mut self.entries)?;
        let many = matches!(node.op, Op::Repeat { min, max, .. } if min.max(max.unwrap_or(0)) >= 2);
        if many && !may_repeat(&node, MAX_REPEAT) {
            return Err(Code::InvalidRepeatCount);
        }
        self.entries.push(Entry::Part(node));
        Ok(())
    }

    /// Puts a part on the stack.
    pub(super) fn push(&mut self, mut node: Node) -> Result<(), Code> {
        self.runes += node.rune_count();
        if let Some((rune, flags)) = self.as_literal(&node.op) {
            if self.join(Some((rune, flags))) {
                return Ok(());
            }
            node.op = Op::Literal(vec![rune]);
            node.flags = flags;
        } else {
            self.join(None);
        }
        self.usage.check(&mut node, &mut self.entries)?;
        self.entries.push(Entry::Part(node));
        Ok(())
    }

    /// Puts a parenthesis or a bar on the stack. For the limits each is a part.
    fn push_mark(&mut self, mark: Entry) -> Result<(), Code> {
        let mut part = self.node(Op::Empty, Flags::default());
        self.join(None);
        self.usage.check(&mut part, &mut self.entries)?;
        self.entries.push(mark);
        Ok(())
    }

    /// The literal as which a class of one code point is written, or one of two that fold alike.
    fn as_literal(&self, op: &Op) -> Option<(u32, Flags)> {
        let Op::Class(runes) = op else { return None };
        let (rune, folds) = match *runes.ranges() {
            [(low, high)] if low == high => (low, false),
            [(low, high)] if low + 1 == high && runes::are_a_pair(low, high) => (low, true),
            [(rune, end), (other, other_end)]
                if rune == end && other == other_end && runes::are_a_pair(rune, other) =>
            {
                (rune, true)
            }
            _ => return None,
        };
        Some((rune, self.flags.set(Flags::FOLD_CASE, folds)))
    }

    /// Joins the top two literals if they fold alike, so that no operator applies to the upper one alone.
    ///
    /// Then `next` is pushed as a literal in place of the upper one. Returns `true` if it was.
    fn join(&mut self, next: Option<(u32, Flags)>) -> bool {
        let [.., Entry::Part(below), Entry::Part(top)] = self.entries.as_mut_slice() else {
            return false;
        };
        if below.folds() != top.folds() {
            return false;
        }
        let (Op::Literal(text), Op::Literal(more)) = (&mut below.op, &mut top.op) else {
            return false;
        };
        text.append(more);
        if let Some((rune, flags)) = next {
            more.push(rune);
            top.flags = flags;
            return true;
        }
        self.usage.drop(top.size);
        self.entries.pop();
        false
    }

    /// Makes one part of what lies on top, down to a bar or a parenthesis.
    fn concat(&mut self) -> Result<(), Code> {
        self.join(None);
        let subs = self.pop_parts();
        let whole = if subs.is_empty() {
            self.node(Op::Empty, Flags::default())
        } else {
            self.collapse(subs, Op::Concat)?
        };
        self.push(whole)
    }

    /// Takes what lies on top, down to a parenthesis, as one part.
    fn alternatives(&mut self) -> Result<Node, Code> {
        self.concat()?;
        if self.settle_bar() {
            self.entries.pop();
        }
        let mut subs = self.pop_parts();
        if let Some(last) = subs.last_mut() {
            last.name_class();
        }
        let whole = self.collapse(subs, Op::Alternate)?;
        self.push(whole)?;
        // The push may have turned it into a literal. It cannot have joined it with another, as the parenthesis lies below.
        match self.entries.pop() {
            Some(Entry::Part(whole)) => Ok(whole),
            _ => Err(Code::MissingParenthesis),
        }
    }

    /// Moves the top below the bar under it, into a class with what lies there if both match one code point. Says whether
    /// there was a bar.
    fn settle_bar(&mut self) -> bool {
        if let [.., Entry::Part(before), Entry::Bar, Entry::Part(top)] = self.entries.as_mut_slice()
            && let (Some(complexity), Some(of_top)) = (before.complexity(), top.complexity())
        {
            if of_top > complexity {
                std::mem::swap(before, top);
            }
            before.merge(top);
            self.usage.drop(top.size);
            self.entries.pop();
            return true;
        }
        let [below @ .., bar @ Entry::Bar, top] = self.entries.as_mut_slice() else {
            return false;
        };
        if let Some(Entry::Part(before)) = below.last_mut() {
            before.name_class();
        }
        std::mem::swap(bar, top);
        true
    }

    fn pop_parts(&mut self) -> Vec<Node> {
        let is_part = |entry: &Entry| matches!(entry, Entry::Part(_));
        let below = self.entries.iter().rposition(|entry| !is_part(entry));
        let parts = self.entries.split_off(below.map_or(0, |at| at + 1));
        let node = |entry| match entry {
            Entry::Part(node) => Some(node),
            Entry::Open { .. } | Entry::Bar => None,
        };
        parts.into_iter().filter_map(node).collect()
    }

    /// Makes one part of several, and of theirs where they are of the same kind.
    pub(super) fn collapse(
        &mut self,
        mut subs: Vec<Node>,
        op: fn(Vec<Node>) -> Op,
    ) -> Result<Node, Code> {
        if subs.len() == 1
            && let Some(only) = subs.pop()
        {
            return Ok(only);
        }
        let mut whole = self.node(op(Vec::new()), Flags::default());
        let alternates = matches!(whole.op, Op::Alternate(_));
        let mut all = Vec::with_capacity(subs.len());
        for sub in subs {
            match (sub.op, alternates) {
                (Op::Alternate(subs), true) | (Op::Concat(subs), false) => {
                    all.extend(subs);
                    self.usage.drop(sub.size);
                }
                (op, _) => all.push(Node { op, ..sub }),
            }
        }
        if alternates {
            all = factor::factor(self, all)?;
        }
        if alternates
            && all.len() == 1
            && let Some(only) = all.pop()
        {
            self.usage.drop(whole.size);
            return Ok(only);
        }
        whole.op = op(all);
        Ok(whole)
    }

    /// Measures a part that lies on no stack.
    pub(super) fn check(&mut self, node: &mut Node) -> Result<(), Code> {
        self.usage.check(node, &mut self.entries)
    }
}
