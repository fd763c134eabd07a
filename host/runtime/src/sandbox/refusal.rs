//! Maps an error that a guest raised to the error that the caller gets (`host/docs/architecture.md`, "Errors on the wire").
//!
//! `resource-exhausted`, `unavailable` and `data-loss` are passed on as what they are. `invalid-argument` and `other` have no meaning
//! in answer to the host, whose calls are well-formed: a write is UNAVAILABLE then, so that clients keep the spans and retry, and a
//! read is answered as every broken contract is (INTERNAL), but it is no strike: the guest is confused, not lying.

use larder_model::storage::{Error, ErrorKind};

use super::bindings::larder::storage::types;

/// The most bytes that are kept of a guest's text.
const MAX_TEXT_BYTES: usize = 1024;

/// An error that `write` raised.
pub(crate) fn of_write(plugin: &str, raised: &types::Error) -> Error {
    refusal(plugin, raised, ErrorKind::Unavailable)
}

/// An error that a read raised.
pub(crate) fn of_read(plugin: &str, raised: &types::Error) -> Error {
    refusal(plugin, raised, ErrorKind::ContractBroken)
}

/// The error's words and text, for logs.
pub(crate) fn describe(raised: &types::Error) -> String {
    let (word, text) = match raised {
        types::Error::InvalidArgument(text) => ("invalid-argument", text),
        types::Error::ResourceExhausted(text) => ("resource-exhausted", text),
        types::Error::Unavailable(text) => ("unavailable", text),
        types::Error::DataLoss(text) => ("data-loss", text),
        types::Error::Other(text) => ("other", text),
    };
    let text = text.get(..text.floor_char_boundary(MAX_TEXT_BYTES));
    format!("{word}: {}", text.unwrap_or_default())
}

fn refusal(plugin: &str, raised: &types::Error, meaningless: ErrorKind) -> Error {
    let kind = match raised {
        types::Error::ResourceExhausted(_) => ErrorKind::ResourceExhausted,
        types::Error::Unavailable(_) => ErrorKind::Unavailable,
        types::Error::DataLoss(_) => ErrorKind::DataLoss,
        types::Error::InvalidArgument(_) | types::Error::Other(_) => meaningless,
    };
    Error::new(kind, format!("plugin `{plugin}`: {}", describe(raised)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_meaning_is_retried_for_writes_and_ends_reads() {
        for raise in [types::Error::Other, types::Error::InvalidArgument] {
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
        let full = types::Error::ResourceExhausted("full".into());
        assert_eq!(of_write("x", &full).kind(), ErrorKind::ResourceExhausted);
        let lost = types::Error::DataLoss("lost".into());
        assert_eq!(of_read("x", &lost).kind(), ErrorKind::DataLoss);
        let away = types::Error::Unavailable("away".into());
        assert_eq!(of_read("x", &away).kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn a_long_text_is_cut() {
        let raised = types::Error::Other("é".repeat(10_000));
        assert!(of_write("x", &raised).message().len() < MAX_TEXT_BYTES + 100);
    }
}
