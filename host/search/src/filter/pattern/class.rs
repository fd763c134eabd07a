//! Classes: `[a-z]`, and what may stand in one and alone: `\d`, `[:alpha:]`, `\pL`, `\p{Greek}`.

use super::error::{Code, Refusal};
use super::escape::{escape, until};
use super::names::Names;
use super::runes::Runes;

/// Ranges of ASCII, both ends included.
type Ranges = &'static [(char, char)];

/// The most that the code points of a pattern's classes may take, in numbers of four bytes; Go's bound is 64 times this.
pub(super) const MAX_RUNES: usize = 512 << 10;

const DIGIT: Ranges = &[('0', '9')];
const SPACE: Ranges = &[('\t', '\n'), ('\x0C', '\r'), (' ', ' ')];
const WORD: Ranges = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

const NAMED: [(&str, Ranges); 14] = [
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("ascii", &[('\0', '\x7F')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\x1F'), ('\x7F', '\x7F')]),
    ("digit", DIGIT),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("word", WORD),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];

/// Reads classes, under the flag that tells whether case folds.
#[derive(Debug)]
pub(super) struct Classes<'n> {
    pub(super) names: &'n mut Names,
    pub(super) folds: bool,
    /// The numbers that the code points of all classes took as they were read.
    pub(super) runes: &'n mut usize,
}

/// A class that has been read, and the text after it.
type Read<'a> = (Runes, &'a str);

// === impl Classes ===

impl Classes<'_> {
    /// The class in brackets with which `text` begins.
    ///
    /// # Errors
    /// The fault in the class, with the text that has it; `MissingBracket` has all of `text`; `Classes`.
    pub(super) fn bracketed<'a>(&mut self, text: &'a str) -> Result<Read<'a>, Refusal> {
        let inside = text.strip_prefix('[').unwrap_or(text);
        let (negated, mut rest) = match inside.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, inside),
        };
        let mut runes = Runes::default();
        let mut is_first = true;
        loop {
            if !is_first && let Some(rest) = rest.strip_prefix(']') {
                let runes = if negated { runes.negated() } else { runes };
                return Ok((runes, rest));
            }
            is_first = false;
            let (more, after) = match self.shorthand_in_brackets(rest)? {
                Some(read) => read,
                None => self.range(rest, text)?,
            };
            *self.runes += 2 * more.ranges().len();
            if *self.runes > MAX_RUNES {
                return Err(Refusal::Classes);
            }
            runes.add_all(&more);
            rest = after;
        }
    }

    /// The class of a backslash and one or more letters with which `text` begins, if it does.
    pub(super) fn shorthand<'a>(&mut self, text: &'a str) -> Result<Option<Read<'a>>, Refusal> {
        let Some(escaped) = text.strip_prefix('\\') else {
            return Ok(None);
        };
        let mut rest = escaped.chars();
        let ranges = match rest.next() {
            Some('p' | 'P') => return self.unicode(text, rest.as_str()).map(Some),
            Some('d' | 'D') => DIGIT,
            Some('s' | 'S') => SPACE,
            Some('w' | 'W') => WORD,
            _ => return Ok(None),
        };
        let negated = escaped.starts_with(|letter: char| letter.is_ascii_uppercase());
        Ok(Some((self.ascii(ranges, negated), rest.as_str())))
    }

    fn shorthand_in_brackets<'a>(&mut self, text: &'a str) -> Result<Option<Read<'a>>, Refusal> {
        if let Some(named) = text.strip_prefix("[:")
            && let Some((name, rest)) = named.split_once(":]")
        {
            let plain = name.strip_prefix('^');
            let found = NAMED
                .iter()
                .find(|(known, _)| *known == plain.unwrap_or(name));
            let Some((_, ranges)) = found else {
                return Err(Refusal::new(Code::InvalidRange, until(text, rest)));
            };
            return Ok(Some((self.ascii(ranges, plain.is_some()), rest)));
        }
        self.shorthand(text)
    }

    /// One code point, or two with a `-` between. `class` is the class from its bracket on.
    fn range<'a>(&self, text: &'a str, class: &str) -> Result<Read<'a>, Refusal> {
        let (low, mut rest) = one(text, class)?;
        let mut high = low;
        if let Some(end) = rest.strip_prefix('-')
            && !end.is_empty()
            && !end.starts_with(']')
        {
            (high, rest) = one(end, class)?;
        }
        if high < low {
            return Err(Refusal::new(Code::InvalidRange, until(text, rest)));
        }
        let runes = Runes::of(&[(low, high)]);
        Ok((self.folded(runes), rest))
    }

    /// The category or script that `text` names after `\p`. `rest` is the text from there on.
    fn unicode<'a>(&mut self, text: &'a str, rest: &'a str) -> Result<Read<'a>, Refusal> {
        let (name, rest) = if let Some(braced) = rest.strip_prefix('{') {
            let read = braced.split_once('}');
            read.ok_or_else(|| Refusal::new(Code::InvalidRange, text))?
        } else {
            let mut after = rest.chars();
            after.next();
            (until(rest, after.as_str()), after.as_str())
        };
        let plain = name.strip_prefix('^');
        let negated = text.starts_with("\\P") != plain.is_some();
        let Some(runes) = self.names.get(plain.unwrap_or(name)) else {
            return Err(Refusal::new(Code::InvalidRange, until(text, rest)));
        };
        let runes = self.folded(Runes::clone(&runes));
        let runes = if negated { runes.negated() } else { runes };
        Ok((runes, rest))
    }

    fn ascii(&self, ranges: Ranges, negated: bool) -> Runes {
        let ranges = ranges.iter().map(|&(low, high)| (low.into(), high.into()));
        let runes = self.folded(Runes::of(&ranges.collect::<Vec<_>>()));
        if negated { runes.negated() } else { runes }
    }

    fn folded(&self, runes: Runes) -> Runes {
        if self.folds { runes.folded() } else { runes }
    }
}

/// One code point, as it is or escaped.
fn one<'a>(text: &'a str, class: &str) -> Result<(u32, &'a str), Refusal> {
    if text.starts_with('\\') {
        return escape(text);
    }
    let mut rest = text.chars();
    match rest.next() {
        Some(rune) => Ok((rune.into(), rest.as_str())),
        None => Err(Refusal::new(Code::MissingBracket, class)),
    }
}
