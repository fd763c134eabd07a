//! Reads Go's syntax of regular expressions into the tree that Go's parser makes, with all of Perl's extensions that Go has.

use super::class::{Classes, MAX_RUNES};
use super::error::{Code, Refusal};
use super::escape::{escape, until};
use super::group::{self, Start};
use super::names::Names;
use super::node::{Flags, Node, Op};
use super::stack::Stack;

/// The tree of a pattern.
///
/// # Errors
/// The first thing that is wrong, which is the one that Go finds first; or that the classes are too large for us.
pub(super) fn parse(pattern: &str) -> Result<Tree, Refusal> {
    let mut parser = Parser {
        pattern,
        rest: pattern,
        repeated: None,
        stack: Stack::new(),
        names: Names::default(),
        asks_to_fold: false,
        runes: 0,
    };
    while let Some(first) = parser.rest.chars().next() {
        let repeated = parser.repeated.take();
        parser.read(first, repeated)?;
        if parser.stack.runes() > MAX_RUNES {
            return Err(Refusal::Classes);
        }
    }
    let asks_to_fold = parser.asks_to_fold;
    let root = parser.stack.finish();
    let root = root.map_err(|code| Refusal::new(code, pattern))?;
    Ok(Tree { root, asks_to_fold })
}

/// A parsed pattern.
pub(super) struct Tree {
    pub(super) root: Node,
    /// True if a flag switches the folding of case on. Go also writes `[Aa]` and `a|A` as a letter of either case.
    pub(super) asks_to_fold: bool,
}

struct Parser<'a> {
    pattern: &'a str,
    /// The rest of the pattern.
    rest: &'a str,
    asks_to_fold: bool,
    /// The text from the repetition on that has been read last, if that was the last thing read.
    repeated: Option<&'a str>,
    stack: Stack,
    names: Names,
    /// The numbers that the code points of all classes took as they were read.
    runes: usize,
}

// === impl Parser ===

impl<'a> Parser<'a> {
    fn read(&mut self, first: char, repeated: Option<&'a str>) -> Result<(), Refusal> {
        let text = self.rest;
        // Most cases consume only `first`; the others set `rest` again.
        self.rest = text.get(first.len_utf8()..).unwrap_or_default();
        match first {
            '(' if text.starts_with("(?") => return self.group(text),
            '[' => return self.class(text),
            '\\' => return self.backslash(text),
            '*' => return self.repeat(text, repeated, Op::Star),
            '+' => return self.repeat(text, repeated, Op::Plus),
            '?' => return self.repeat(text, repeated, Op::Quest),
            '{' => {
                if let Some((min, max, rest)) = counts(text) {
                    self.rest = rest;
                    return self.repeat_counted(text, repeated, min, max);
                }
                self.stack.push_rune(first.into())
            }
            '(' => self.stack.open(true),
            ')' => self.stack.close(),
            '|' => self.stack.bar(),
            '^' | '$' => self.stack.push_op(Op::Anchor),
            '.' if self.stack.flags.has(Flags::DOT_NEWLINE) => self.stack.push_op(Op::Any),
            '.' => self.stack.push_op(Op::AnyNotNewline),
            _ => self.stack.push_rune(first.into()),
        }
        .map_err(|code| self.of_all(code))
    }

    fn group(&mut self, text: &'a str) -> Result<(), Refusal> {
        let (start, rest) = group::start(text, self.stack.flags)?;
        self.rest = rest;
        let opened = match start {
            Start::Capture => self.stack.open(true),
            Start::Group(_) => self.stack.open(false),
            Start::Flags(_) => Ok(()),
        };
        if let Start::Group(flags) | Start::Flags(flags) = start {
            self.stack.flags = flags;
            self.asks_to_fold |= flags.has(Flags::FOLD_CASE);
        }
        opened.map_err(|code| self.of_all(code))
    }

    fn class(&mut self, text: &'a str) -> Result<(), Refusal> {
        let (runes, rest) = self.classes().bracketed(text)?;
        self.rest = rest;
        let pushed = self.stack.push_op(Op::Class(runes));
        pushed.map_err(|code| self.of_all(code))
    }

