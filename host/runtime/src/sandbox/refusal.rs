//! Maps an error that a guest raised to the error that the caller gets (`host/docs/architecture.md`, "Errors on the wire").
//!
//! `resource-exhausted`, `unavailable` and `data-loss` are passed on as what they are. `invalid-argument` and `other` have no meaning
//! in answer to the host, whose calls are well-formed: a write is UNAVAILABLE then, so that clients keep the spans and retry, and a
//! read is INTERNAL, as for an answer that breaks the contract. It does not count as a breach.

use std::fmt;

use larder_model::storage::{Error, ErrorKind};

use super::contract::GuestError;

/// A longer text of a guest is cut.
const MAX_TEXT_BYTES: usize = 1024;

/// The answer to an error that `write` raised.
pub(crate) fn of_write(plugin: &str, raised: &GuestError) -> Error {
    refusal(plugin, raised, ErrorKind::Unavailable)
}

/// The answer to an error that a read raised.
pub(crate) fn of_read(plugin: &str, raised: &GuestError) -> Error {
    refusal(plugin, raised, ErrorKind::ContractBroken)
}

/// True for an error whose [`describe`] this is if the guest could not reach its store, so that a later call may succeed.
pub(crate) fn is_unavailable(described: &str) -> bool {
    described.starts_with("unavailable: ")
}

/// The name of the error's case and its text, for logs.
pub(crate) fn describe(raised: &GuestError) -> String {
    raised.to_string()
}

fn refusal(plugin: &str, raised: &GuestError, meaningless: ErrorKind) -> Error {
    let kind = match raised {
        GuestError::ResourceExhausted(_) => ErrorKind::ResourceExhausted,
        GuestError::Unavailable(_) => ErrorKind::Unavailable,
        GuestError::DataLoss(_) => ErrorKind::DataLoss,
        GuestError::InvalidArgument(_) | GuestError::Other(_) => meaningless,
    };
    Error::new(kind, format!("plugin `{plugin}`: {}", describe(raised)))
}

// === impl GuestError ===

impl fmt::Display for GuestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (case, text) = match self {
            Self::InvalidArgument(text) => ("invalid-argument", text),
            Self::ResourceExhausted(text) => ("resource-exhausted", text),
            Self::Unavailable(text) => ("unavailable", text),
            Self::DataLoss(text) => ("data-loss", text),
            Self::Other(text) => ("other", text),
        };
        let text = text.get(..text.floor_char_boundary(MAX_TEXT_BYTES));
        write!(f, "{case}: {}", text.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_meaning_is_retried_for_writes_and_ends_reads() {
        for raise in [GuestError::Other, GuestError::InvalidArgument] {
            let write = of_write("x", &raise("why".into()));
            assert_eq!(write.kind(), ErrorKind::Unavailable);
            assert_eq!(
                of_read("x", &raise("why".into())).kind(),
                ErrorKind::ContractBroken
            );
            assert!(write.message().contains("`x`") && write.message().contains("why"));
        }
    }

    #[test]
    fn an_error_with_a_meaning_keeps_it() {
        let full = GuestError::ResourceExhausted("full".into());
        assert_eq!(of_write("x", &full).kind(), ErrorKind::ResourceExhausted);
        let lost = GuestError::DataLoss("lost".into());
        assert_eq!(of_read("x", &lost).kind(), ErrorKind::DataLoss);
        let unavailable = GuestError::Unavailable("unreachable".into());
        assert_eq!(of_read("x", &unavailable).kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn what_may_pass_is_known_by_its_description() {
        let is_unavailable = |raised: GuestError| is_unavailable(&describe(&raised));
        assert!(is_unavailable(GuestError::Unavailable("why".into())));
        assert!(!is_unavailable(GuestError::Other("unavailable: ".into())));
        assert!(!is_unavailable(GuestError::DataLoss("why".into())));
    }

    #[test]
    fn a_long_text_is_cut() {
        let raised = GuestError::Other("é".repeat(10_000));
        assert!(of_write("x", &raised).message().len() < MAX_TEXT_BYTES + 100);
    }
}
