//! Tokens and their hashes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use larder_model::TenantName;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use subtle::ConstantTimeEq as _;

use super::Right;

/// Entropy of a token: as many bits as its hash has.
const RANDOM_BYTES: usize = 32;

/// Scanners for leaked secrets recognise a token by its prefix.
const PREFIX: &str = "larder_";

/// The SHA-256 of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenHash([u8; SHA256_OUTPUT_LEN]);

/// A new entry for the token file. `Display` prints its line.
pub struct NewEntry<'a> {
    /// The token's name in logs and errors.
    pub name: &'a str,
    /// The token.
    pub token: &'a str,
    /// The token's tenants. Empty for all tenants.
    pub tenants: &'a [TenantName],
    /// The token's rights.
    pub rights: &'a [Right],
}

/// A new random token. `None` if the system has no random bytes.
pub fn generate() -> Option<String> {
    let mut random = [0; RANDOM_BYTES];
    SystemRandom::new().fill(&mut random).ok()?;
    Some(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)))
}

/// A name for a token that was given none. Two tokens have different ones, as names in the file have to differ.
pub fn default_name(token: &str) -> String {
    let hash = TokenHash::of(token.as_bytes()).to_string();
    format!("token-{}", hash.get(..8).unwrap_or(&hash))
}

// === impl TokenHash ===

impl TokenHash {
    pub(super) fn of(token: &[u8]) -> Self {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        for (byte, hashed) in hash.iter_mut().zip(digest(&SHA256, token).as_ref()) {
            *byte = *hashed;
        }
        Self(hash)
    }

    /// Parses 64 hex digits. `None` for anything else.
    pub(super) fn parse(hex: &str) -> Option<Self> {
        if hex.len() != 2 * SHA256_OUTPUT_LEN || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let mut hash = [0; SHA256_OUTPUT_LEN];
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self(hash))
    }

    /// Compares in constant time.
    pub(super) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The line for the file. Strings are quoted as JSON, which is valid YAML.
impl fmt::Display for NewEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = serde_json::json!(self.name);
        let tenants = match self.tenants {
            [] => serde_json::json!("*"),
            tenants => serde_json::json!(tenants),
        };
        let rights: Vec<String> = self.rights.iter().map(ToString::to_string).collect();
        let (hash, rights) = (TokenHash::of(self.token.as_bytes()), rights.join(", "));
        write!(
            f,
            "- {{ name: {name}, sha256: {hash}, tenants: {tenants}, rights: [{rights}] }}"
        )
    }
}
