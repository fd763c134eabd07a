//! The body of `POST /explain`: a query as JSON, with the names of Jaeger's API v3, or a request for dependencies, with those of its storage
//! API.

use std::collections::BTreeMap;

use larder_proto::expression::v1 as filter;
use larder_proto::expression::v1::expression::Term;
use larder_proto::storage::v2::{
    AnyValue, GetDependenciesRequest, KeyValue, Pagination, SpanQueryParameters, SpanSortOrder,
    TraceQueryParameters, any_value::Value as AnyValueArm,
};
use larder_search::Explained;
use larder_search::filter::{parse_duration, parse_time};
use prost_types::{Duration, Timestamp};
use serde::Deserialize;

use super::object::Object;

/// What is to be explained.
pub(super) enum Asked {
    /// A search.
    Search(Box<Explained>),
    /// Dependencies.
    Dependencies(GetDependenciesRequest),
}

/// A search, for traces unless it asks for spans, or a request for dependencies. Every field is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExplainRequest {
    #[serde(alias = "serviceName")]
    service_name: String,
    #[serde(alias = "operationName")]
    operation_name: String,
    attributes: BTreeMap<String, String>,
    /// RFC 3339.
    #[serde(alias = "startTimeMin")]
    start_time_min: Option<String>,
    #[serde(alias = "startTimeMax")]
    start_time_max: Option<String>,
    /// Such as `1.5s`.
    #[serde(alias = "durationMin")]
    duration_min: Option<String>,
    #[serde(alias = "durationMax")]
    duration_max: Option<String>,
    #[serde(alias = "searchDepth")]
    search_depth: i32,
    filter: Option<Object<Call>>,
    /// Asks for spans.
    spans: Option<bool>,
    /// The order of spans; asks for spans if there is one.
    #[serde(alias = "orderBy")]
    order_by: Vec<Object<SortOrder>>,
    /// The most spans, at least one.
    #[serde(alias = "pageSize")]
    page_size: Option<u32>,
    /// Asks for dependencies, whose window is `start_time` to `end_time`.
    dependencies: Option<bool>,
    #[serde(alias = "startTime")]
    start_time: Option<String>,
    #[serde(alias = "endTime")]
    end_time: Option<String>,
}

/// One term of an order.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SortOrder {
    expression: Option<Object<Expression>>,
    direction: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Call {
    op: String,
    args: Vec<Object<Expression>>,
}

