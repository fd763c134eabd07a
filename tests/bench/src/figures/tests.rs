use super::*;

const AT: Conditions = Conditions {
    spans: 1_000,
    share: None,
    rate: None,
    span_ns: None,
};

fn results(peer: bool) -> Results {
    Results {
        format: FORMAT,
        command: "compare".to_owned(),
        arguments: vec!["--spans".to_owned(), "1000".to_owned()],
        seed: 7,
        request_spans: 1_000,
        processors: 2,
        targets: vec![TargetName {
            name: "kv".to_owned(),
            peer,
        }],
        figures: Vec::new(),
        remarks: Vec::new(),
    }
}

fn with(value: f64) -> Results {
    let mut results = results(false);
    results.add("kv", "services", AT, "p50_ms", value);
    results
}

fn remark(kind: RemarkKind) -> Remark {
    Remark {
        target: "kv".to_owned(),
        subject: "services".to_owned(),
        at: AT,
        kind,
        text: "1 of 2 missing (a)".to_owned(),
    }
}

#[test]
fn runs_put_together_have_minimum_median_and_maximum() -> Result<()> {
    let mut all = with(3.0);
    for value in [1.0, 8.0] {
        all.combine(&with(value))?;
    }
    let figure = all.figure("kv", "services", AT, "p50_ms").context("it")?;
    assert_eq!(figure.values, [3.0, 1.0, 8.0]);
    assert_eq!((figure.min, figure.median, figure.max), (1.0, 3.0, 8.0));
    all.combine(&with(4.0))?;
    let figure = all.figure("kv", "services", AT, "p50_ms").context("it")?;
    assert_eq!((figure.min, figure.median, figure.max), (1.0, 3.5, 8.0));
    Ok(())
}

#[test]
fn measurements_under_another_load_are_other_figures() {
    let mut results = with(1.0);
    let at = Conditions {
        share: Some(0.5),
        ..AT
    };
    results.add("kv", "services", at, "p50_ms", 2.0);
    assert_eq!(results.figures.len(), 2);
    assert_eq!(results.points(), [AT, at]);
    assert_eq!(results.searches(), ["services"]);
}

#[test]
fn spans_over_another_time_are_another_condition() {
    let usual = Corpus::new(7, 1_000, 1_000);
    assert_eq!(Conditions::of(&usual), AT);
    let slower = Conditions {
        span_ns: Some(2 * STEP),
        ..AT
    };
    assert_eq!(Conditions::of(&usual.with_step(2 * STEP)), slower);
}

#[test]
fn runs_of_other_commands_or_spans_do_not_go_together() {
    let mut growth = with(1.0);
    growth.command = "growth".to_owned();
    let mut seed = with(1.0);
    seed.seed = 8;
    for other in [growth, seed] {
        assert!(with(1.0).combine(&other).is_err());
    }
}

#[test]
fn a_file_reads_back_and_another_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("result.json");
    let mut results = with(1.25);
    results.remark(remark(RemarkKind::Refused));
    results.save(Some(&path))?;
    assert_eq!(Results::open(&path)?, results);
    results.format = 99;
    results.save(Some(&path))?;
    let error = Results::open(&path).err().map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.contains("format 99")));
    std::fs::write(&path, "{}")?;
    assert!(Results::open(&path).is_err());
    Ok(())
}

#[test]
fn a_wrong_answer_fails_the_run_unless_a_peer_gave_it() {
    let judged = |peer, kind| {
        let mut results = results(peer);
        results.remark(remark(kind));
        results.judge().err().map(|error| error.to_string())
    };
    let error = judged(false, RemarkKind::Wrong);
    assert!(error.is_some_and(|of| of.contains("kv, services: 1 of 2 missing (a)")));
    assert_eq!(judged(true, RemarkKind::Wrong), None);
    assert_eq!(judged(false, RemarkKind::Refused), None);
}
