//! Valid filters with one injected error.

use larder_proto::expression::v1::expression::Term;
use larder_proto::expression::v1::{Call, Expression};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::filters::filter;
use super::queries::Question;
use crate::filter::{
    and, attr, attr_at, call, eq, field, fulltext, is_in, list, nested, not, nothing, phrase,
    regex, typed,
};
use crate::query::Query;

/// An error. Each makes any filter invalid, wherever it is injected.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Operator(&'static str),
    NoArguments,
    OneMore,
    First(fn() -> Expression),
    Last(fn() -> Expression),
    /// The filter stays valid, but not in conjunction with this one.
    Beside(fn() -> Call),
    Deep,
    ServiceName,
}

const FAULTS: [Fault; 28] = [
    Fault::Operator(""),
    Fault::Operator("AND"),
    Fault::Operator("bogus"),
    Fault::NoArguments,
    Fault::OneMore,
    Fault::Deep,
    Fault::ServiceName,
    Fault::First(nothing),
    Fault::First(|| attr("")),
    Fault::First(|| attr_at("galaxy", "k")),
    Fault::First(|| field("span", "nope")),
    Fault::First(|| field("", "name")),
    Fault::First(|| nested("span")),
    Fault::Last(nothing),
    Fault::Last(|| typed("int", "1.5")),
    Fault::Last(|| typed("float", "1")),
    Fault::Last(|| list("", [])),
    Fault::Beside(|| regex(field("span", "name"), "^x")),
    Fault::Beside(|| regex(field("span", "name"), "(")),
    Fault::Beside(|| regex(field("span", "name"), "x*?")),
    Fault::Beside(|| eq(field("span", "duration"), "banana")),
    Fault::Beside(|| eq(field("span", "kind"), "Server")),
    Fault::Beside(|| is_in(attr("k"), list("int", ["1", "x"]))),
    Fault::Beside(|| is_in(attr("k"), list("float", ["1"]))),
    Fault::Beside(|| phrase(field("span", "name"), ["x"])),
    Fault::Beside(|| fulltext(attr("k"), ["x-x"])),
    Fault::Beside(|| phrase(attr("k"), [""])),
    Fault::Beside(|| call("fulltext", [attr("k"), list("int", ["1"])])),
];

/// Generates a query that must be refused as `FILTER_INVALID`.
pub fn broken() -> impl Strategy<Value = Question> {
    (filter(), select(&FAULTS[..]), any::<Index>()).prop_map(|(mut filter, fault, index)| {
        let mut service = "";
        match fault {
            Fault::ServiceName => service = "a",
            Fault::Deep => filter = (0..20).fold(filter, |inner, _| not(inner)),
            Fault::Beside(other) => filter = and([filter, other()]),
            _ => {
                let count = count(&filter);
                let mut number = index.index(count);
                inject(&mut filter, &mut number, fault);
            }
        }
        Question(Query::default().service(service).filter(filter).0)
    })
}

fn count(call: &Call) -> usize {
    let inner = call.args.iter().map(|argument| match &argument.term {
        Some(Term::Call(call)) => count(call),
        _ => 0,
    });
    1 + inner.sum::<usize>()
}

/// Injects the fault into the call of this number, counted from the outermost; returns true when that is done.
fn inject(call: &mut Call, number: &mut usize, fault: Fault) -> bool {
    if *number > 0 {
        *number -= 1;
        return call
            .args
            .iter_mut()
            .any(|argument| match &mut argument.term {
                Some(Term::Call(call)) => inject(call, number, fault),
                _ => false,
            });
    }
    match fault {
        Fault::Operator(op) => op.clone_into(&mut call.op),
        Fault::NoArguments => call.args.clear(),
        Fault::OneMore => call.args.push(attr("k")),
        Fault::First(term) => call.args[0] = term(),
        Fault::Last(term) => *call.args.last_mut().unwrap() = term(),
        Fault::Beside(_) | Fault::Deep | Fault::ServiceName => {}
    }
    true
}
