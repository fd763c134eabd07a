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
use std::sync::Arc;
use std::time::Instant;

use regex_automata::Input;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::pool::Pool;

use crate::budget::OutOfTime;

/// The most bytes of a pattern.
const MAX_BYTES: usize = 16 << 10;

/// The most bytes of the compiled form of a pattern.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// The most bytes that a match remembers of what it has seen, for each thread that matches.
const MAX_CACHE_BYTES: usize = 1 << 20;

/// Bytes of a value read between checks of the deadline: the most expensive pattern takes some milliseconds for them.
const BYTES_PER_CHECK: usize = 32;

/// A pattern of the operator `regex`, ready to match. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pattern {
    text: String,
    automaton: Arc<Automaton>,
}

/// States are made as values lead to them, and kept for the next value. Time is linear in the value, whatever the pattern.
struct Automaton {
    dfa: DFA,
    caches: Pool<Cache, Box<dyn Fn() -> Cache + Send + Sync>>,
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
        let too_large = || {
            format!(
                "operator \"regex\" got a pattern that takes more than {MAX_COMPILED_BYTES} bytes when compiled; \
                 repeat less often, or repeat narrower character classes"
            )
        };
        let config = thompson::Config::new()
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(MAX_COMPILED_BYTES));
        let nfa = NFA::compiler()
            .configure(config)
            .build_from_hir(&translate::translate(&tree.root))
            .map_err(|_| too_large())?;
        let config = DFA::config()
            .cache_capacity(MAX_CACHE_BYTES)
            .skip_cache_capacity_check(true);
        let dfa = DFA::builder()
            .configure(config)
            .build_from_nfa(nfa)
            .map_err(|_| too_large())?;
        let of = dfa.clone();
        Ok(Self {
            text: pattern.to_owned(),
            automaton: Arc::new(Automaton {
                dfa,
                caches: Pool::new(Box::new(move || of.create_cache())),
            }),
        })
    }

    /// The pattern as it was sent.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The bytes that its compiled form takes up.
    pub(crate) fn compiled_bytes(&self) -> usize {
        self.automaton.dfa.get_nfa().memory_usage()
    }

    /// Returns `true` if the pattern matches somewhere in `text`, which is UTF-8.
    ///
    /// # Errors
    /// If it takes longer than until `deadline`.
    pub(crate) fn is_match(&self, text: &[u8], deadline: Instant) -> Result<bool, OutOfTime> {
        let cache = &mut *self.automaton.caches.get();
        // Without a limit on how often a cache may be cleared it never gives up, and every byte has a transition.
        self.automaton
            .is_match(cache, text, deadline)
            .unwrap_or(Ok(false))
    }
}

impl Automaton {
    /// `None` never; as the automaton's steps say.
    fn is_match(
        &self,
        cache: &mut Cache,
        text: &[u8],
        deadline: Instant,
    ) -> Option<Result<bool, OutOfTime>> {
        let dfa = &self.dfa;
        let mut state = dfa.start_state_forward(cache, &Input::new(text)).ok()?;
        for bytes in text.chunks(BYTES_PER_CHECK) {
            for byte in bytes {
                state = dfa.next_state(cache, state, *byte).ok()?;
                if state.is_match() {
                    return Some(Ok(true));
                }
                if state.is_dead() {
                    return Some(Ok(false));
                }
            }
            if bytes.len() == BYTES_PER_CHECK && Instant::now() > deadline {
                return Some(Err(OutOfTime));
            }
        }
        let end = dfa.next_eoi_state(cache, state).ok()?;
        Some(Ok(end.is_match()))
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
