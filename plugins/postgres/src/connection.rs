//! One connection to a server: PostgreSQL's protocol, version 3, over a stream that blocks.
//!
//! [`Connection::query`] sends one statement and reads its rows. A [`Flight`] sends several, and waits for none of them before the last.
//! After a [`Failure::Lost`] a connection is of no use.

mod failure;
mod messages;
mod start;
mod stream;
#[cfg(feature = "tls")]
mod tls;
mod value;

use bytes::BytesMut;
use larder_plugin::{Error, log};
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend::{self, BindError};

pub(crate) use failure::Failure;
use messages::{Messages, refused};
pub(crate) use value::{Row, Value, length, write_bigints};

use crate::settings::Config;

/// The oldest server that has all that is used, as `server_version_num`.
const OLDEST: i32 = 140_000;
/// Begins a transaction whose commit is durable once it is answered. What the administrator has set stands, unless it is that a commit may be
/// lost. It is looked at each time: a server can read its configuration again while a connection is open.
pub(crate) const BEGIN: &str = "BEGIN; SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'";

/// An open connection, with no statement on its way.
#[derive(Debug)]
pub(crate) struct Connection {
    messages: Messages,
}

/// Statements on their way, of which no answer was read yet.
#[derive(Debug)]
pub(crate) struct Flight<'a> {
    messages: &'a mut Messages,
    /// The answers that are to come.
    answers: u32,
}

/// What came of the statements of a flight.
#[derive(Debug, Default)]
struct Landed {
    /// The first error.
    failed: Option<Failure>,
    /// The last command that was complete: `COMMIT`.
    tag: String,
}

// === impl Connection ===

impl Connection {
    /// Connects, and proves who the user is.
    pub(crate) fn open(config: &Config) -> Result<Self, Failure> {
        let messages = start::connect(config)?;
        let mut connection = Self { messages };
        let timeout = config.statement_timeout.as_millis();
        let mut flight = connection.flight();
        flight.run(&format!(
            "SET statement_timeout = {timeout}; SET client_min_messages = warning; SET jit = off"
        ))?;
        flight.land()?;
        let mut server = (0, true);
        let asked = "SELECT current_setting('server_version_num')::integer, current_setting('fsync')::boolean";
        connection.query(asked, &[], |row| {
            server = (row.int4(0)?, row.bool(1)?);
            Ok(())
        })?;
        let (version, is_durable) = server;
        if version < OLDEST {
            return Err(Failure::Raised(Error::InvalidArgument(format!(
                "the server is PostgreSQL {}; this plugin needs 14 or newer",
                version / 10_000
            ))));
        }
        if !is_durable {
            log::warn(
                "the server runs with `fsync = off`: what it acknowledges is lost if its machine fails",
            );
        }
        Ok(connection)
    }

    /// Looks, without waiting, if the server has ended the connection since it was used last.
    pub(crate) fn is_open(&mut self) -> bool {
        self.messages.is_open()
    }