    fn backslash(&mut self, text: &'a str) -> Result<(), Refusal> {
        let mut rest = text.chars();
        let letter = rest.nth(1);
        self.rest = rest.as_str();
        match letter {
            Some('A' | 'z') => self.stack.push_op(Op::Anchor),
            Some('b' | 'B') => self.stack.push_op(Op::Boundary),
            // One byte of any value, which Go does not have.
            Some('C') => return Err(Refusal::new(Code::InvalidEscape, until(text, self.rest))),
            Some('Q') => {
                let (literal, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
                self.rest = rest;
                let mut runes = literal.chars().map(u32::from);
                runes.try_for_each(|rune| self.stack.push_rune(rune))
            }
            _ => return self.escape(text),
        }
        .map_err(|code| self.of_all(code))
    }

    fn escape(&mut self, text: &'a str) -> Result<(), Refusal> {
        let pushed = if let Some((runes, rest)) = self.classes().shorthand(text)? {
            self.rest = rest;
            self.stack.push_op(Op::Class(runes))
        } else {
            // Go makes a class here before it knows, and drops it.
            let size = self.stack.usage.make();
            self.stack.usage.drop(size);
            let (rune, rest) = escape(text)?;
            self.rest = rest;
            self.stack.push_rune(rune)
        };
        pushed.map_err(|code| self.of_all(code))
    }

    fn repeat_counted(
        &mut self,
        text: &'a str,
        repeated: Option<&'a str>,
        min: u32,
        max: Option<u32>,
    ) -> Result<(), Refusal> {
        let is_too_many = min.max(max.unwrap_or(0)) > super::limits::MAX_REPEAT;
        if is_too_many || max.is_some_and(|max| max < min) {
            let fragment = until(text, self.rest);
            return Err(Refusal::new(Code::InvalidRepeatCount, fragment));
        }
        self.repeat(text, repeated, |sub| Op::Repeat { min, max, sub })
    }

    /// Repeats what was read before the operator at the start of `text`, which is read but for a `?` after it.
    fn repeat(
        &mut self,
        text: &'a str,
        repeated: Option<&'a str>,
        op: impl FnOnce(Box<Node>) -> Op,
    ) -> Result<(), Refusal> {
        let mut flags = self.stack.flags;
        if let Some(rest) = self.rest.strip_prefix('?') {
            self.rest = rest;
            flags = flags.toggle(Flags::NON_GREEDY);
        }
        if let Some(repeated) = repeated {
            let fragment = until(repeated, self.rest);
            return Err(Refusal::new(Code::InvalidRepeatOperator, fragment));
        }
        let done = self.stack.repeat(op, flags);
        self.repeated = Some(text);
        done.map_err(|code| match code {
            Code::MissingRepeatArgument | Code::InvalidRepeatCount => {
                Refusal::new(code, until(text, self.rest))
            }
            _ => self.of_all(code),
        })
    }

    fn classes(&mut self) -> Classes<'_> {
        Classes {
            folds: self.stack.flags.has(Flags::FOLD_CASE),
            names: &mut self.names,
            runes: &mut self.runes,
        }
    }

    /// A refusal of the pattern as a whole.
    fn of_all(&self, code: Code) -> Refusal {
        Refusal::new(code, self.pattern)
    }
}

/// The least and the most times of a `{2,3}` at the start of `text`, and the text after it; nothing if it is no such thing.
fn counts(text: &str) -> Option<(u32, Option<u32>, &str)> {
    let (min, rest) = number(text.strip_prefix('{')?)?;
    let (max, rest) = match rest.strip_prefix(',') {
        None => (Some(min), rest),
        Some(rest) if rest.starts_with('}') => (None, rest),
        Some(rest) => {
            let (max, rest) = number(rest)?;
            (Some(max), rest)
        }
    };
    Some((min, max, rest.strip_prefix('}')?))
}

/// The decimal number at the start of `text`, without leading zeros; one that is too large is the largest.
fn number(text: &str) -> Option<(u32, &str)> {
    let rest = text.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let digits = until(text, rest);
    if digits.is_empty() || digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), rest))
}
