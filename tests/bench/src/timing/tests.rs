use larder_proto::storage::v2::GetServicesResponse;
use prost::Message;

use super::*;
use crate::question::Question;

#[test]
fn the_table_says_in_a_word_that_a_search_was_refused() {
    let said = |status: Status| refusal(&anyhow::Error::from(status));
    assert_eq!(said(Status::invalid_argument("no filters here")), "refused");
    assert_eq!(
        said(Status::unimplemented("unknown method")),
        "not implemented"
    );
    assert_eq!(
        said(Status::unavailable("the disk is full")),
        "the disk is full"
    );
}

fn services() -> ExpectedSearch {
    let names = ["a", "b"].map(|name| (name.to_owned(), String::new()));
    ExpectedSearch {
        search: Search::new("services", Question::Services),
        expected: Findings::any_order(names),
    }
}

fn answer(names: &[&str]) -> [Bytes; 1] {
    let services = names.iter().map(|name| (*name).to_owned()).collect();
    [GetServicesResponse { services }.encode_to_vec().into()]
}

#[test]
fn an_answer_of_another_size_is_looked_into_and_the_first_difference_stays() {
    let (known, mut timed) = (services(), Timed::default());
    timed.check(&known, &answer(&["b", "a"]), true, false);
    assert_eq!(timed.difference, None);
    timed.check(&known, &answer(&["a"]), false, false);
    timed.check(&known, &answer(&["a", "b"]), false, false);
    assert_eq!(timed.difference.as_deref(), Some("1 of 2 missing (b)"));
}

#[test]
fn an_undecodable_answer_differs() {
    let difference = services().difference(&[Bytes::from_static(b"\xff")], false);
    assert!(difference.is_some_and(|of| of.contains("cannot be decoded")));
}
