//! `larder snapshot` and `larder restore`.

use std::fs;
use std::io::{self, Write, stdout};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use larder_edge::dial::{DialTls, Stream, dial};
use larder_store::{Restored, SnapshotName};

use crate::admin::SnapshotReport;
use crate::config::{Config, KvDriver};

/// The beginning of every answer.
const HTTP: &[u8] = b"HTTP/1.";

/// The most bytes of another answer that an error shows.
const SHOWN: usize = 60;

/// What to do where the answer is not a Larder's.
const CHECK: &str = "Check that `admin.endpoint` (--admin-endpoint) is the running server's admin port, and that `admin.tls` is set here as it is there";

/// Arguments of `larder snapshot`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct SnapshotCommand {
    /// The new folder, below the one that `kv.snapshot_dir` names
    #[arg(long, value_name = "NAME")]
    to: SnapshotName,
    /// A file with a token that has the right `admin`, for a server with `access.tokens`
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// PEM file with a client certificate, for a server with `admin.tls.client_ca`
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// PEM file with that certificate's private key
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

/// Arguments of `larder restore`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct RestoreCommand {
    /// The folder of the snapshot
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
}

/// The answer to a request.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    body: String,
}

// === impl SnapshotCommand ===

impl SnapshotCommand {
    /// Asks the running server that this configuration is of for a snapshot, and prints what it has made.
    ///
    /// # Errors
    /// No server answers, or it refuses; the text is the server's. A store in Cassandra, which makes its own.
    pub fn run(&self, config: &Config) -> anyhow::Result<()> {
        anyhow::ensure!(
            config.kv.driver != KvDriver::Cassandra,
            "`kv.driver` is `cassandra`, which makes snapshots itself: `nodetool snapshot {}` on every node",
            config.kv.cassandra.keyspace.as_str()
        );
        let endpoint = &config.admin.endpoint;
        anyhow::ensure!(
            endpoint.port() != 0,
            "`admin.endpoint` is {endpoint}, so the port is not known: name the one of the running server with --admin-endpoint"
        );
        let token = self.token()?;
        let (host, port) = endpoint.to_bind();
        let stream = dial(host, port, self.tls(config).as_ref())?;
        let answer = ask(stream, &self.request(host, token.as_deref()))
            .with_context(|| format!("no snapshot was made by what listens on {endpoint}"))?;
        let Answer { status, body } = &answer;
        anyhow::ensure!(
            !matches!(status, 404 | 405 | 501),
            "what listens on {endpoint} speaks HTTP, but has no `POST /snapshot` ({status}). {CHECK}"
        );
        anyhow::ensure!(
            *status == 200,
            "the server made no snapshot ({status}): {}",
            body.trim_end()
        );
        let report: SnapshotReport = serde_json::from_str(body).with_context(|| {
            format!("what listens on {endpoint} is no Larder that makes snapshots. {CHECK}")
        })?;
        describe(&report, &mut stdout().lock()).context("cannot print")
    }

    fn token(&self) -> anyhow::Result<Option<String>> {
        let Some(file) = &self.token_file else {
            return Ok(None);
        };
        let token = fs::read_to_string(file);
        let token = token.with_context(|| format!("cannot read `{}`", file.display()))?;
        let token = token.trim();
        anyhow::ensure!(
            !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()),
            "`{}` is not a token: it has to hold one line, as `larder token` prints it on stderr",
            file.display()
        );
        Ok(Some(token.to_owned()))
    }

    fn tls(&self, config: &Config) -> Option<DialTls> {
        let client = self.cert.clone().zip(self.key.clone());
        config.admin.tls.cert.clone().map(|server_cert| DialTls {
            server_cert,
            client,
        })
    }

    /// A request of HTTP/1.0: its answer is not in chunks, and ends with the connection.
    fn request(&self, host: &str, token: Option<&str>) -> String {
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        format!(
            "POST /snapshot?to={} HTTP/1.0\r\nHost: {host}\r\nContent-Length: 0\r\n{}\r\n",
            self.to,
            token.unwrap_or_default()
        )
    }
}

/// Sends the request and reads the answer, or as much of something else as shows that it is none.
fn ask(mut stream: Box<dyn Stream>, request: &str) -> anyhow::Result<Answer> {
    let mut answer = Vec::new();
    let asked = stream
        .write_all(request.as_bytes())
        .and_then(|()| stream.flush())
        .and_then(|()| receive(&mut stream, &mut answer));
    // Once the answer is whole, the end of the connection says nothing more.
    if let Some(answer) = Answer::parse(&answer) {
        return Ok(answer);
    }
    if let Some(met) = other_protocol(&answer) {
        anyhow::bail!("it answers with {met}. {CHECK}");
    }
    asked.with_context(|| format!("the server cannot be asked. {CHECK}"))?;
    anyhow::bail!(
        "the server closed the connection before it answered. {CHECK}. If they are right and the server still runs, it may still be making the snapshot, which gets its name when it is whole; its log tells"
    )
}

