//! Who may call: bearer tokens, each bound to tenants and to rights.
//!
//! A token is stored as its SHA-256 alone. It is random and long, so a slow hash would protect nothing more; and whoever reads
//! the file has no token. Every entry is compared, each in constant time, so that the time of an answer tells nothing.
//!
//! Architecture invariant: this knows headers, but neither gRPC nor HTTP: a [`Refusal`] becomes a status in `grpc` and a code in
//! `admin`.

mod file;
mod token;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use http::{HeaderMap, header};

pub use file::Error;
pub use token::{Described, generate};

use crate::files::{FromFiles, Reload};
use file::Entry;
use token::Hash;

/// The metadata with which Jaeger forwards its user's token: the token alone.
const BEARER_TOKEN: &str = "bearer.token";

/// What a call needs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Ask for traces.
    Read,
    /// Store spans.
    Write,
    /// See and purge as operators do.
    Admin,
}

/// Why a call is refused. Its text says what to do, and never holds a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No token, or none that is known: UNAUTHENTICATED, 401.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// A known token that may not do this: `PERMISSION_DENIED`, 403.
    #[error("{0}")]
    Denied(String),
}

/// The tokens that are accepted now, or everybody.
pub struct Access(Option<Arc<FromFiles<Vec<Entry>, Error>>>);

/// Who calls: an entry of the file, or anybody where no tokens are asked for.
#[derive(Clone, Debug)]
pub struct Caller(Option<Entry>);

// === impl Access ===

impl Access {
    /// Nobody is asked for a token.
    pub const fn open() -> Self {
        Self(None)
    }

    /// Everybody needs a token of the file, which is read now and again when it changes.
    ///
    /// # Errors
    /// The file cannot be read, or an entry is wrong: with file, place, and what is expected.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let file = path.to_owned();
        let tokens = FromFiles::open("access.tokens", vec![file.clone()], move || {
            file::read(&file)
        })?;
        Ok(Self(Some(Arc::new(tokens))))
    }

    /// Whether tokens are asked for.
    pub const fn is_guarded(&self) -> bool {
        self.0.is_some()
    }

    /// The file of tokens, if they are asked for.
    pub fn file(&self) -> Option<Arc<dyn Reload>> {
        let tokens = self.0.clone()?;
        Some(tokens)
    }

    /// Whether who sent these headers may do this to this tenant.
    pub fn check(&self, headers: &HeaderMap, right: Right, tenant: &str) -> Result<(), Refusal> {
        self.caller(headers)?.check(right, tenant)
    }

    /// Who sent these headers. To be asked once where rights for several tenants are needed.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`]
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let Some(tokens) = &self.0 else {
            return Ok(Caller(None));
        };
        let hash = Hash::of(token(headers)?);
        let tokens = tokens.current();
        let mut found = None;
        for entry in tokens.iter() {
            // No early end: all are compared.
            if entry.hash.is(&hash) {
                found = Some(entry);
            }
        }
        let entry = found.ok_or(Refusal::Unauthenticated(
            "the bearer token is not known: it may be mistyped, or taken out of the file that access.tokens names; `larder token` makes a new one",
        ))?;
        Ok(Caller(Some(entry.clone())))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("guarded", &self.is_guarded())
            .finish_non_exhaustive()
    }
}

// === impl Caller ===

impl Caller {
    /// Whether it may do this to this tenant.
    ///
    /// # Errors
    /// [`Refusal::Denied`]
    pub fn check(&self, right: Right, tenant: &str) -> Result<(), Refusal> {
        self.check_any_tenant(right)?;
        match &self.0 {
            Some(entry) if !entry.tenants.have(tenant) => Err(Refusal::Denied(format!(
                "token {:?} is not for tenant {tenant:?}: add the tenant to its `tenants` in the file that access.tokens names, or call with a token of that tenant",
                entry.name
            ))),
            _ => Ok(()),
        }
    }

    /// Whether it may do this to every tenant there is.
    ///
    /// # Errors
    /// [`Refusal::Denied`]
    pub fn check_every_tenant(&self, right: Right) -> Result<(), Refusal> {
        // No tenant has this name, so that only a token for all has it.
        self.check(right, "*")
    }

    /// Whether it has this right at all, for what concerns no tenant.
    ///
    /// # Errors
    /// [`Refusal::Denied`]
    pub fn check_any_tenant(&self, right: Right) -> Result<(), Refusal> {
        match &self.0 {
            Some(entry) if !entry.rights.contains(&right) => Err(Refusal::Denied(format!(
                "token {:?} has no right to {right}: add `{right}` to its `rights` in the file that access.tokens names, or call with a token that has it",
                entry.name
            ))),
            _ => Ok(()),
        }
    }

    /// The name of its token's entry, for logs; `None` where no tokens are asked for.
    pub fn name(&self) -> Option<&str> {
        self.0.as_ref().map(|entry| entry.name.as_str())
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        })
    }
}

/// The token of a call. `authorization` goes before `bearer.token`: a Jaeger with a token of its own may also forward its user's.
fn token(headers: &HeaderMap) -> Result<&[u8], Refusal> {
    let one = |name: &str| {
        let mut values = headers.get_all(name).into_iter();
        let first = values.next();
        match values.next() {
            Some(_) => Err(Refusal::Unauthenticated(
                "more than one value of authorization, or of bearer.token: send one token",
            )),
            None => Ok(first.map(http::HeaderValue::as_bytes)),
        }
    };
    if let Some(value) = one(header::AUTHORIZATION.as_str())? {
        return bearer(value).ok_or(Refusal::Unauthenticated(
            "the authorization header is not of the form `Bearer TOKEN`",
        ));
    }
    one(BEARER_TOKEN)?.ok_or(Refusal::Unauthenticated(
        "a bearer token is needed: send `authorization: Bearer TOKEN`, or `bearer.token: TOKEN` over gRPC",
    ))
}

/// The scheme's name is written in any case (RFC 9110).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests;
