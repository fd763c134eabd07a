//! Corrupts honest answers.

use larder_plugin::{
    Checked, Counts, Operation, Part, Piece, Pieces, Sighting, Sightings, TraceId,
};

/// More than a host accepts.
const GIANT: usize = 80 << 20;

/// Returns a number from the last `resume`, and the next `resume`.
fn turn(resume: Option<&[u8]>) -> (u64, Vec<u8>) {
    let last = resume.and_then(|bytes| bytes.try_into().ok());
    let turn = last.map_or(0, u64::from_be_bytes);
    (turn, (turn + 1).to_be_bytes().to_vec())
}

pub(crate) fn find(lie: &str, mut page: Sightings, resume: Option<&[u8]>, limit: u32) -> Sightings {
    let (turn, next) = turn(resume);
    let one = page.found.first().copied().unwrap_or(Sighting {
        trace_id: TraceId { high: 0, low: 1 },
        newest: 5,
        fragment: None,
    });
    match lie {
        "a long list" => page.found = vec![one; limit as usize + 1],
        "too early" => page.found.iter_mut().for_each(|it| it.newest = 0),
        "a giant list" => page.found = vec![one; GIANT / size_of::<Sighting>()],
        "a giant resume" => page.resume = Some(vec![1; 1 << 20]),
        "a rising floor" => {
            page.floor = turn + 1;
            page.resume = Some(next);
        }
        "above the floor" => {
            page.floor = u64::from(turn == 0);
            page.resume = (turn == 0).then_some(next);
            if turn == 0 {
                page.found.clear();
            }
        }
        "the same resume" => {
            page.floor = u64::MAX;
            page.resume = Some(vec![1]);
        }
        "resumes in a circle" => {
            page.floor = u64::MAX;
            page.resume = Some(vec![u8::from(resume == Some(&[0]))]);
            page.found.clear();
        }
        "endless empty pages" => {
            page.floor = u64::MAX;
            page.resume = Some(next);
            page.found.clear();
        }
        _ => {}
    }
    page
}

pub(crate) fn read(lie: &str, mut page: Pieces, part: Part, resume: Option<&[u8]>) -> Pieces {
    let (_, next) = turn(resume);
    match lie {
        "a giant list" => {
            if let Some(mut one) = page.pieces.first().cloned() {
                one.bytes.clear();
                page.pieces = vec![one; GIANT / size_of::<Piece>()];
            }
        }
        "a giant string" => {
            if let Some(one) = page.pieces.first_mut() {
                one.bytes = vec![1; GIANT];
            }
        }
        "unasked traces" => page.pieces.iter_mut().for_each(|it| it.trace_id.low ^= 1),
        "wrong order" => page.pieces.reverse(),
        "twice" => page.pieces.extend(page.pieces.clone()),
        "no bytes" => page.pieces.iter_mut().for_each(|it| it.bytes.clear()),
        "undecodable bytes" => page
            .pieces
            .iter_mut()
            .for_each(|it| it.bytes = vec![255; 9]),
        "another trace's bytes" if part == Part::Otlp => {
            if let [first, .., last] = &mut page.pieces[..] {
                std::mem::swap(&mut first.bytes, &mut last.bytes);
            }
        }
        "the same resume" => page.resume = Some(vec![1]),
        "endless empty pages" => {
            page.pieces.clear();
            page.resume = Some(next);
        }
        "a giant resume" => page.resume = Some(vec![1; 1 << 20]),
        _ => {}
    }
    page
}

pub(crate) fn services(lie: &str, mut services: Vec<String>) -> Vec<String> {
    match lie {
        "a long list" => services.extend((0..1_000_000).map(|it| format!("{it}"))),
        "a giant list" => services = vec![String::new(); GIANT / size_of::<String>()],
        "a long string" => services.push("a".repeat(8 << 20)),
        "a giant string" => services.push("a".repeat(GIANT)),
        "twice" => services.extend(services.clone()),
        "nameless" => services.push(String::new()),
        _ => {}
    }
    services
}

pub(crate) fn operations(lie: &str, mut operations: Vec<Operation>) -> Vec<Operation> {
    let Some(one) = operations.first().cloned() else {
        return operations;
    };
    let named = |name: String| Operation {
        name,
        ..one.clone()
    };
    match lie {
        "a long list" => operations.extend((0..500_000).map(|it| named(it.to_string()))),
        "a giant list" => operations = vec![one; GIANT / size_of::<Operation>()],
        "a long string" => operations.push(named("a".repeat(8 << 20))),
        "a giant string" => operations.push(named("a".repeat(GIANT))),
        "twice" => operations.push(one),
        "unasked" => operations
            .iter_mut()
            .for_each(|operation| operation.service.push('!')),
        _ => {}
    }
    operations
}

pub(crate) fn counts() -> Counts {
    Counts {
        traces: u64::MAX,
        spans: u64::MAX,
        bytes: u64::MAX,
        evicted_traces: u64::MAX,
        evicted_spans: u64::MAX,
        expired_traces: u64::MAX,
        expired_spans: u64::MAX,
        oldest_write: Some(u64::MAX),
    }
}

pub(crate) fn check(lie: &str, resume: Option<&[u8]>) -> Checked {
    let mut step = Checked {
        values: 1,
        ..Checked::default()
    };
    match lie {
        "a long list" => step.damaged = vec!["x".to_owned(); 100_000],
        "a long string" => step.damaged = vec!["x".repeat(1 << 20)],
        "a giant string" => step.damaged = vec!["x".repeat(GIANT)],
        "the same resume" => step.resume = Some(vec![1]),
        "resumes in a circle" => step.resume = Some(vec![u8::from(resume == Some(&[0]))]),
        "endless empty pages" => {
            step.values = 0;
            step.resume = Some(turn(resume).1);
        }
        _ => {}
    }
    step
}
