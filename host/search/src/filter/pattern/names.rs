//! The names of Unicode's categories and scripts that Go 1.26 knows in `\p{..}`, with the code points of each.
//!
//! Case, spaces, `_` and `-` do not matter in a name, but scripts of more than one word are not found: Go looks for them
//! without the `_` that its own table has. The code points are those of the Unicode version of `regex-syntax`; Go's may be
//! older, and then knows fewer.

use std::collections::BTreeMap;
use std::rc::Rc;

use regex_syntax::hir::{Class, HirKind};

use super::runes::Runes;

/// Names of categories.
const CATEGORIES: &str = "\
    C Casedletter Cc Cf Closepunctuation Cn Cntrl Co Combiningmark Connectorpunctuation Control Cs Currencysymbol \
    Dashpunctuation Decimalnumber Digit Enclosingmark Finalpunctuation Format Initialpunctuation L Lc Letter \
    Letternumber Lineseparator Ll Lm Lo Lowercaseletter Lt Lu M Mark Mathsymbol Mc Me Mn Modifierletter \
    Modifiersymbol N Nd Nl No Nonspacingmark Number Openpunctuation Other Otherletter Othernumber Otherpunctuation \
    Othersymbol P Paragraphseparator Pc Pd Pe Pf Pi Po Privateuse Ps Punct Punctuation S Sc Separator Sk Sm So \
    Spaceseparator Spacingmark Surrogate Symbol Titlecaseletter Unassigned Uppercaseletter Z Zl Zp Zs";

/// Names of scripts.
const SCRIPTS: &str = "\
    Adlam Ahom Arabic Armenian Avestan Balinese Bamum Batak Bengali Bhaiksuki Bopomofo Brahmi Braille Buginese \
    Buhid Carian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform Cypriot Cyrillic Deseret Devanagari Dogra \
    Duployan Elbasan Elymaic Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati Gurmukhi Han Hangul \
    Hanunoo Hatran Hebrew Hiragana Inherited Javanese Kaithi Kannada Katakana Kawi Kharoshthi Khmer Khojki \
    Khudawadi Lao Latin Lepcha Limbu Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen \
    Medefaidrin Miao Modi Mongolian Mro Multani Myanmar Nabataean Nandinagari Newa Nko Nushu Ogham Oriya Osage \
    Osmanya Palmyrene Phoenician Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham Sinhala Sogdian Soyombo \
    Sundanese Syriac Tagalog Tagbanwa Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Toto \
    Ugaritic Vai Vithkuqi Wancho Yezidi Yi";

/// The surrogates, which are in no class of `regex-syntax`.
const SURROGATES: (u32, u32) = (0xD800, 0xDFFF);

/// The code points of the names that a pattern uses. Some are in hundreds of ranges, so each is made once.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, Option<Rc<Runes>>>);

// === impl Names ===

impl Names {
    /// The code points of a name; nothing if Go does not know it.
    pub(super) fn get(&mut self, name: &str) -> Option<Rc<Runes>> {
        let name = canonical(name);
        if let Some(known) = self.0.get(&name) {
            return known.clone();
        }
        let runes = find(&name).map(Rc::new);
        self.0.insert(name, runes.clone());
        runes
    }
}

/// A name as the tables have it: one capital letter and then small ones, and nothing between words.
fn canonical(name: &str) -> String {
    let mut canonical: String = name.replace(['_', '-', ' '], "");
    canonical.make_ascii_lowercase();
    if let Some(first) = canonical.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    canonical
}

fn find(name: &str) -> Option<Runes> {
    let is_of = |names: &str| names.split(' ').any(|known| known == name);
    match name {
        "Any" => Some(Runes::all()),
        "Ascii" => Some(Runes::of(&[(0, 0x7F)])),
        "Assigned" => Some(table("gc=Cn")?.negated()),
        "Cs" | "Surrogate" => Some(Runes::of(&[SURROGATES])),
        "C" | "Other" => {
            let mut runes = table("gc=C")?;
            runes.add_all(&Runes::of(&[SURROGATES]));
            Some(runes)
        }
        _ if is_of(CATEGORIES) => table(&format!("gc={name}")),
        _ if is_of(SCRIPTS) => table(&format!("sc={name}")),
        _ => None,
    }
}

fn table(query: &str) -> Option<Runes> {
    let parsed = regex_syntax::parse(&format!(r"\p{{{query}}}")).ok()?;
    match parsed.kind() {
        HirKind::Class(Class::Unicode(class)) => Some(Runes::from(class)),
        // A category of one code point.
        HirKind::Literal(literal) => {
            let mut text = std::str::from_utf8(&literal.0).ok()?.chars();
            let rune = text.next()?.into();
            Some(Runes::of(&[(rune, rune)]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_code_points() {
        let names = CATEGORIES.split(' ').chain(SCRIPTS.split(' '));
        for name in names.chain(["Any", "Ascii", "Assigned"]) {
            let runes = Names::default().get(name);
            assert!(
                runes.is_some_and(|runes| !runes.ranges().is_empty()),
                "{name}"
            );
        }
    }

    #[test]
    fn a_name_is_found_however_it_is_written() {
        let mut names = Names::default();
        for (name, same) in [("uppercase letter", "Lu"), ("GREEK", "Greek"), ("lc", "LC")] {
            assert!(names.get(name).is_some(), "{name}");
            assert_eq!(names.get(name), names.get(same), "{name}");
        }
        for unknown in [
            "",
            "Klingon",
            "Old_Italic",
            "Xsux",
            "Alphabetic",
            "Lx",
            "L&",
        ] {
            assert_eq!(names.get(unknown), None, "{unknown}");
        }
    }
}
