//! Numbers for names, such as those of services.

use hashbrown::HashMap;

/// Names, each known by a number: the place where it came first, from 0.
#[derive(Debug, Default)]
pub struct Names {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

// === impl Names ===

impl Names {
    /// The number of a name, a new one if it has none.
    pub fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        // Nobody can read enough names in the time of a query, or of a bucket, to overflow this.
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// All names, by their numbers.
    pub fn all(&self) -> &[String] {
        &self.names
    }
}