/// Exactly one field is set in a valid expression. The filter checks this.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Expression {
    attr: Option<Object<Attribute>>,
    field: Option<Object<Field>>,
    nested: Option<Object<Nested>>,
    scalar: Option<Object<Scalar>>,
    list: Option<Object<List>>,
    call: Option<Object<Call>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Attribute {
    key: String,
    level: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Field {
    name: String,
    level: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Nested {
    level: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Scalar {
    value: String,
    #[serde(rename = "type")]
    declared: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct List {
    values: Vec<String>,
    #[serde(rename = "type")]
    declared: String,
}

// === impl ExplainRequest ===

impl ExplainRequest {
    /// Parses the body.
    ///
    /// # Errors
    /// A text with the position and the error.
    pub(super) fn read(text: &str) -> Result<Asked, String> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let Object(request) =
            serde_path_to_error::deserialize::<_, Object<Self>>(&mut deserializer)
                .map_err(|error| format!("the query is no JSON of a search: {error}"))?;
        deserializer
            .end()
            .map_err(|error| format!("the query is more than one JSON value: {error}"))?;
        if request.dependencies == Some(true) {
            request.into_dependencies().map(Asked::Dependencies)
        } else {
            let search = request.into_search()?;
            Ok(Asked::Search(Box::new(search)))
        }
    }

    fn into_search(self) -> Result<Explained, String> {
        let is_ordered = !self.order_by.is_empty();
        if self.start_time.is_some() || self.end_time.is_some() {
            Err("a search has `start_time_min` and `start_time_max` in place of `start_time` and `end_time`; `dependencies` asks for dependencies".to_owned())
        } else if is_ordered && self.spans == Some(false) {
            Err("`order_by` asks for spans, and `spans` is false: leave one of them out".to_owned())
        } else if is_ordered || self.spans == Some(true) {
            self.into_span_parameters().map(Explained::Spans)
        } else if self.page_size.is_some() {
            Err("a search for traces has `search_depth` in place of `page_size`; `spans` asks for spans".to_owned())
        } else {
            self.into_parameters().map(Explained::Traces)
        }
    }

    fn into_dependencies(self) -> Result<GetDependenciesRequest, String> {
        let others = [
            ("service_name", !self.service_name.is_empty()),
            ("operation_name", !self.operation_name.is_empty()),
            ("attributes", !self.attributes.is_empty()),
            ("start_time_min", self.start_time_min.is_some()),
            ("start_time_max", self.start_time_max.is_some()),
            ("duration_min", self.duration_min.is_some()),
            ("duration_max", self.duration_max.is_some()),
            ("search_depth", self.search_depth != 0),
            ("filter", self.filter.is_some()),
            ("spans", self.spans.is_some()),
            ("order_by", !self.order_by.is_empty()),
            ("page_size", self.page_size.is_some()),
        ];
        if let Some((other, _)) = others.iter().find(|(_, is_set)| *is_set) {
            return Err(format!(
                "a request for dependencies has no `{other}`: it has `start_time` and `end_time` only"
            ));
        }
        Ok(GetDependenciesRequest {
            start_time: self.start_time.as_deref().map(timestamp).transpose()?,
            end_time: self.end_time.as_deref().map(timestamp).transpose()?,
        })
    }

    fn into_span_parameters(self) -> Result<SpanQueryParameters, String> {
        let others = [
            ("service_name", !self.service_name.is_empty()),
            ("operation_name", !self.operation_name.is_empty()),
            ("attributes", !self.attributes.is_empty()),
            ("duration_min", self.duration_min.is_some()),
            ("duration_max", self.duration_max.is_some()),
            ("search_depth", self.search_depth != 0),
        ];
        if let Some((other, _)) = others.iter().find(|(_, is_set)| *is_set) {
            return Err(format!(
                "a search for spans has no `{other}`: say it in the filter, and the most spans as `page_size`"
            ));
        }
        if self.page_size == Some(0) {
            return Err(
                "`page_size` is at least 1; without it the default is explained".to_owned(),
            );
        }
        let order_by = self
            .order_by
            .into_iter()
            .map(|Object(order)| SpanSortOrder {
                expression: order
                    .expression
                    .map(|Object(expression)| filter::Expression {
                        term: expression.into_term(),
                    }),
                direction: order.direction,
            });
        Ok(SpanQueryParameters {
            start_time_min: self.start_time_min.as_deref().map(timestamp).transpose()?,
            start_time_max: self.start_time_max.as_deref().map(timestamp).transpose()?,
            filter: self.filter.map(|Object(filter)| filter.into()),
            pagination: self.page_size.map(|page_size| Pagination {
                page_size,
                page_token: String::new(),
            }),
            order_by: order_by.collect(),
        })
    }

    fn into_parameters(self) -> Result<TraceQueryParameters, String> {
        let attribute = |(key, value)| KeyValue {
            key,
            value: Some(AnyValue {
                value: Some(AnyValueArm::StringValue(value)),
            }),
        };
        Ok(TraceQueryParameters {
            service_name: self.service_name,
            operation_name: self.operation_name,
            attributes: self.attributes.into_iter().map(attribute).collect(),
            start_time_min: self.start_time_min.as_deref().map(timestamp).transpose()?,
            start_time_max: self.start_time_max.as_deref().map(timestamp).transpose()?,
            duration_min: self.duration_min.as_deref().map(duration).transpose()?,
            duration_max: self.duration_max.as_deref().map(duration).transpose()?,
            search_depth: self.search_depth,
            filter: self.filter.map(|Object(filter)| filter.into()),
            pagination: None,
        })
    }
}

const SECOND: i64 = 1_000_000_000;

fn timestamp(text: &str) -> Result<Timestamp, String> {
    let time = parse_time(text)?;
    let second = i128::from(SECOND);
    Ok(Timestamp {
        seconds: i64::try_from(time.div_euclid(second)).unwrap_or(i64::MAX),
        nanos: i32::try_from(time.rem_euclid(second)).unwrap_or_default(),
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    let nanoseconds = parse_duration(text)?;
    Ok(Duration {
        seconds: nanoseconds / SECOND,
        nanos: i32::try_from(nanoseconds % SECOND).unwrap_or_default(),
    })
}

impl From<Call> for filter::Call {
    fn from(call: Call) -> Self {
        let args = call.args.into_iter().map(|Object(arg)| filter::Expression {
            term: arg.into_term(),
        });
        Self {
            op: call.op,
            args: args.collect(),
        }
    }
}

impl Expression {
    /// The last field that is set, as Protobuf does for a `oneof` that has several.
    fn into_term(self) -> Option<Term> {
        let attr = self.attr.map(|Object(Attribute { key, level })| {
            Term::Attr(filter::AttributeReference { key, level })
        });
        let field = self.field.map(|Object(Field { name, level })| {
            Term::Field(filter::FieldReference { name, level })
        });
        let nested = self
            .nested
            .map(|Object(Nested { level })| Term::Nested(filter::NestedReference { level }));
        let scalar = self.scalar.map(|Object(Scalar { value, declared })| {
            Term::Scalar(filter::Scalar {
                value,
                r#type: declared,
            })
        });
        let list = self.list.map(|Object(List { values, declared })| {
            Term::List(filter::List {
                values,
                r#type: declared,
            })
        });
        let call = self.call.map(|Object(call)| Term::Call(call.into()));
        call.or(list).or(scalar).or(nested).or(field).or(attr)
    }
}
