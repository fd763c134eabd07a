//! Realistic spans from a seed: requests like those of a collector's batch processor, about 510 bytes and twelve attributes a span.
//!
//! The benchmarks have all their spans from here. Architecture invariant: nothing here shares code with the server, except the messages
//! of OTLP.

#![forbid(unsafe_code)]

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use spans::{SpanPosition, resource_spans, span};

mod extras;
mod repeats;
mod spans;
#[cfg(test)]
mod tests;
mod texts;
pub mod values;

pub use repeats::{MARKED_TRACES, MARKED_VALUE, REPEATED_KEYS};

/// The number of services.
pub const SERVICES: usize = 60;
/// The number of operations of each service.
const OPERATIONS: usize = 12;
/// The attribute that few traces have, the first one among them.
pub const RARE_ATTRIBUTE: (&str, &str) = ("feature.flag", "beta-checkout");
/// A trace has it if its number is a multiple of this.
const RARE: u64 = 5_000;
const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
/// The first span's start: 2026-01-01T00:00:00Z.
const EPOCH: u64 = 1_767_225_600_000_000_000;
/// The time in the window after the last trace.
const ROOM: u64 = 60_000_000_000;
/// The usual time for each span, in nanoseconds.
pub const STEP: u64 = 2_000_000;

/// A data set, generated request by request so that it need not fit in memory.
#[derive(Debug, Clone)]
pub struct Corpus {
    seed: u64,
    spans: u64,
    request_spans: u64,
    /// The time for each span, in nanoseconds: a trace's number times this is its start.
    step: u64,
    /// Nanoseconds between the last trace's start and the end of the window.
    room: u64,
    /// True if every span has long texts.
    has_texts: bool,
    /// True if every span has the keys of [`REPEATED_KEYS`].
    has_repeats: bool,
}

/// One Export, and its number of spans.
#[derive(Debug, Clone)]
pub struct Request {
    /// The encoded `ExportTraceServiceRequest`.
    pub bytes: bytes::Bytes,
    /// The number of spans.
    pub spans: u64,
}

impl Corpus {
    /// Describes `spans` spans in requests of `request_spans`.
    pub fn new(seed: u64, spans: u64, request_spans: u64) -> Self {
        Self {
            seed,
            spans,
            request_spans: request_spans.max(1),
            step: STEP,
            room: ROOM,
            has_texts: false,
            has_repeats: false,
        }
    }

    /// Returns the same corpus over another time: `step` nanoseconds for each span, instead of [`STEP`].
    #[must_use]
    pub fn with_step(self, step: u64) -> Self {
        Self {
            step: step.max(1),
            ..self
        }
    }

    /// Returns its first spans, which must be whole requests.
    #[must_use]
    pub fn first(&self, spans: u64) -> Self {
        Self {
            spans,
            ..self.clone()
        }
    }

    /// Returns the same corpus with a statement, an URL and a stack trace on every span, about 200 words together.
    #[must_use]
    pub fn with_texts(self) -> Self {
        Self {
            has_texts: true,
            ..self
        }
    }

    /// Returns the same corpus with attributes of 20, 1,000 and 1,000,000 distinct values on every span ([`REPEATED_KEYS`]).
    #[must_use]
    pub fn with_repeats(self) -> Self {
        Self {
            has_repeats: true,
            ..self
        }
    }

    /// Returns another corpus of the same seed, without common traces.
    #[must_use]
    pub fn beside(&self, spans: u64, request_spans: u64) -> Self {
        // A trace's id depends on the seed plus the trace's number.
        Self::new(self.seed.wrapping_add(1 << 32), spans, request_spans)
    }

    /// Returns the inputs of the generator: seed, spans, and spans per request.
    pub fn identity(&self) -> (u64, u64, u64) {
        (self.seed, self.spans, self.request_spans)
    }

    /// Returns the time for each span, in nanoseconds.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Returns the number of requests.
    pub fn requests(&self) -> u64 {
        self.spans.div_ceil(self.request_spans)
    }

    /// Returns the earliest and latest start of a span, with some room.
    pub fn window(&self) -> (u64, u64) {
        (EPOCH, EPOCH + self.spans * self.step + self.room)
    }

    /// Returns the same corpus with a window that excludes the later spans of a larger corpus of the same seed. It must consist of whole
    /// requests.
    #[must_use]
    pub fn without_room(&self) -> Self {
        Self {
            room: 0,
            ..self.clone()
        }
    }

