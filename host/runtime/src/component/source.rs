//! Where a component comes from: a bundled plugin's name, or a file.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::str::FromStr;

use super::{Error, bundled};

/// The largest component file, in bytes. The largest known ones contain a language's whole interpreter and have about 40 MB.
const MAX_BYTES: usize = 64 << 20;

/// A component's origin. Parsed from a word (bundled) or from anything that has a `/` or ends in `.wasm` (a file).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Part of the binary, under this name.
    Bundled(&'static str),
    /// A file.
    File(PathBuf),
}

impl Source {
    /// [`fingerprint`] of the component's bytes, which are not compiled for it. Blocks on the disk.
    pub(crate) fn hash(&self) -> Result<String, Error> {
        self.read().map(|bytes| fingerprint(&bytes))
    }

    /// The component's bytes.
    pub(crate) fn read(&self) -> Result<Cow<'static, [u8]>, Error> {
        match self {
            Self::Bundled(name) => match bundled::find(name) {
                Some((_, bytes)) => Ok(Cow::Borrowed(bytes)),
                None => Err(unknown(name)),
            },
            Self::File(path) => {
                let failed = |source| Error::Read {
                    path: path.clone(),
                    source,
                };
                // One byte more than allowed tells a file that is too large, also one that grows or has no size, as a pipe.
                let file = File::open(path).map_err(failed)?;
                let mut bytes = Vec::new();
                let most = MAX_BYTES as u64 + 1;
                file.take(most).read_to_end(&mut bytes).map_err(failed)?;
                if bytes.len() > MAX_BYTES {
                    return Err(Error::Load {
                        plugin: self.to_string(),
                        reason: format!(
                            "it has more than {MAX_BYTES} bytes, the most that is loaded"
                        ),
                    });
                }
                Ok(Cow::Owned(bytes))
            }
        }
    }
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let ends_in_wasm = text
            .rsplit_once('.')
            .is_some_and(|(_, ending)| ending.eq_ignore_ascii_case("wasm"));
        if ends_in_wasm || text.contains(['/', std::path::MAIN_SEPARATOR]) {
            return Ok(Self::File(PathBuf::from(text)));
        }
        match bundled::find(text) {
            Some((name, _)) => Ok(Self::Bundled(name)),
            None => Err(unknown(text)),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundled(name) => f.write_str(name),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// XXH3-128 of a component's bytes, in hexadecimal.
pub(crate) fn fingerprint(bytes: &[u8]) -> String {
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(bytes))
}

fn unknown(name: &str) -> Error {
    Error::Unknown {
        name: name.to_owned(),
        bundled: bundled::names(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_word_is_a_bundled_plugin_and_a_path_is_a_file() {
        assert_eq!(
            "memory".parse::<Source>().unwrap(),
            Source::Bundled("memory")
        );
        for path in ["./memory", "plugins/x.wasm", "x.wasm", "X.WASM"] {
            let source = path.parse::<Source>().unwrap();
            assert_eq!(source, Source::File(PathBuf::from(path)));
            assert_eq!(source.to_string(), path);
        }
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_words_there_are() {
        let error = "memroy".parse::<Source>().unwrap_err().to_string();
        assert!(
            error.contains("`memroy`") && error.contains("`memory`"),
            "{error}"
        );
        assert!(error.contains("path"), "{error}");
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.wasm");
        let file = File::create(&path).unwrap();
        file.set_len(MAX_BYTES as u64).unwrap();
        let source = Source::File(path);
        assert_eq!(source.read().unwrap().len(), MAX_BYTES);
        file.set_len(u64::MAX >> 2)
            .unwrap_or_else(|_| file.set_len(200 << 20).unwrap());
        let error = source.read().unwrap_err().to_string();
        assert!(error.contains("large.wasm"), "{error}");
        assert!(error.contains("67108864 bytes"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Source::File("./none.wasm".into()).read().unwrap_err();
        assert!(error.to_string().contains("none.wasm"), "{error}");
    }
}
