use super::*;

#[test]
fn refusals_are_counted_by_their_code_and_their_spans_are_not() {
    let full = || Err(Error::from(Status::resource_exhausted("slow down")));
    let (mut one, mut other) = (Totals::default(), Totals::default());
    one.count(Ok(()), 1_000);
    one.count(full(), 1_000);
    other.count(full(), 1_000);
    other.count(Err(Error::msg("3 spans refused: too large")), 1_000);
    one.add(other);
    let errors = [("ResourceExhausted", 2), ("partial success", 1)];
    assert_eq!(
        one,
        Totals {
            calls: 4,
            spans: 1_000,
            errors: errors.map(|(code, count)| (code.to_owned(), count)).into(),
        }
    );
}
