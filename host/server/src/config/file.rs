//! Reads the YAML file as a list of entries with their positions.

use std::fmt;
use std::path::Path;

use larder_model::TenantName;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::error::{Error, Origin};
use super::overrides::OVERRIDES;
use super::settings::{Setting, is_section};

/// A key of the file that is not a section, and its value.
pub(super) struct Entry {
    /// The tenant that it is for, if it stands below `tenancy.overrides`; `path` is relative to that tenant.
    pub(super) tenant: Option<TenantName>,
    pub(super) path: String,
    pub(super) raw: Raw,
    /// Position of the key.
    pub(super) key: Origin,
    /// Position of the value.
    pub(super) value: Origin,
}

/// The value of an entry.
pub(super) enum Raw {
    Null,
    Text(String),
    /// A list of texts and numbers.
    List(Vec<String>),
    /// The keys of a mapping, each with a text or a number.
    Map(Vec<(String, String)>),
    /// A value that no setting accepts, in words.
    Other(&'static str),
}

/// A YAML node. The text of a number or boolean is taken from the file, as `1.10` must not reach a plugin as 1.1.
enum Node {
    Null,
    Text(String),
    Literal,
    Sequence(Vec<Spanned<Node>>),
    Mapping(Vec<(Spanned<String>, Spanned<Node>)>),
}

/// The entries of the file in their order. They may name settings that do not exist.
pub(super) fn settings(path: &Path, yaml: &str) -> Result<Vec<Entry>, Error> {
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let root: Spanned<Node> =
        serde_saphyr::from_str_with_options(yaml, options).map_err(|error| syntax(path, &error))?;
    let mut reader = Reader {
        path,
        yaml,
        tenant: None,
        found: Vec::new(),
    };
    match &root.value {
        Node::Null => {}
        Node::Mapping(entries) => reader.section("", entries),
        Node::Text(_) | Node::Literal | Node::Sequence(_) => {
            return Err(Error::Syntax {
                origin: reader.origin(root.referenced),
                message:
                    "expected a mapping of settings, such as `grpc: { endpoint: 127.0.0.1:17271 }`"
                        .to_owned(),
            });
        }
    }
    Ok(reader.found)
}

fn syntax(path: &Path, error: &serde_saphyr::Error) -> Error {
    let message = match error.without_snippet() {
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key `{key}` stands twice in one mapping")
        }
        serde_saphyr::Error::MultipleDocuments { .. } => {
            "expected one YAML document, found another".to_owned()
        }
        other => without_position(&other.to_string(), other.location()),
    };
    Error::Syntax {
        origin: Origin::File {
            path: path.to_owned(),
            position: error.location().map(|at| (at.line(), at.column())),
        },
        message,
    }
}

/// Removes the position from the end of the library's text, as the origin has it.
fn without_position(message: &str, at: Option<Location>) -> String {
    let position = at.map(|at| format!(" at line {}, column {}", at.line(), at.column()));
    position
        .and_then(|position| message.strip_suffix(&position))
        .unwrap_or(message)
        .to_owned()
}

struct Reader<'a> {
    path: &'a Path,
    yaml: &'a str,
    /// The tenant whose overrides are being read.
    tenant: Option<TenantName>,
    found: Vec<Entry>,
}

impl Reader<'_> {
    fn origin(&self, at: Location) -> Origin {
        Origin::File {
            path: self.path.to_owned(),
            position: Some((at.line(), at.column())),
        }
    }

    fn section(&mut self, prefix: &str, entries: &[(Spanned<String>, Spanned<Node>)]) {
        for (key, node) in entries {
            let path = if prefix.is_empty() {
                key.value.clone()
            } else {
                format!("{prefix}.{}", key.value)
            };
            self.entry(path, key, node);
        }
    }

    /// Reads the overrides. A tenant's name can have dots, so it is not part of the path.
    fn overrides(&mut self, entries: &[(Spanned<String>, Spanned<Node>)]) {
        for (key, node) in entries {
            let Ok(tenant) = key.value.parse() else {
                let path = format!("{OVERRIDES}.{}", key.value);
                self.push(path, Raw::Other("another name"), key, node);
                continue;
            };
            self.tenant = Some(tenant);
            match &node.value {
                Node::Mapping(entries) => self.section("", entries),
                Node::Null => {}
                Node::Text(_) | Node::Literal | Node::Sequence(_) => {
                    self.entry(String::new(), key, node);
                }
            }
            self.tenant = None;
        }
    }

    fn entry(&mut self, path: String, key: &Spanned<String>, node: &Spanned<Node>) {
        let raw = match &node.value {
            Node::Mapping(entries) if path == OVERRIDES && self.tenant.is_none() => {
                return self.overrides(entries);
            }
            Node::Mapping(entries) if is_section(&path) => return self.section(&path, entries),
            // The settings of the section are all commented out.
            Node::Null if is_section(&path) => return,
            Node::Null => Raw::Null,
            Node::Text(text) => Raw::Text(text.clone()),
            Node::Literal => Raw::Text(self.literal(node.defined).to_owned()),
            Node::Mapping(entries) if Setting::at(&path).is_some_and(|setting| setting.is_map) => {
                self.map(entries)
            }
            Node::Mapping(_) => Raw::Other("a mapping"),
            Node::Sequence(elements) => self.list(elements),
        };
        self.push(path, raw, key, node);
    }

    fn push(&mut self, path: String, raw: Raw, key: &Spanned<String>, node: &Spanned<Node>) {
        self.found.push(Entry {
            tenant: self.tenant.clone(),
            path,
            raw,
            key: self.origin(key.referenced),
            value: self.origin(node.referenced),
        });
    }

    fn list(&self, elements: &[Spanned<Node>]) -> Raw {
        let texts = elements.iter().map(|element| self.text(element));
        let texts: Option<Vec<String>> = texts.collect();
        texts.map_or(Raw::Other("a list"), Raw::List)
    }

    fn map(&self, entries: &[(Spanned<String>, Spanned<Node>)]) -> Raw {
        let pairs = entries
            .iter()
            .map(|(key, node)| Some((key.value.clone(), self.text(node)?)));
        let pairs: Option<Vec<(String, String)>> = pairs.collect();
        pairs.map_or(Raw::Other("a mapping with something else"), Raw::Map)
    }

    /// The text of an element of a list or a mapping. `None` if it is none.
    fn text(&self, element: &Spanned<Node>) -> Option<String> {
        match &element.value {
            Node::Text(text) => Some(text.clone()),
            Node::Literal => Some(self.literal(element.defined).to_owned()),
            Node::Null | Node::Sequence(_) | Node::Mapping(_) => None,
        }
    }

    /// The text of a number or boolean in the file.
    fn literal(&self, at: Location) -> &str {
        let span = at.span();
        let range = || {
            let start = usize::try_from(span.byte_offset()?).ok()?;
            let length = usize::try_from(span.byte_len()?).ok()?;
            self.yaml.get(start..start.checked_add(length)?)
        };
        range().unwrap_or_default()
    }
}

// === impl Node ===

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a setting")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        Node::deserialize(from)
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Literal)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Literal)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Literal)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Literal)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = from.next_element()? {
            elements.push(element);
        }
        Ok(Node::Sequence(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = from.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Mapping(entries))
    }
}
