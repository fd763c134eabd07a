//! Limits of a component's size and shape, measured in one pass over its sections before it is compiled: a compilation cannot be
//! interrupted.

use wasmparser::{Parser, Payload};

/// Of all modules together. A large interpreter has about 30,000.
const MAX_FUNCTIONS: u64 = 200_000;
/// Bodies of functions together.
const MAX_CODE_BYTES: usize = 48 << 20;
/// Of one function: a compiler's time grows faster than what it is given.
const MAX_FUNCTION_BYTES: usize = 1 << 20;
/// Modules and components, one inside another: what `wasm-tools` makes has 2 levels.
const MAX_DEPTH: usize = 16;
/// Modules and components in all.
const MAX_PARTS: usize = 1000;
/// Types of modules and of components together.
const MAX_TYPES: u64 = 100_000;

/// The counts so far.
#[derive(Debug, Default)]
struct Measure {
    functions: u64,
    code_bytes: usize,
    largest_function: usize,
    depth: usize,
    parts: usize,
    types: u64,
}

/// The error says what there is too much of. What cannot be read at all is for the compiler to say, which stops there too.
pub(super) fn fits(bytes: &[u8]) -> Result<(), String> {
    let mut measure = Measure::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { break };
        measure.add(&payload);
        measure.check()?;
    }
    Ok(())
}

// === impl Measure ===

impl Measure {
    fn add(&mut self, payload: &Payload<'_>) {
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                self.depth += 1;
                self.parts += 1;
            }
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::TypeSection(types) => self.types += u64::from(types.count()),
            Payload::CoreTypeSection(types) => self.types += u64::from(types.count()),
            Payload::ComponentTypeSection(types) => self.types += u64::from(types.count()),
            Payload::FunctionSection(functions) => self.functions += u64::from(functions.count()),
            Payload::CodeSectionEntry(body) => {
                let bytes = body.range().len();
                self.code_bytes += bytes;
                self.largest_function = self.largest_function.max(bytes);
            }
            _ => {}
        }
    }

    fn check(&self) -> Result<(), String> {
        let too_much = |what: &str, found: u64, most: u64| {
            let text = format!("it has {what}: {found} where {most} are the most that is compiled");
            if found > most { Err(text) } else { Ok(()) }
        };
        too_much("too many functions", self.functions, MAX_FUNCTIONS)?;
        too_much("too many types", self.types, MAX_TYPES)?;
        let sizes = [
            ("too many bytes of code", self.code_bytes, MAX_CODE_BYTES),
            (
                "too large a function, in bytes",
                self.largest_function,
                MAX_FUNCTION_BYTES,
            ),
            ("too many modules and components", self.parts, MAX_PARTS),
            (
                "too many modules and components one inside another",
                self.depth,
                MAX_DEPTH,
            ),
        ];
        sizes
            .into_iter()
            .try_for_each(|(what, found, most)| too_much(what, found as u64, most as u64))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::test_support::guest::Guest;

    #[track_caller]
    fn check(text: &str, told: &str) {
        let bytes = wat::parse_str(text).unwrap();
        let error = fits(&bytes).unwrap_err();
        assert!(error.contains(told), "{error:?} lacks {told:?}");
    }

    #[test]
    fn the_bundled_plugins_are_within_the_limits() {
        assert_eq!(fits(&Guest::new().build()), Ok(()));
        for name in ["kv", "memory"] {
            let (_, bytes) = crate::component::bundled::find(name).unwrap();
            assert_eq!(fits(bytes), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_function_that_is_too_large_is_refused() {
        let body = "i32.const 1 drop ".repeat(MAX_FUNCTION_BYTES / 3 + 1);
        check(
            &format!("(component (core module (func {body})))"),
            "too large a function",
        );
    }

    #[test]
    fn too_many_functions_are_refused_wherever_they_are() {
        let half = "(func)".repeat(usize::try_from(MAX_FUNCTIONS).unwrap() / 2 + 1);
        check(
            &format!("(component (core module {half}) (component (core module {half})))"),
            "too many functions: 200002 where 200000",
        );
    }

    #[test]
    fn too_deep_a_nesting_is_refused() {
        let (open, close) = ("(component ".repeat(50), ")".repeat(50));
        check(&format!("{open}{close}"), "one inside another");
    }

    #[test]
    fn too_many_parts_and_types_are_refused() {
        let parts = "(core module)".repeat(MAX_PARTS + 1);
        check(&format!("(component {parts})"), "too many modules");
        let types = "(type (list u8))".repeat(usize::try_from(MAX_TYPES).unwrap() + 1);
        check(&format!("(component {types})"), "too many types");
    }

    #[test]
    fn truncated_input_is_left_to_the_compiler() {
        let whole = Guest::new().build();
        let half = whole.get(..whole.len() / 2).unwrap();
        assert_eq!(fits(half), Ok(()));
    }
}
