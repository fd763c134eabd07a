//! A plugin that is filled until its memory is.

use larder_plugin::testing::{
    Breach, FragmentBuilder, Subject, answered, batch, fragment, raised, read_all,
};
use larder_plugin::{Error, Part, TraceId, Wanted};

use super::{Passed, Tried};
use crate::sandboxed::Sandboxed;
use crate::world::{Opening, World};

/// Bytes of the OTLP of one write.
const WRITE: usize = 128 << 10;
/// The trace of the second fragment of each write.
const SECOND: u128 = 1 << 100;

/// Writes twice as much as the memory holds. It has to be refused, or older data dropped, and never to trap.
pub(super) fn fill(world: &World, memory: u64) -> Tried {
    let opening = Opening {
        memory: Some(memory),
        ..Opening::default()
    };
    let opened = match world.open_on(world.place()?, &opening) {
        Ok(opened) => opened,
        // An interpreter needs so much before it has begun.
        Err(breach) if breach.rule == "call.memory" => {
            return Ok(Passed::Skipped(
                "it needs more than that to be opened".to_owned(),
            ));
        }
        Err(breach) => return Err(breach),
    };
    let mut subject = match opened {
        Ok(subject) => subject,
        Err(error) => {
            return Ok(Passed::Skipped(format!(
                "`open` refuses that: {}",
                raised(&error)
            )));
        }
    };
    let writes = memory * 2 / WRITE as u64;
    for number in 1..=writes {
        let batches = vec![
            batch([of(u128::from(number), WRITE)]),
            batch([of(SECOND + u128::from(number), 100)]),
        ];
        match subject.write(number, batches)? {
            Ok(()) => {}
            Err(Error::ResourceExhausted(_)) => {
                is_as_before(&mut subject, number)?;
                return Ok(Passed::All);
            }
            Err(error) => {
                let text = format!(
                    "`write` number {number} raised {} where memory of {memory} bytes is full; it has to raise resource-exhausted",
                    raised(&error)
                );
                return Err(Breach::new("write.full", text));
            }
        }
        if number % 16 == 0 {
            subject.maintain_all(number)?;
        }
    }
    if !world.is_replicated() && !has_dropped(&mut subject)? {
        let text = format!(
            "{} bytes of spans were written with a memory-limit of {memory}, and none was refused or dropped",
            writes * WRITE as u64
        );
        return Err(Breach::new("write.full", text));
    }
    newest_is_there(&mut subject, writes)?;
    Ok(Passed::All)
}

/// A fragment of bytes that no plugin can make fewer.
fn of(id: u128, bytes: usize) -> FragmentBuilder {
    let mut state = id.to_le_bytes();
    let mut otlp = Vec::with_capacity(bytes + state.len());
    while otlp.len() < bytes {
        // PCG's multiplier: enough to look random to a compressor.
        let next =
            u128::from_le_bytes(state).wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645);
        state = next.wrapping_add(id | 1).to_le_bytes();
        otlp.extend_from_slice(&state[8..]);
    }
    fragment(id).terms([1, 2, 3]).digest(*b"digest").otlp(otlp)
}

/// True if the first trace that was written is gone.
fn has_dropped(subject: &mut Sandboxed<'_>) -> Result<bool, Breach> {
    answered("refresh", subject.refresh())?;
    Ok(pieces_of(subject, 1)? == 0)
}

/// Checks that a write that was refused has left nothing, and that the ones before are all there.
fn is_as_before(subject: &mut Sandboxed<'_>, refused: u64) -> Result<(), Breach> {
    let dropped = has_dropped(subject)?;
    for number in [1, refused / 2, refused - 1, refused] {
        if number == 0 {
            continue;
        }
        for id in [u128::from(number), SECOND + u128::from(number)] {
            let count = pieces_of(subject, id)?;
            if number == refused && count > 0 {
                let text = format!(
                    "`write` number {number} was refused with resource-exhausted, and `read` of its trace {id:x} gives {count} pieces: all batches of a call are stored, or none"
                );
                return Err(Breach::new("write.whole", text));
            }
            if number < refused && count != 1 && !dropped {
                let text = format!(
                    "`write` number {number} has succeeded, and after a later one was refused `read` of its trace {id:x} gives {count} pieces"
                );
                return Err(Breach::new("write.lost", text));
            }
        }
    }
    Ok(())
}

fn newest_is_there(subject: &mut Sandboxed<'_>, last: u64) -> Result<(), Breach> {
    answered("refresh", subject.refresh())?;
    let count = pieces_of(subject, SECOND + u128::from(last))?;
    if count == 1 {
        return Ok(());
    }
    let text =
        format!("the last write has succeeded, and `read` of its trace gives {count} pieces");
    Err(Breach::new("write.lost", text))
}

fn pieces_of(subject: &mut Sandboxed<'_>, id: u128) -> Result<usize, Breach> {
    let wanted = Wanted::Traces(vec![TraceId::from(id)]);
    Ok(read_all(subject, &wanted, Part::Otlp, 1 << 20)?.len())
}