/// Reads to the end, or until it is no answer of HTTP: other servers may wait for the client after their first bytes.
fn receive(stream: &mut dyn Stream, answer: &mut Vec<u8>) -> io::Result<()> {
    let mut part = [0; 4096];
    while is_http(answer) {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(length) => answer.extend(part.iter().take(length)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// True for the beginning of an answer, be it empty.
fn is_http(answer: &[u8]) -> bool {
    let common = answer.len().min(HTTP.len());
    answer.get(..common) == HTTP.get(..common)
}

/// Describes bytes that are no answer of HTTP/1.
fn other_protocol(answer: &[u8]) -> Option<String> {
    // A frame of HTTP/2: its length in three bytes, then its type, of which a server sends SETTINGS (4) or GOAWAY (7) first.
    let is_http_2 = matches!(answer, [0, _, _, 4 | 7, _, 0, 0, 0, 0, ..]);
    // A record of TLS: an alert or a handshake, and the version.
    let is_tls = matches!(answer, [0x15 | 0x16, 3, ..]);
    if is_http(answer) {
        None
    } else if is_http_2 {
        Some("HTTP/2, as a gRPC port does".to_owned())
    } else if is_tls {
        Some("TLS, which was not spoken to it".to_owned())
    } else {
        let shown = answer.get(..SHOWN).unwrap_or(answer);
        Some(format!(
            "something that is not HTTP: `{}`",
            shown.escape_ascii()
        ))
    }
}

fn describe(report: &SnapshotReport, to: &mut impl Write) -> io::Result<()> {
    let SnapshotReport {
        path,
        moment,
        took_ms,
        linked,
        copied,
        missing_files,
    } = report;
    writeln!(to, "snapshot    {}", path.display())?;
    writeln!(to, "moment      {moment}")?;
    writeln!(
        to,
        "linked      {} files, {} bytes",
        linked.files, linked.bytes
    )?;
    writeln!(
        to,
        "copied      {} files, {} bytes",
        copied.files, copied.bytes
    )?;
    writeln!(to, "took        {took_ms} ms")?;
    if *missing_files > 0 {
        writeln!(
            to,
            "missing     {missing_files} files, which the store lacks too: `larder check` tells what was in them"
        )?;
    }
    Ok(())
}

// === impl RestoreCommand ===

impl RestoreCommand {
    /// Copies a snapshot into the data folder of this configuration, and prints what it was.
    ///
    /// # Errors
    /// The folder is no complete snapshot, the data folder is not empty, or the disk fails.
    pub fn run(&self, config: &Config) -> anyhow::Result<()> {
        anyhow::ensure!(
            config.kv.driver == KvDriver::Embedded,
            "`kv.driver` is not `embedded`: a server with this configuration would not read what is restored"
        );
        let restored = larder_store::restore(&self.from, &config.data_dir)?;
        let Restored {
            name,
            moment,
            version,
            copied,
        } = restored;
        let moment = humantime::format_rfc3339_millis(moment);
        let mut to = stdout().lock();
        writeln!(to, "snapshot    {name}, made by larder {version}")
            .and_then(|()| writeln!(to, "moment      {moment}"))
            .and_then(|()| {
                writeln!(
                    to,
                    "copied      {} files, {} bytes",
                    copied.files, copied.bytes
                )
            })
            .and_then(|()| writeln!(to, "data_dir    {}", config.data_dir.display()))
            .context("cannot print")
    }
}

// === impl Answer ===

impl Answer {
    /// Reads an answer. `None` if it is cut off, or not HTTP.
    fn parse(answer: &[u8]) -> Option<Self> {
        let answer = str::from_utf8(answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let first = lines.next()?.strip_prefix("HTTP/1.")?;
        let status = first.split(' ').nth(1)?.parse().ok()?;
        let length = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().ok())?
        });
        if length.is_some_and(|length| length != body.len()) {
            return None;
        }
        Some(Self {
            status,
            body: body.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_answer_is_read_if_it_is_whole() {
        let whole =
            "HTTP/1.0 409 Conflict\r\ncontent-type: text/plain\r\nContent-Length: 5\r\n\r\nbusy\n";
        let answer = Answer::parse(whole.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (409, "busy\n"));
        for length in 0..whole.len() {
            let cut = whole.get(..length).unwrap();
            assert_eq!(Answer::parse(cut.as_bytes()), None, "{cut:?}");
        }
        for other in [
            "",
            "\r\n\r\n",
            "SSH-2.0-OpenSSH_9\r\n\r\n",
            "HTTP/1.1 x\r\n\r\n",
        ] {
            assert_eq!(Answer::parse(other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    fn what_is_no_answer_is_named() {
        for whole in ["", "H", "HTTP/1.", "HTTP/1.1 200 OK"] {
            assert_eq!(other_protocol(whole.as_bytes()), None, "{whole:?}");
        }
        for (answer, met) in [
            (&b"\0\0\x06\x04\0\0\0\0\0\0\x05"[..], "HTTP/2"),
            (b"\0\0\x08\x07\0\0\0\0\0", "HTTP/2"),
            (b"\x15\x03\x03\0\x02\x02\x0a", "TLS"),
            (b"SSH-2.0-OpenSSH_9\r\n", "`SSH-2.0-OpenSSH_9\\r\\n`"),
            (b"HTTP/2.0 200 OK", "`HTTP/2.0 200 OK`"),
            (b"\x1b[2J", "`\\x1b[2J`"),
        ] {
            let told = other_protocol(answer).unwrap();
            assert!(told.contains(met), "{told}");
        }
    }

    #[test]
    fn what_was_made_is_described_line_by_line() {
        let files = |files, bytes| crate::admin::Files { files, bytes };
        let mut report = SnapshotReport {
            path: "/backups/monday".into(),
            moment: "2026-11-29T11:04:09.123Z".to_owned(),
            took_ms: 15,
            linked: files(3, 5000),
            copied: files(4, 700),
            missing_files: 0,
        };
        let told = |report: &SnapshotReport| {
            let mut text = Vec::new();
            describe(report, &mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        let expected = "\
snapshot    /backups/monday
moment      2026-11-29T11:04:09.123Z
linked      3 files, 5000 bytes
copied      4 files, 700 bytes
took        15 ms
";
        assert_eq!(told(&report), expected);
        report.missing_files = 2;
        assert!(told(&report).contains("missing     2 files"));
    }
}
