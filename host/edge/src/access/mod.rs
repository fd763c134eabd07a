//! Authenticates and authorizes callers by bearer tokens, each bound to tenants and rights.
//!
//! Only the SHA-256 of a token is stored, so a reader of the file learns no token. Tokens are long and random, so a slow hash would not
//! protect them better. Each call is compared with every entry in constant time, so that timing reveals nothing.
//!
//! Architecture invariant: this knows headers, but neither gRPC nor HTTP status codes. An [`AuthError`] becomes a status in `grpc` and a
//! code in `admin`.

mod file;
mod refusals;
mod token;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use http::{HeaderMap, header};

pub use file::{Error, append};
pub use refusals::report;
pub use token::{NewEntry, default_name, generate};

use crate::files::{Reloadable, WatchedFiles};
use file::TokenEntry;
use token::TokenHash;

/// The metadata key under which Jaeger forwards its user's token, without a scheme.
const BEARER_TOKEN: &str = "bearer.token";

/// A right that a call requires.
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
    /// Scrape metrics, and nothing else.
    Metrics,
}

/// A refused call. The text says what to do, and never contains a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No token or an unknown one: UNAUTHENTICATED, 401.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// A known token without the right, or for other tenants: `PERMISSION_DENIED`, 403.
    #[error("{0}")]
    PermissionDenied(String),
}

/// The accepted tokens, or unauthenticated access.
pub struct Access(Option<Arc<Reloadable<Vec<TokenEntry>, Error>>>);

/// An authenticated caller, or an anonymous one if no tokens are required.
#[derive(Clone, Debug)]
pub struct Caller(Option<TokenEntry>);

// === impl AuthError ===

impl AuthError {
    /// The `reason` label of metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unauthenticated(_) => "unauthenticated",
            Self::PermissionDenied(_) => "permission_denied",
        }
    }
}

// === impl Access ===

impl Access {
    /// No tokens are required: unauthenticated access to everything.
    pub const fn anonymous() -> Self {
        Self(None)
    }

    /// Every caller needs a token of the file. The file is reloaded when it changes.
    ///
    /// # Errors
    /// The file cannot be read or has an invalid entry. The error has the path, the place, and the expected form.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let file = path.to_owned();
        let tokens = Reloadable::open("access.tokens", vec![file.clone()], move || {
            file::read(&file)
        })?;
        Ok(Self(Some(Arc::new(tokens))))
    }

    /// True if callers need a token.
    pub const fn requires_token(&self) -> bool {
        self.0.is_some()
    }

    /// The file of tokens, if tokens are required.
    pub fn file(&self) -> Option<Arc<dyn WatchedFiles>> {
        let tokens = self.0.clone()?;
        Some(tokens)
    }

    /// Authenticates the caller by its headers and checks its right to a tenant.
    ///
    /// # Errors
    /// As [`Access::caller`] and [`Caller::check`].
    pub fn check(&self, headers: &HeaderMap, right: Right, tenant: &str) -> Result<(), AuthError> {
        self.caller(headers)?.check(right, tenant)
    }

    /// Authenticates the caller by its headers. [`Caller::check`] can then be used for several tenants.
    ///
    /// # Errors
    /// [`AuthError::Unauthenticated`]
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, AuthError> {
        let Some(tokens) = &self.0 else {
            return Ok(Caller(None));
        };
        let hash = TokenHash::of(token(headers)?);
        let tokens = tokens.current();
        let mut found = None;
        for entry in tokens.iter() {
            // No early exit: constant time requires that all are compared.
            if entry.hash.matches(&hash) {
                found = Some(entry);
            }
        }
        let entry = found.ok_or(AuthError::Unauthenticated(
            "the bearer token is not known: it may be mistyped, or taken out of the file that access.tokens names; `larder token` makes a new one",
        ))?;
        Ok(Caller(Some(entry.clone())))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("requires_token", &self.requires_token())
            .finish_non_exhaustive()
    }
}

// === impl Caller ===

impl Caller {
    /// Checks the right to one tenant.
    ///
    /// # Errors
    /// [`AuthError::PermissionDenied`]
    pub fn check(&self, right: Right, tenant: &str) -> Result<(), AuthError> {
        self.check_right(right)?;
        match &self.0 {
            Some(entry) if !entry.tenants.contains(tenant) => {
                Err(AuthError::PermissionDenied(format!(
                    "token {:?} is not for tenant {tenant:?}: add the tenant to its `tenants` in the file that access.tokens names, or call with a token of that tenant",
                    entry.name
                )))
            }
            _ => Ok(()),
        }
    }

    /// Checks the right to all tenants.
    ///
    /// # Errors
    /// [`AuthError::PermissionDenied`]
    pub fn check_all_tenants(&self, right: Right) -> Result<(), AuthError> {
        // No tenant has this name, so only a token for all tenants passes.
        self.check(right, "*")
    }

    /// Checks the right alone, for calls that concern no tenant.
    ///
    /// # Errors
    /// [`AuthError::PermissionDenied`]
    pub fn check_right(&self, right: Right) -> Result<(), AuthError> {
        match &self.0 {
            Some(entry) if !entry.rights.contains(&right) => {
                Err(AuthError::PermissionDenied(format!(
                    "token {:?} has no right to {right}: add `{right}` to its `rights` in the file that access.tokens names, or call with a token that has it",
                    entry.name
                )))
            }
            _ => Ok(()),
        }
    }

    /// True if the token is for this tenant, whatever its rights. An anonymous caller is for every tenant.
    pub fn is_for(&self, tenant: &str) -> bool {
        let entry = self.0.as_ref();
        entry.is_none_or(|entry| entry.tenants.contains(tenant))
    }

    /// The name of the token's entry, for logs. `None` for an anonymous caller.
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
            Self::Metrics => "metrics",
        })
    }
}

/// The token of a call. `authorization` takes precedence over `bearer.token`, as a Jaeger with a token of its own may also forward its
/// user's.
fn token(headers: &HeaderMap) -> Result<&[u8], AuthError> {
    let one = |name: &str| {
        let mut values = headers.get_all(name).into_iter();
        let first = values.next();
        match values.next() {
            Some(_) => Err(AuthError::Unauthenticated(
                "more than one value of authorization, or of bearer.token: send one token",
            )),
            None => Ok(first.map(http::HeaderValue::as_bytes)),
        }
    };
    if let Some(value) = one(header::AUTHORIZATION.as_str())? {
        return bearer(value).ok_or(AuthError::Unauthenticated(
            "the authorization header is not of the form `Bearer TOKEN`",
        ));
    }
    one(BEARER_TOKEN)?.ok_or(AuthError::Unauthenticated(
        "a bearer token is needed: send `authorization: Bearer TOKEN`, or `bearer.token: TOKEN` over gRPC",
    ))
}

/// The token of `Bearer TOKEN`. The scheme is case-insensitive (RFC 9110).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests;
