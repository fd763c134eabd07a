//! Formats an error with its causes on one line.

use std::error::Error;
use std::fmt;

/// An error and all its causes, outermost first: `cannot read the plugin x.wasm: No such file or directory`.
///
/// Our errors' `Display` covers only its own layer. This is for the place where an error is logged or printed.
#[derive(Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut outer = self.0.to_string();
        f.write_str(&outer)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            // Errors of other crates may include their cause already.
            if !outer.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            outer = text;
            next = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    #[track_caller]
    fn check(layers: &[&'static str], expected: &str) {
        let chain = layers
            .iter()
            .rev()
            .fold(None, |source, text| Some(Box::new(Layer { text, source })));
        let text = chain.map(|error| Chain(&*error).to_string());
        assert_eq!(text.as_deref(), Some(expected));
    }

    #[test]
    fn every_cause_is_printed_once_outermost_first() {
        check(&["cannot start"], "cannot start");
        check(
            &["cannot start", "cannot bind 1.2.3.4:1", "address in use"],
            "cannot start: cannot bind 1.2.3.4:1: address in use",
        );
        check(
            &["cannot load: no component", "no component", "bad magic"],
            "cannot load: no component: bad magic",
        );
    }
}
