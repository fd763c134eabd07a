//! A search as conditions of SQL, with their values.

use larder_plugin::Search;

use crate::connection::Value;
use crate::number::ordered;

/// Conditions on a fragment `f`, and the values of a statement.
#[derive(Debug)]
pub(super) struct Filter<'a> {
    search: &'a Search,
    pub(super) values: Vec<Value<'a>>,
}

// === impl Filter ===

impl<'a> Filter<'a> {
    pub(super) fn new(search: &'a Search) -> Self {
        let values = Vec::new();
        Self { search, values }
    }

    /// Adds a value, and returns its name in the statement.
    pub(super) fn value(&mut self, value: Value<'a>) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    /// That its starts and durations overlap those searched for.
    pub(super) fn ranges(&mut self) -> String {
        let Search {
            starts, durations, ..
        } = *self.search;
        let mut value = |number| self.value(Value::Int8(ordered(number)));
        let (start, end) = (value(starts.start), value(starts.end));
        let (shortest, longest) = (value(durations.shortest), value(durations.longest));
        format!(
            "f.start_last >= {start} AND f.start_first <= {end} AND f.longest >= {shortest} AND f.shortest <= {longest}"
        )
    }

    /// That it has a term of every clause. True if there are none.
    pub(super) fn clauses(&mut self) -> String {
        let search = self.search;
        let single = |clause: &Vec<u64>| match clause.as_slice() {
            [term] => Some(term.cast_signed()),
            _ => None,
        };
        let all: Vec<i64> = search.clauses.iter().filter_map(single).collect();
        let mut conditions = Vec::new();
        if !all.is_empty() {
            let all = self.value(Value::Int8s(all));
            conditions.push(format!("f.terms @> {all}"));
        }
        for clause in search.clauses.iter().filter(|it| it.len() != 1) {
            let any = clause.iter().map(|it| it.cast_signed()).collect();
            let any = self.value(Value::Int8s(any));
            conditions.push(format!("f.terms && {any}"));
        }
        if conditions.is_empty() {
            return "true".to_owned();
        }
        conditions.join(" AND ")
    }
}
