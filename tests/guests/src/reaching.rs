//! A guest that reaches for what is outside of its sandbox, as the services of the spans tell it that it is given to store. What came of
//! each attempt is a service that it lists: `ATTEMPT: OUTCOME`. It stores nothing else.
//!
//! | attempt | does |
//! |---|---|
//! | `tcp HOST:PORT TEXT` | looks the host up, connects, sends a line, and tells the line that comes back |
//! | `lookup NAME` | tells the addresses of a name |
//! | `connections N HOST:PORT` | opens so many connections, and tells how many it has at a time |
//! | `reconnect N HOST:PORT` | opens and closes so many connections, and tells how many were made |
//! | `send N HOST:PORT` | sends so many bytes, and tells how many went |
//! | `receive N HOST:PORT` | reads so many bytes, and tells how many came |
//! | `slices HOST:PORT` | waits for a byte for ever, a few milliseconds at a time |
//! | `listen HOST:PORT`, `bind HOST:PORT`, `udp HOST:PORT` | waits for connections, or for datagrams |
//! | `get URL` | sends a request, and tells status and body; it follows redirects |
//! | `gets N URL` | sends so many requests, and tells how many answers have the status 200 |
//! | `env NAME` | tells a variable |
//! | `clock` | tells whether the time of day is one |
//!
//! `purge` makes the attempt that the setting `purge` tells, with the tenant's name after it.

mod http;

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use larder_plugin::{
    Batch, Environment, Error, Instancing, Operation, Part, Pieces, Plugin, Search, Sightings,
    Timestamp, Wanted, settings,
};

/// The guest.
#[derive(Debug)]
pub struct Reaching {
    tenant: String,
    purge: Option<String>,
    outcomes: Vec<String>,
}

type Outcome = std::io::Result<String>;

impl Plugin for Reaching {
    const NAME: &'static str = "reaching";
    const VERSION: &'static str = "1.0.0";
    const INSTANCING: Instancing = Instancing::Exclusive;

    fn open(environment: Environment) -> Result<Self, Error> {
        let given = settings::Settings::new(&environment, &["purge", "open"]);
        let purge = given.text("purge").map(str::to_owned);
        let open = given.text("open").map(str::to_owned);
        given.finish()?;
        if let Some(attempt) = open {
            let outcome = attempted(&attempt);
            outcome.map_err(|error| Error::Unavailable(error.to_string()))?;
        }
        Ok(Self {
            tenant: environment.tenant,
            purge,
            outcomes: Vec::new(),
        })
    }

    fn write(&mut self, _now: Timestamp, batches: Vec<Batch>) -> Result<(), Error> {
        for attempt in batches.iter().flat_map(|batch| &batch.services) {
            let outcome = match attempted(attempt) {
                Ok(outcome) => outcome,
                Err(error) => format!("failed: {:?}", error.kind()),
            };
            self.outcomes.retain(|it| !it.starts_with(attempt.as_str()));
            self.outcomes.push(format!("{attempt}: {outcome}"));
        }
        Ok(())
    }

    fn find(&mut self, _: &Search, _: Option<&[u8]>, _: u32) -> Result<Sightings, Error> {
        Ok(Sightings {
            found: Vec::new(),
            floor: 0,
            resume: None,
        })
    }

    fn read(&mut self, _: &Wanted, _: Part, _: Option<&[u8]>, _: u32) -> Result<Pieces, Error> {
        Ok(Pieces {
            pieces: Vec::new(),
            resume: None,
        })
    }

    fn services(&mut self) -> Result<Vec<String>, Error> {
        Ok(self.outcomes.clone())
    }

    fn operations(&mut self, _: &str) -> Result<Vec<Operation>, Error> {
        Ok(Vec::new())
    }

    fn purge(&mut self) -> Result<(), Error> {
        let attempt = self
            .purge
            .as_ref()
            .ok_or_else(|| Error::Other("it was told nothing to do for a purge".to_owned()))?;
        let outcome = attempted(&format!("{attempt} {}", self.tenant));
        outcome.map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(())
    }
}

fn attempted(attempt: &str) -> Outcome {
    let words: Vec<&str> = attempt.split(' ').collect();
    match *words.as_slice() {
        ["tcp", to, ref text @ ..] => tcp(to, &text.join(" ")),
        ["lookup", name] => {
            let addresses = (name, 1).to_socket_addrs()?;
            let addresses: Vec<String> = addresses.map(|it| it.ip().to_string()).collect();
            Ok(addresses.join(" "))
        }
        ["connections", number, to] => Ok(connections(count(number)?, to).to_string()),
        ["reconnect", number, to] => {
            let made = (0..count(number)?).map(|_| TcpStream::connect(to));
            Ok(made.flatten().count().to_string())
        }
        ["send", bytes, to] => send(count(bytes)?, to),
        ["receive", bytes, to] => receive(count(bytes)?, to),
        ["slices", to] => slices(to),
        ["listen" | "bind", at] => TcpListener::bind(at).map(|_| "listens".to_owned()),
        ["udp", at] => UdpSocket::bind(at).map(|_| "is bound".to_owned()),
        ["get", url] => http::get(url),
        ["gets", number, url] => http::gets(count(number)?, url),
        ["env", name] => Ok(std::env::var(name).unwrap_or_else(|_| "unset".to_owned())),
        ["clock"] => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let is_day = now.is_ok_and(|now| now.as_secs() > 1_600_000_000);
            Ok(if is_day { "goes" } else { "stands" }.to_owned())
        }
        _ => Err(ErrorKind::Unsupported.into()),
    }
}

fn count(text: &str) -> std::io::Result<usize> {
    text.parse().map_err(|_| ErrorKind::InvalidInput.into())
}

fn tcp(to: &str, text: &str) -> Outcome {
    let mut stream = TcpStream::connect(to)?;
    stream.write_all(format!("{text}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn slices(to: &str) -> Outcome {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(Duration::from_millis(5)))?;
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            read => return read.map(|read| read.to_string()),
        }
    }
}

fn connections(number: usize, to: &str) -> usize {
    let mut open = Vec::new();
    for _ in 0..number {
        match TcpStream::connect(to) {
            Ok(stream) => open.push(stream),
            Err(_) => break,
        }
    }
    open.len()
}

fn send(bytes: usize, to: &str) -> Outcome {
    let mut stream = TcpStream::connect(to)?;
    let block = [7; 4096];
    let mut sent = 0;
    while sent < bytes {
        let part = block.get(..bytes - sent).unwrap_or(&block);
        match stream.write(part) {
            Ok(written) if written > 0 => sent += written,
            _ => break,
        }
    }
    Ok(sent.to_string())
}

fn receive(bytes: usize, to: &str) -> Outcome {
    let mut stream = TcpStream::connect(to)?;
    let mut block = [0; 4096];
    let mut received = 0;
    while received < bytes {
        match stream.read(&mut block) {
            Ok(read) if read > 0 => received += read,
            _ => break,
        }
    }
    Ok(received.to_string())
}
