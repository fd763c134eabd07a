//! The text of a page token: base64url without padding of an encoded message.
//!
//! The message has its version, the fingerprint of the query, a cursor, and a checksum over all of that, so a token in which anything
//! was changed is refused. The checksum is no secret: a client that makes a token of its own gets a page of its own query.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::position::{Cursor, Position};

/// The version of new tokens, and the only one that is read. Version 1 had neither a kind of search nor a checksum, and was bound to
/// the bytes of its query.
const VERSION: u32 = 2;

/// Maximum length of a token. The longest that is made has 123 letters.
const MAX_LETTERS: usize = 128;

/// The message. To change a field takes a new version.
#[derive(Clone, PartialEq, Message)]
struct Token {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(fixed64, tag = "2")]
    fingerprint: u64,
    #[prost(oneof = "Cursor", tags = "3, 4")]
    cursor: Option<Cursor>,
    /// Hash of the message without this field.
    #[prost(fixed64, tag = "5")]
    checksum: u64,
}

/// What the messages of all versions have in common.
#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(uint32, tag = "1")]
    version: u32,
}

/// A token that is not read, in Jaeger's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    /// It is no base64.
    #[error("page token is not valid base64")]
    NotBase64,
    /// It is not as this server makes tokens.
    #[error("page token is malformed: {0}")]
    Malformed(&'static str),
    /// It is of another version.
    #[error("page token version {0} is not supported")]
    Version(u32),
    /// It has no cursor.
    #[error("page token carries no cursor")]
    NoCursor,
    /// Its cursor is of another kind of search than this one.
    #[error("page token does not carry {0}")]
    OtherPosition(&'static str),
    /// It was given to another query.
    #[error("page token belongs to a different query; continue with the query it was returned for")]
    OtherQuery,
}

/// The token of the page that follows `position`, for a query of this fingerprint.
pub(super) fn write(position: impl Position, fingerprint: u64) -> String {
    let token = Token {
        version: VERSION,
        fingerprint,
        cursor: Some(position.cursor()),
        checksum: 0,
    };
    token.sealed().text()
}

/// The position of a token that was given to a query of this fingerprint.
///
/// # Errors
/// Any other text.
pub(super) fn read<P: Position>(text: &str, fingerprint: u64) -> Result<P, Refusal> {
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| Refusal::NotBase64)?;
    if text.len() > MAX_LETTERS {
        return Err(Refusal::Malformed("it is longer than any token"));
    }
    let malformed = |_| Refusal::Malformed("it cannot be decoded");
    let header = Header::decode(bytes.as_slice()).map_err(malformed)?;
    match header.version {
        VERSION => {}
        0 => return Err(Refusal::Malformed("it has no version")),
        other => return Err(Refusal::Version(other)),
    }
    let token = Token::decode(bytes.as_slice()).map_err(malformed)?;
    // The bytes and not the message, as unknown fields and other encodings of the same message are changes too.
    if token.clone().sealed().encode_to_vec() != bytes {
        return Err(Refusal::Malformed("its checksum does not match"));
    }
    let cursor = token.cursor.ok_or(Refusal::NoCursor)?;
    let position = P::from_cursor(&cursor)?;
    if token.fingerprint != fingerprint {
        return Err(Refusal::OtherQuery);
    }
    Ok(position)
}

// === impl Token ===

impl Token {
    /// The message with its checksum.
    fn sealed(mut self) -> Self {
        self.checksum = 0;
        self.checksum = xxh3_64(&self.encode_to_vec());
        self
    }

    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.encode_to_vec())
    }
}

#[cfg(test)]
mod tests;
