//! What refreshes of a plugin's instances read first, read by the host before they ask: all of it at once, in place of one call after the
//! other. Where the store is far away, a refresh then costs one round trip, which other work of the query need not wait for.

use std::collections::BTreeMap;
use std::sync::Arc;

use larder_store::{Error, Key, Namespace};

/// The most keys that are read ahead. A plugin that has more reads them itself.
const MAX_KEYS: usize = 4096;

/// The writers of a namespace, and the values of keys, as they were at some moment each since the reading began.
pub(crate) struct Ahead {
    namespace: Arc<dyn Namespace>,
    writers: Vec<String>,
    values: BTreeMap<Key, Option<Vec<u8>>>,
}

/// A refresh that runs. Each thing that was read ahead is given out once: a guest that asks for it again wants to know it as it is then.
#[derive(Debug)]
pub(super) struct Refreshing {
    writers: Option<Vec<String>>,
    values: BTreeMap<Key, Option<Vec<u8>>>,
    /// The keys of the first `get`.
    first: Option<Vec<Key>>,
}

/// What is known of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It was read ahead, and has this value or none.
    Value(Option<Vec<u8>>),
    NotRead,
}

// === impl Ahead ===

impl Ahead {
    /// Reads the writers, and the keys that an earlier refresh began with.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) async fn read(namespace: Arc<dyn Namespace>, keys: &[Key]) -> Result<Self, Error> {
        let (writers, values) = tokio::try_join!(namespace.writers(), namespace.get(keys))?;
        Ok(Self {
            values: keys.iter().cloned().zip(values).collect(),
            namespace,
            writers,
        })
    }

    /// True if it was read from this namespace.
    pub(crate) fn is_of(&self, namespace: &Arc<dyn Namespace>) -> bool {
        Arc::ptr_eq(&self.namespace, namespace)
    }
}

// === impl Refreshing ===

impl Refreshing {
    pub(super) fn new(ahead: &Ahead) -> Self {
        Self {
            writers: Some(ahead.writers.clone()),
            values: ahead.values.clone(),
            first: None,
        }
    }

    /// The namespace's writers, if they were read ahead.
    pub(super) fn take_writers(&mut self) -> Option<Vec<String>> {
        self.writers.take()
    }

    /// What was read ahead of these keys.
    pub(super) fn take_values(&mut self, keys: &[Key]) -> Vec<Found> {
        if self.first.is_none() && keys.len() <= MAX_KEYS {
            self.first = Some(keys.to_vec());
        }
        let values = keys.iter().map(|key| self.values.remove(key));
        values
            .map(|it| it.map_or(Found::NotRead, Found::Value))
            .collect()
    }

    /// The keys that the refresh began with, to be read ahead of the next one.
    pub(super) fn into_keys(self) -> Vec<Key> {
        self.first.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(sort: u8) -> Key {
        Key {
            partition: "head".to_owned(),
            sort: vec![sort],
        }
    }

    #[test]
    fn what_was_read_ahead_is_given_out_once() {
        let mut refreshing = Refreshing {
            writers: Some(vec!["a".to_owned()]),
            values: BTreeMap::from([(key(1), Some(vec![7])), (key(2), None)]),
            first: None,
        };
        assert_eq!(refreshing.take_writers(), Some(vec!["a".to_owned()]));
        assert_eq!(refreshing.take_writers(), None);
        let keys = [key(1), key(2), key(3)];
        let values = refreshing.take_values(&keys);
        let found = [
            Found::Value(Some(vec![7])),
            Found::Value(None),
            Found::NotRead,
        ];
        assert_eq!(values, found);
        assert_eq!(refreshing.take_values(&[key(1)]), [Found::NotRead]);
        assert_eq!(refreshing.into_keys(), keys, "those of the first call");
    }
}
