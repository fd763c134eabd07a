//! The names of services, kept outside of Larder: by a server that the operator grants, which the setting `outside` names. It is sent a line
//! (`keep TENANT SERVICE`, `list TENANT`, `forget TENANT`), and answers with one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use larder_plugin::Error;

/// See the module.
#[derive(Debug)]
pub(super) struct Outside {
    address: String,
    tenant: String,
    stream: Option<BufReader<TcpStream>>,
}

// === impl Outside ===

impl Outside {
    /// Names the server, and connects with the first question.
    pub(super) fn new(address: &str, tenant: &str) -> Self {
        Self {
            address: address.to_owned(),
            tenant: tenant.to_owned(),
            stream: None,
        }
    }

    /// Keeps the name of a service.
    pub(super) fn keep(&mut self, service: &str) -> Result<(), Error> {
        let line = format!("keep {} {service}", self.tenant);
        self.ask(&line).map(drop)
    }

    /// Returns the names that are kept for the tenant.
    pub(super) fn list(&mut self) -> Result<Vec<String>, Error> {
        let line = format!("list {}", self.tenant);
        let services = self.ask(&line)?;
        let services = services.split_terminator('\t').map(str::to_owned);
        Ok(services.collect())
    }

    /// Deletes those of the tenant.
    pub(super) fn forget(&mut self) -> Result<(), Error> {
        let line = format!("forget {}", self.tenant);
        self.ask(&line).map(drop)
    }

    fn ask(&mut self, line: &str) -> Result<String, Error> {
        self.try_ask(line)
            .map_err(|error| Error::Unavailable(error.to_string()))
    }

    fn try_ask(&mut self, line: &str) -> std::io::Result<String> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(BufReader::new(TcpStream::connect(&self.address)?)),
        };
        stream.get_mut().write_all(format!("{line}\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_line(&mut answer)?;
        Ok(answer.trim_end_matches('\n').to_owned())
    }
}
