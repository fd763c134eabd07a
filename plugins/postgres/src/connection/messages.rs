//! Messages of the protocol over the bytes of a stream. Nothing that comes from there is believed.

use std::io::{Read as _, Write as _};

use bytes::BytesMut;
use postgres_protocol::message::backend::{Header, Message};

use super::failure::{Failure, ServerError};
use super::stream::Stream;

/// A longer message is refused: it would have to stand in memory as a whole. The host takes 64 MiB in one answer.
const MAX_MESSAGE: usize = 72 << 20;
/// The bytes that are sent at once.
pub(super) const CHUNK: usize = 64 << 10;

/// A stream with what was not sent yet, and what was not looked at yet.
#[derive(Debug)]
pub(crate) struct Messages {
    pub(super) stream: Stream,
    /// What is to be sent.
    pub(crate) out: BytesMut,
    received: BytesMut,
}

// === impl Messages ===

impl Messages {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            out: BytesMut::new(),
            received: BytesMut::new(),
        }
    }

    /// Sends what is to be sent, if it is much.
    pub(crate) fn send_if_much(&mut self) -> Result<(), Failure> {
        if self.out.len() >= CHUNK {
            self.send()?;
        }
        Ok(())
    }

    /// Sends all that is to be sent.
    pub(crate) fn send(&mut self) -> Result<(), Failure> {
        self.stream.write_all(&self.out)?;
        self.stream.flush()?;
        self.out.clear();
        Ok(())
    }

    /// The next message, without those that a server may send at any time.
    pub(super) fn next(&mut self) -> Result<Message, Failure> {
        loop {
            match parse(&mut self.received)? {
                Some(
                    Message::NoticeResponse(_)
                    | Message::ParameterStatus(_)
                    | Message::NotificationResponse(_),
                ) => {}
                Some(message) => return Ok(message),
                None => {
                    if self.receive()? == 0 {
                        return Err(Failure::Lost("the server has closed it".to_owned()));
                    }
                }
            }
        }
    }

    /// Looks, without waiting, if the server has closed the connection while nothing was asked.
    pub(super) fn is_open(&mut self) -> bool {
        if self.stream.tcp().set_nonblocking(true).is_err() {
            return false;
        }
        let received = self.receive();
        if self.stream.tcp().set_nonblocking(false).is_err() {
            return false;
        }
        match received {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
        // What comes unasked is a notice, or tells the end.
        loop {
            match parse(&mut self.received) {
                Ok(Some(Message::NoticeResponse(_) | Message::ParameterStatus(_))) => {}
                Ok(None) => return true,
                _ => return false,
            }
        }
    }

    fn receive(&mut self) -> std::io::Result<usize> {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    self.received.extend_from_slice(bytes);
                    return Ok(count);
                }
            }
        }
    }
}

/// The next message, once all of it is there.
fn parse(received: &mut BytesMut) -> Result<Option<Message>, Failure> {
    // The parser makes room for the length that a message tells, whatever that is.
    if let Some(header) = Header::parse(received)? {
        let length = usize::try_from(header.len()).ok();
        if length.is_none_or(|length| length > MAX_MESSAGE) {
            return Err(Failure::Lost(format!(
                "a message of {} bytes, more than {MAX_MESSAGE}",
                header.len().cast_unsigned()
            )));
        }
    }
    Ok(Message::parse(received)?)
}

/// The failure that an error of the server is.
pub(super) fn refused(body: &postgres_protocol::message::backend::ErrorResponseBody) -> Failure {
    Failure::Server(ServerError::new(body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::value::Row;
    use super::*;

    /// Takes a message apart as the plugin does.
    fn look_at(message: &Message) {
        match message {
            Message::ErrorResponse(body) => drop(ServerError::new(body).to_string()),
            Message::DataRow(body) => {
                if let Ok(row) = Row::new(body) {
                    for column in 0..20 {
                        drop(row.int2(column));
                        drop(row.int4(column));
                        drop(row.int8(column));
                        drop(row.uuid(column));
                        drop(row.text(column));
                        drop(row.bool(column));
                        drop(row.optional(column));
                    }
                }
            }
            Message::CommandComplete(body) => drop(body.tag().map(str::len)),
            _ => {}
        }
    }

    fn take_apart(mut received: BytesMut) {
        while let Ok(Some(message)) = parse(&mut received) {
            look_at(&message);
        }
        assert!(received.capacity() <= 2 * MAX_MESSAGE);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            take_apart(BytesMut::from(&*bytes));
        }

        /// Of the kinds that a server sends, with any body and a length that may be wrong.
        #[test]
        fn any_body_of_a_known_message_is_taken_apart_or_refused(
            tag in prop::sample::select(b"RKZTDCEN1232nsIGHWtASdcv".to_vec()),
            body in prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..80),
            off in -5..5_i32,
        ) {
            let length = i32::try_from(body.len()).unwrap_or(0) + 4 + off;
            let mut bytes = vec![tag];
            bytes.extend(length.to_be_bytes());
            bytes.extend(body);
            take_apart(BytesMut::from(&*bytes));
        }
    }

    #[test]
    fn a_length_that_is_a_lie_takes_no_memory() {
        for length in [u32::MAX, 1 << 31, 100 << 20] {
            let mut bytes = BytesMut::from(&b"D"[..]);
            bytes.extend_from_slice(&length.to_be_bytes());
            assert!(
                matches!(parse(&mut bytes), Err(Failure::Lost(_))),
                "{length}"
            );
            assert!(bytes.capacity() < 1 << 20);
        }
    }
}
