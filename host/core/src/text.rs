//! Texts of plugins and clients, as they are shown to people.

/// The text on one line, with control characters escaped, so that they do nothing to a terminal.
pub fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}