    /// Begins to send statements.
    pub(crate) fn flight(&mut self) -> Flight<'_> {
        Flight {
            messages: &mut self.messages,
            answers: 0,
        }
    }

    /// Runs statements without parameters, and forgets what they return. More than one are one transaction.
    pub(crate) fn run(&mut self, statements: &str) -> Result<(), Failure> {
        let mut flight = self.flight();
        flight.run(statements)?;
        flight.land().map(drop)
    }

    /// Runs a statement, and has each row of its answer looked at. The first error, of whomever, is returned once all was read.
    pub(crate) fn query(
        &mut self,
        statement: &str,
        values: &[Value<'_>],
        each: impl FnMut(Row<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut flight = self.flight();
        flight.query(statement, values)?;
        flight.land_rows(each).map(drop)
    }
}

// === impl Flight ===

impl Flight<'_> {
    /// Sends statements without parameters.
    pub(crate) fn run(&mut self, statements: &str) -> Result<(), Failure> {
        frontend::query(statements, &mut self.messages.out)?;
        self.sent()
    }

    /// Sends a statement with parameters. It is parsed and planned for these values: nothing stays on the server.
    pub(crate) fn query(&mut self, statement: &str, values: &[Value<'_>]) -> Result<(), Failure> {
        let out = &mut self.messages.out;
        frontend::parse("", statement, values.iter().map(Value::oid), out)?;
        let bound = frontend::bind(
            "",
            "",
            [1],
            values,
            |value, out| {
                value.write(out);
                Ok(IsNull::No)
            },
            [1],
            out,
        );
        bound.map_err(|error| match error {
            BindError::Conversion(error) => Failure::Lost(error.to_string()),
            BindError::Serialization(error) => error.into(),
        })?;
        frontend::execute("", 0, out)?;
        frontend::sync(out);
        self.sent()
    }

    /// Sends `COPY … FROM STDIN (FORMAT binary)` with rows, which `write` writes. It returns false after the last one.
    ///
    /// Where the server refuses the statement, it takes the rows and forgets them.
    pub(crate) fn copy(
        &mut self,
        statement: &str,
        mut write: impl FnMut(&mut BytesMut) -> bool,
    ) -> Result<(), Failure> {
        frontend::query(statement, &mut self.messages.out)?;
        let mut rows = BytesMut::new();
        rows.extend_from_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
        loop {
            let more = write(&mut rows);
            if !more {
                // The end, in place of the number of columns of a row.
                rows.extend_from_slice(&(-1_i16).to_be_bytes());
            }
            if !more || rows.len() >= messages::CHUNK {
                frontend::CopyData::new(&*rows)?.write(&mut self.messages.out);
                rows.clear();
                self.messages.send_if_much()?;
            }
            if !more {
                break;
            }
        }
        frontend::copy_done(&mut self.messages.out);
        self.sent()
    }

    fn sent(&mut self) -> Result<(), Failure> {
        self.answers += 1;
        self.messages.send_if_much()
    }

    /// Waits for all answers. Returns the last command that was complete, such as `COMMIT`.
    pub(crate) fn land(self) -> Result<String, Failure> {
        self.land_rows(|_| Ok(()))
    }

    /// As [`Flight::land`]; has each row looked at.
    pub(crate) fn land_rows(
        self,
        mut each: impl FnMut(Row<'_>) -> Result<(), Failure>,
    ) -> Result<String, Failure> {
        self.messages.send()?;
        let mut landed = Landed::default();
        for _ in 0..self.answers {
            loop {
                let message = match self.messages.next() {
                    Ok(message) => message,
                    // What the server said before it closed the connection tells more.
                    Err(lost) => return Err(landed.failed.unwrap_or(lost)),
                };
                if landed.take(&message, &mut each)? {
                    break;
                }
            }
        }
        landed.failed.map_or(Ok(landed.tag), Err)
    }
}

// === impl Landed ===

impl Landed {
    /// Returns true at the end of an answer.
    fn take(
        &mut self,
        message: &Message,
        each: &mut impl FnMut(Row<'_>) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        match message {
            Message::ReadyForQuery(_) => return Ok(true),
            Message::ErrorResponse(body) => {
                // One error has others follow: the transaction is aborted.
                self.failed.get_or_insert_with(|| refused(body));
            }
            Message::CommandComplete(body) => body.tag()?.clone_into(&mut self.tag),
            Message::DataRow(body) => {
                if self.failed.is_none() {
                    self.failed = Row::new(body).and_then(&mut *each).err();
                }
            }
            Message::ParseComplete
            | Message::BindComplete
            | Message::RowDescription(_)
            | Message::NoData
            | Message::EmptyQueryResponse
            | Message::CopyInResponse(_) => {}
            _ => {
                let text = "the server sent a message that no statement asks for";
                return Err(Failure::Lost(text.to_owned()));
            }
        }
        Ok(false)
    }
}
