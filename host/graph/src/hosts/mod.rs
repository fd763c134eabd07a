//! The service graph of data that several hosts write.
//!
//! Each host has *marks* of its own (`marks`, `marked`, `marking`): before it gives a write to the plugin it commits, for each span, that its bucket is
//! *open*, or that its trace is *late*. One host at a time *holds* what all keep together: the records and their state, which is that of a
//! host that is alone (`holding`). It alone changes it.
//!
//! A mark stands until the host that made it removes it, and that host does so only once the state covers what was marked, durably, and while
//! no write of its own is under way:
//! - The holder enters a late trace into the late ones of the state, and tells up to which number it has *taken* a host's marks.
//! - The holder opens a bucket in the state, and tells which open marks it is *closing* by that.
//!
//! The holder settles a bucket, or takes a late trace in, only while no host has a mark of it that was taken or is open. So every write that
//! was covered by such a mark has ended, and is read; every later one has a mark of its own, which stands beside what is settled. A mark is
//! told from later ones of the same bucket or trace by its number, so it does not matter how old the state is that a host has read.
//!
//! A query reads the marks of all hosts first, and the state after them (`followed`). What was marked and is gone from the marks is covered by
//! the state then. It judges whatever is open or late in either (`effective`).
//!
//! A host's process may end, or stand still, at any moment. What it has marked is judged until its data is adopted; its writes are fenced then,
//! and the adopter removes its marks in its place. A host that comes back reads its marks anew before it writes.
//!
//! Retention is told of the same way: before upkeep changes anything a host notes that it is *under way*, and nothing that is kept is used
//! while it is. Then it tells before which time something of its own may be gone. Records that may depend on older writes, of any host, are
//! suspect: the earliest time that any host marked is compared with the latest that any host tells. So clocks that differ make more records
//! suspect, and hide none.

mod absorb;
mod effective;
mod followed;
mod holding;
mod marked;
mod marking;
mod marks;
mod mend;
mod worker;

pub(crate) use worker::{Hosts, Work};
