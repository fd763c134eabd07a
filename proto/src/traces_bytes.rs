//! A message type for traces that are already encoded.

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{
    DecodeContext, WireType, decode_varint, encode_key, encode_varint, skip_field,
};
use prost::{DecodeError, Message};

/// An encoded `opentelemetry.proto.trace.v1.TracesData`. Takes the place of that message in Larder's answers, so that stored spans are
/// sent without being decoded.
///
/// Decoding keeps every field except groups, which proto3 does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TracesBytes(pub Bytes);

impl Message for TracesBytes {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put(self.0.clone());
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        let mut kept = Vec::from(std::mem::take(&mut self.0));
        match wire_type {
            WireType::Varint => {
                encode_key(tag, wire_type, &mut kept);
                encode_varint(decode_varint(buf)?, &mut kept);
            }
            WireType::LengthDelimited | WireType::SixtyFourBit | WireType::ThirtyTwoBit => {
                encode_key(tag, wire_type, &mut kept);
                let length = match wire_type {
                    WireType::SixtyFourBit => 8,
                    WireType::ThirtyTwoBit => 4,
                    _ => {
                        let length = decode_varint(buf)?;
                        encode_varint(length, &mut kept);
                        length
                    }
                };
                match usize::try_from(length) {
                    Ok(length) if length <= buf.remaining() => kept.put(buf.take(length)),
                    // The buffer is too short. prost's error has no public constructor, so let prost create it.
                    _ => skip_field(wire_type, tag, &mut Bytes::new(), ctx)?,
                }
            }
            WireType::StartGroup | WireType::EndGroup => skip_field(wire_type, tag, buf, ctx)?,
        }
        self.0 = kept.into();
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn encodes_and_decodes_as_the_bytes_it_holds() {
        // Field 1 with three bytes, an unknown varint, an unknown fixed64 and an unknown fixed32.
        let sent =
            b"\x0a\x03abc\x10\x96\x01\x19\x01\x02\x03\x04\x05\x06\x07\x08\x25\x01\x02\x03\x04";
        let traces = TracesBytes::decode(&sent[..]).unwrap();
        assert_eq!(traces.0, &sent[..]);
        assert_eq!(traces.encode_to_vec(), sent);
        assert_eq!(traces.encoded_len(), sent.len());
    }

    #[test]
    fn refuses_truncated_fields() {
        assert!(TracesBytes::decode(&b"\x0a\x04abc"[..]).is_err());
        assert!(TracesBytes::decode(&b"\x19abc"[..]).is_err());
        assert!(TracesBytes::decode(&b"\x10\x80"[..]).is_err());
    }
}
