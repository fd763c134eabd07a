//! A file of Exports, written once and replayed by any number of runs, so that the client only reads while it loads a server.
//!
//! The format: a header of 40 bytes (the 8 bytes `LarderB1`, then seed, spans, spans a request and number of requests as little-endian
//! u64), for each request the length and the spans as little-endian u32 and its bytes, and the 8 bytes `EndOfAll`. Where the time of a
//! span is not the usual, the header begins with `LarderB2` and ends with that time in nanoseconds, as a fifth number. Expected answers
//! of searches are not in it: they are computed from the Exports themselves (`truth`).

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use larder_oracle::corpus::{Corpus, Request, STEP};

#[cfg(test)]
mod tests;

const START: &[u8; 8] = b"LarderB1";
const START_WITH_STEP: &[u8; 8] = b"LarderB2";
const END: &[u8; 8] = b"EndOfAll";
/// A longer request indicates damage, and no server would accept it.
const LONGEST: usize = 256 << 20;
/// Bytes of the file that are read at once.
const BUFFER: usize = 1 << 20;

/// Writes all requests of the corpus. The file appears under its name when it is complete.
pub(crate) fn write(corpus: &Corpus, path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let part = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("cannot write into {}", folder.display()))?;
    let mut out = BufWriter::with_capacity(BUFFER, part);
    let has_step = corpus.step() != STEP;
    out.write_all(if has_step { START_WITH_STEP } else { START })?;
    let (seed, spans, request_spans) = corpus.identity();
    for number in [seed, spans, request_spans, corpus.requests()] {
        out.write_all(&number.to_le_bytes())?;
    }
    if has_step {
        out.write_all(&corpus.step().to_le_bytes())?;
    }
    for index in 0..corpus.requests() {
        let request = corpus.request(index);
        out.write_all(&u32::try_from(request.bytes.len())?.to_le_bytes())?;
        out.write_all(&u32::try_from(request.spans)?.to_le_bytes())?;
        out.write_all(&request.bytes)?;
    }
    out.write_all(END)?;
    out.into_inner()?.persist(path)?;
    Ok(())
}

/// Returns the corpus of a file, after checking the header and the end.
pub(crate) fn corpus(path: &Path) -> Result<Corpus> {
    Reader::open(path).map(|reader| reader.corpus)
}

/// Reads the requests of a file, from the first on. Holds one request and a buffer at a time.
pub(crate) struct Reader {
    file: BufReader<File>,
    path: PathBuf,
    corpus: Corpus,
    requests: u64,
    next: u64,
}

impl Reader {
    /// Fails if the file has another format or is truncated.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let name = path.display();
        let mut file = File::open(path).with_context(|| format!("cannot open {name}"))?;
        let Ok(Some((corpus, requests))) = header(&mut file) else {
            bail!(
                "{name} is no file of Exports of this version; `larder-bench generate` makes one"
            );
        };
        let first = file.stream_position()?;
        let (_, spans, request_spans) = corpus.identity();
        ensure!(
            corpus.requests() == requests,
            "{name} is damaged: {spans} spans in requests of {request_spans} are not {requests} requests; generate it again"
        );
        let mut end = [0; 8];
        file.seek(SeekFrom::End(-8))?;
        file.read_exact(&mut end)?;
        ensure!(
            &end == END,
            "{name} was cut short or written to since; generate it again"
        );
        file.seek(SeekFrom::Start(first))?;
        Ok(Self {
            file: BufReader::with_capacity(BUFFER, file),
            path: path.to_owned(),
            corpus,
            requests,
            next: 0,
        })
    }

    fn request(&mut self) -> Result<Request> {
        let (mut length, mut spans) = ([0; 4], [0; 4]);
        self.file.read_exact(&mut length)?;
        self.file.read_exact(&mut spans)?;
        let length = usize::try_from(u32::from_le_bytes(length))?;
        if length > LONGEST {
            bail!("it claims to have {length} bytes");
        }
        let mut bytes = vec![0; length];
        self.file.read_exact(&mut bytes)?;
        Ok(Request {
            bytes: bytes.into(),
            spans: u64::from(u32::from_le_bytes(spans)),
        })
    }
}

impl Iterator for Reader {
    type Item = Result<Request>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.requests {
            return None;
        }
        let place = self.next;
        self.next += 1;
        Some(self.request().with_context(|| {
            format!(
                "request {place} of {} in {} cannot be read; generate the file again",
                self.requests,
                self.path.display()
            )
        }))
    }
}

/// Reads the header: the corpus and the number of requests. `None` if the file begins with anything else.
fn header(file: &mut File) -> std::io::Result<Option<(Corpus, u64)>> {
    let mut start = [0; 8];
    file.read_exact(&mut start)?;
    if start != *START && start != *START_WITH_STEP {
        return Ok(None);
    }
    let (seed, spans) = (number(file)?, number(file)?);
    let (request_spans, requests) = (number(file)?, number(file)?);
    let mut corpus = Corpus::new(seed, spans, request_spans);
    if start == *START_WITH_STEP {
        corpus = corpus.with_step(number(file)?);
    }
    Ok(Some((corpus, requests)))
}

fn number(file: &mut File) -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}