    /// Returns request number `index`; it is the same at every call.
    pub fn request(&self, index: u64) -> Request {
        let (message, spans) = self.message(index);
        Request {
            bytes: message.encode_to_vec().into(),
            spans,
        }
    }

    /// Returns request number `index` with all its spans moved to one service.
    pub fn request_of(&self, index: u64, service: &str) -> ExportTraceServiceRequest {
        let (mut message, _) = self.message(index);
        for resource_spans in &mut message.resource_spans {
            spans::rename(resource_spans, service);
        }
        message
    }

    /// Returns request number `index` and its number of spans.
    pub fn message(&self, index: u64) -> (ExportTraceServiceRequest, u64) {
        let mut random =
            fastrand::Rng::with_seed(self.seed ^ (index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let wanted = self
            .request_spans
            .min(self.spans - index * self.request_spans);
        let mut by_service: Vec<Vec<Span>> = vec![Vec::new(); SERVICES];
        let mut made = 0;
        let mut trace = 0;
        while made < wanted {
            let number = index * self.request_spans + trace;
            // The first trace of ten requests, or of all if there are fewer.
            let is_marked = trace == 0 && index * MARKED_TRACES % self.requests() < MARKED_TRACES;
            let most = wanted - made;
            made += self.trace(&mut random, (number, is_marked), most, &mut by_service);
            trace += 1;
        }
        let resource_spans = by_service
            .into_iter()
            .enumerate()
            .filter(|(_, spans)| !spans.is_empty())
            .map(|(service, spans)| resource_spans(service, spans))
            .collect();
        (ExportTraceServiceRequest { resource_spans }, made)
    }

    /// Returns the id of trace number `number`.
    pub fn trace_id(&self, number: u64) -> [u8; 16] {
        let mut random = fastrand::Rng::with_seed(
            self.seed
                .wrapping_add(number)
                .wrapping_mul(0xD134_2543_DE82_EF95),
        );
        random.u128(1..).to_be_bytes()
    }

    fn trace(
        &self,
        random: &mut fastrand::Rng,
        (number, is_marked): (u64, bool),
        most: u64,
        by_service: &mut [Vec<Span>],
    ) -> u64 {
        let trace_id = self.trace_id(number).to_vec();
        let count = random.u64(2..=12).min(most);
        let mut start = EPOCH + number * self.step + random.u64(0..self.step);
        let mut parents: Vec<(Vec<u8>, usize)> = Vec::new();
        for place in 0..count {
            let (parent, service) = if parents.is_empty() {
                (Vec::new(), random.usize(0..SERVICES))
            } else {
                let (id, service) = parents
                    .get(random.usize(0..parents.len()))
                    .cloned()
                    .unwrap_or_default();
                (
                    id,
                    if random.u8(0..3) == 0 {
                        (service * 7 + 1 + random.usize(0..3)) % SERVICES
                    } else {
                        service
                    },
                )
            };
            start += random.u64(1_000..400_000);
            let span_id = random.u64(1..);
            let mut span = span(
                random,
                SpanPosition {
                    trace_id: &trace_id,
                    span_id,
                    parent_span_id: parent,
                    start,
                },
                place == 0 && number.is_multiple_of(RARE),
            );
            if self.has_texts {
                // Of its own, so that everything else is as without texts.
                texts::add(&mut span, &mut fastrand::Rng::with_seed(span_id));
            }
            if self.has_repeats {
                repeats::add(
                    &mut span,
                    &mut fastrand::Rng::with_seed(!span_id),
                    is_marked,
                );
            }
            parents.push((span.span_id.clone(), service));
            if let Some(spans) = by_service.get_mut(service) {
                spans.push(span);
            }
        }
        count
    }
}

/// Returns the name of service number `service`.
pub fn service_name(service: usize) -> String {
    format!(
        "{}-service-{service:02}",
        pick(
            ["cart", "checkout", "payment", "catalog", "search"],
            service
        )
    )
}

/// Returns the name of operation number `operation`.
pub fn operation_name(operation: usize) -> String {
    format!(
        "{} /api/v1/{}/{{id}}",
        pick(METHODS, operation),
        pick(["items", "orders", "users", "carts"], operation)
    )
}

/// Returns the name of batch number `batch`. One span in fifty has a link that names one of a thousand batches.
pub fn batch_name(batch: u64) -> String {
    format!("batch-{batch:03}")
}

/// Returns the name of user number `user` of twenty thousand.
pub fn user_name(user: u32) -> String {
    format!("user-{user:05}")
}

fn pick<const N: usize>(words: [&'static str; N], number: usize) -> &'static str {
    words.get(number % N).copied().unwrap_or_default()
}
