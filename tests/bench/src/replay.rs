//! A file of Exports, written once and replayed by any number of runs, so that the client only reads while it loads a server.
//!
//! The format: a header of 40 bytes (the 8 bytes `LarderB1`, then seed, spans, spans a request and number of requests as little-endian
//! u64), for each request the length and the spans as little-endian u32 and its bytes, and the 8 bytes `EndOfAll`. Expected answers of
//! searches are not in it: they are computed from the Exports themselves (`truth`).

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use larder_oracle::corpus::{Corpus, Request};

#[cfg(test)]
mod tests;

const START: &[u8; 8] = b"LarderB1";
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
    out.write_all(START)?;
    let (seed, spans, request_spans) = corpus.identity();
    for number in [seed, spans, request_spans, corpus.requests()] {
        out.write_all(&number.to_le_bytes())?;
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
        let mut head = [0; 40];
        let read = file.read_exact(&mut head);
        let mut numbers = head.chunks_exact(8);
        ensure!(
            read.is_ok() && numbers.next() == Some(START),
            "{name} is no file of Exports of this version; `larder-bench generate` makes one"
        );
        let mut number = || {
            let bytes = numbers.next().and_then(|bytes| bytes.try_into().ok());
            u64::from_le_bytes(bytes.unwrap_or_default())
        };
        let (seed, spans, request_spans, requests) = (number(), number(), number(), number());
        let corpus = Corpus::new(seed, spans, request_spans);
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
        file.seek(SeekFrom::Start(40))?;
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
