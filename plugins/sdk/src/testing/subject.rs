//! What is tested: a plugin, however it is called.

use std::borrow::Cow;
use std::fmt;

use crate::{
    Batch, Counts, Error, Instancing, Operation, Part, Pieces, Plugin, Search, Sightings,
    Timestamp, Wanted,
};

/// A rule of the contract that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Its name: `find.covered`. Rules that the host holds while it serves have the names of its metrics.
    pub rule: Cow<'static, str>,
    /// The call, what came of it, and what had to.
    pub text: String,
}

/// What came of a call. The inner error is the plugin's; the outer one the end of its instance, or a rule that the answer broke by itself.
pub type Called<T> = Result<Result<T, Error>, Breach>;

/// The functions of a plugin that is open. They do what the contract's functions of these names promise.
#[expect(missing_docs, reason = "the contract's own")]
pub trait Subject {
    fn instancing(&self) -> Instancing;
    fn write(&mut self, now: Timestamp, batches: Vec<Batch>) -> Called<()>;
    /// Of every instance that reads.
    fn refresh(&mut self) -> Called<()>;
    fn find(&mut self, search: &Search, resume: Option<&[u8]>, limit: u32) -> Called<Sightings>;
    fn read(
        &mut self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Called<Pieces>;
    fn services(&mut self) -> Called<Vec<String>>;
    fn operations(&mut self, service: &str) -> Called<Vec<Operation>>;
    fn statistics(&mut self) -> Result<Counts, Breach>;
}

/// A plugin that is called natively.
#[derive(Debug)]
pub struct Native<P>(pub P);

// === impl Breach ===

impl Breach {
    /// A breach of the rule of this name.
    pub fn new(rule: impl Into<Cow<'static, str>>, text: impl Into<String>) -> Self {
        Self {
            rule: rule.into(),
            text: text.into(),
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

impl std::error::Error for Breach {}

// === impl Native ===

impl<P: Plugin> Subject for Native<P> {
    fn instancing(&self) -> Instancing {
        P::INSTANCING
    }

    fn write(&mut self, now: Timestamp, batches: Vec<Batch>) -> Called<()> {
        Ok(self.0.write(now, batches))
    }

    fn refresh(&mut self) -> Called<()> {
        Ok(self.0.refresh())
    }

    fn find(&mut self, search: &Search, resume: Option<&[u8]>, limit: u32) -> Called<Sightings> {
        Ok(self.0.find(search, resume, limit))
    }

    fn read(
        &mut self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Called<Pieces> {
        let page = self.0.read(wanted, part, resume, max_bytes);
        if let Ok(page) = &page {
            // Less than a host takes.
            let bytes: usize = page.pieces.iter().map(|piece| piece.bytes.len()).sum();
            let last = page.pieces.last().map_or(0, |piece| piece.bytes.len());
            if bytes - last > max_bytes as usize {
                let text = format!("a page of {bytes} bytes for {max_bytes}");
                return Err(Breach::new("read.size", text));
            }
        }
        Ok(page)
    }

    fn services(&mut self) -> Called<Vec<String>> {
        Ok(self.0.services())
    }

    fn operations(&mut self, service: &str) -> Called<Vec<Operation>> {
        Ok(self.0.operations(service))
    }

    fn statistics(&mut self) -> Result<Counts, Breach> {
        Ok(self.0.statistics())
    }
}
