//! The patterns of the operator `regex`: RE2 as Go reads it, matched anywhere in a value and by case.
//!
//! Jaeger checks a pattern with Go's `regexp/syntax` and refuses some constructs by the tree that Go makes of it. Rust's
//! `regex` reads almost the same syntax: `\w` is more than ASCII there, `&&` in a class an operator, `\Q` unknown, and more. So
//! the syntax is read here, into Go's tree (`parser`, `stack`, `factor`), refused as Jaeger does (`portable`), and only the
//! tree is handed on (`translate`). What a pattern may cost is bounded, in Go's terms (`limits`) and in ours.
//!
//! Architecture invariant: no text of a pattern reaches a parser of another syntax. Unicode's categories, scripts and simple
//! case folding are those of `regex-syntax`, whose version of Unicode may be newer than Go's.

mod class;
mod error;
mod escape;
mod factor;
mod group;
mod limits;
mod names;
mod node;
mod parser;
mod portable;
mod runes;
mod stack;
#[cfg(test)]
mod tests;
mod translate;

use std::fmt;

use regex_automata::meta::{Config, Regex};
use regex_automata::nfa::thompson::WhichCaptures;

/// The most bytes of a pattern.
const MAX_BYTES: usize = 16 << 10;

/// The most bytes of the compiled form of a pattern, once for each direction of reading. It bounds the time of a match too:
/// a byte of text may cost a step for each state of that form. `.{1000}` fits, `\pL{1000}` does not.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// The most bytes that a match remembers of what it has seen, for each thread that matches.
const MAX_CACHE_BYTES: usize = 1 << 20;

/// A pattern of the operator `regex`, ready to match. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pattern {
    text: String,
    regex: Regex,
}

// === impl Pattern ===

impl Pattern {
    /// Reads, checks and compiles a pattern.
    ///
    /// # Errors
    /// Why the pattern is refused: in Jaeger's words if it is not RE2, or not portable; in ours if it costs too much.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        if pattern.len() > MAX_BYTES {
            let bytes = pattern.len();
            return Err(format!(
                "operator \"regex\" takes a pattern of at most {MAX_BYTES} bytes, got {bytes}; \
                 ask for fewer alternatives, or for several patterns with \"or\""
            ));
        }
        let tree = parser::parse(pattern).map_err(|refusal| refusal.to_string())?;
        portable::check(&tree)?;
        let config = Config::new()
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(MAX_COMPILED_BYTES))
            .hybrid_cache_capacity(MAX_CACHE_BYTES)
            .backtrack(false)
            .onepass(false)
            .dfa(false);
        let hir = translate::translate(&tree);
        let regex = Regex::builder().configure(config).build_from_hir(&hir);
        let regex = regex.map_err(|_| {
            format!(
                "operator \"regex\" got a pattern that takes more than {MAX_COMPILED_BYTES} bytes when compiled; \
                 repeat less often, or repeat narrower character classes"
            )
        })?;
        let text = pattern.to_owned();
        Ok(Self { text, regex })
    }

    /// The pattern as it was sent.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The bytes that its compiled form takes up.
    pub(crate) fn compiled_bytes(&self) -> usize {
        self.regex.memory_usage()
    }

    /// Whether the pattern matches somewhere in `text`, which is UTF-8.
    ///
    /// Takes time in proportion to the text, and at the worst to the compiled form as well; nothing is tried twice.
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}
