use opentelemetry_proto::tonic::trace::v1::TracesData;

use super::*;

#[test]
fn calls_take_turns_and_start_again() -> Result<()> {
    let work = Work::new(&Corpus::new(7, 2_000, 1_000), 6)?;
    let kinds: Result<Vec<_>> = (0..6).map(|call| Ok(work.task(call)?.kind)).collect();
    assert_eq!(kinds?, [FIND, GET, WRITE, FIND, GET, WRITE]);
    assert_eq!(work.task(2)?.request, work.task(8)?.request);
    assert_ne!(work.task(2)?.request, work.task(5)?.request);
    Ok(())
}

#[test]
fn a_trace_by_id_has_to_be_that_trace_with_all_its_spans() -> Result<()> {
    let corpus = Corpus::new(7, 2_000, 1_000);
    let work = Work::new(&corpus, 6)?;
    let task = work.task(1)?;
    assert!(task.check(&[]).is_err());
    let all: Vec<_> = (0..2)
        .flat_map(|index| corpus.message(index).0.resource_spans)
        .collect();
    let everything: Bytes = TracesData {
        resource_spans: all.clone(),
    }
    .encode_to_vec()
    .into();
    assert!(task.check(&[everything]).is_err());
    let Some((Question::Trace(id), _)) = &task.known else {
        anyhow::bail!("a trace by id");
    };
    let mut one = all;
    for scope in one.iter_mut().flat_map(|of| &mut of.scope_spans) {
        scope.spans.retain(|span| span.trace_id == *id);
    }
    task.check(&[TracesData {
        resource_spans: one,
    }
    .encode_to_vec()
    .into()])
}
