//! The ways to misbehave, each bound to a place and a service name, and what they do to an honest answer.

use larder_plugin::{Error, Part, Piece, Pieces, Sighting, Sightings, Term, terms};

/// Where a behaviour acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Write,
    Find,
    Read,
    Services,
    Operations,
}

/// What it does there.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// Panics.
    Trap,
    /// Never returns.
    Spin,
    /// Takes all memory.
    Grow,
    /// Floods the log.
    Shout,
    /// Takes a second.
    Linger,
    /// Raises an error of the contract.
    Raise(Error),
    /// The floor of the second page is above that of the first.
    FloorRises,
    /// The second page has a sighting above the floor of the first.
    AboveFloor,
    /// Every page says to go on at the same place.
    SameResume,
    /// Page after page, and never an end.
    Endless,
    /// More sightings than the limit.
    TooMany,
    /// A sighting says that its newest match is older than it is.
    TooEarly,
    /// A trace, or an operation of a service, that nobody asked for.
    Unasked,
    /// The traces in another order than they were asked for.
    WrongOrder,
    /// Bytes that are no digest or no OTLP.
    Undecodable,
    /// The spans of one trace under the id of another.
    AnotherTrace,
    /// A page without pieces that says to go on.
    EmptyPage,
    /// Everything twice.
    Twice,
    /// A service without a name.
    Nameless,
}

/// The service names, which the tests know too.
fn table() -> Vec<(Place, &'static str, Behaviour)> {
    use Behaviour as B;
    let text = || "the guest was told to".to_owned();
    vec![
        (Place::Write, "trap on write", B::Trap),
        (Place::Write, "spin on write", B::Spin),
        (Place::Write, "grow on write", B::Grow),
        (Place::Write, "shout on write", B::Shout),
        (Place::Write, "slow on write", B::Linger),
        (
            Place::Write,
            "write: invalid-argument",
            B::Raise(Error::InvalidArgument(text())),
        ),
        (
            Place::Write,
            "write: resource-exhausted",
            B::Raise(Error::ResourceExhausted(text())),
        ),
        (
            Place::Write,
            "write: unavailable",
            B::Raise(Error::Unavailable(text())),
        ),
        (Place::Write, "write: other", B::Raise(Error::Other(text()))),
        (Place::Find, "trap on find", B::Trap),
        (Place::Find, "spin on find", B::Spin),
        (
            Place::Find,
            "find: resource-exhausted",
            B::Raise(Error::ResourceExhausted(text())),
        ),
        (
            Place::Find,
            "find: unavailable",
            B::Raise(Error::Unavailable(text())),
        ),
        (
            Place::Find,
            "find: data-loss",
            B::Raise(Error::DataLoss(text())),
        ),
        (Place::Find, "find: other", B::Raise(Error::Other(text()))),
        (Place::Find, "the floor rises", B::FloorRises),
        (Place::Find, "a sighting above the floor", B::AboveFloor),
        (Place::Find, "the same resume", B::SameResume),
        (Place::Find, "endless pages", B::Endless),
        (Place::Find, "too many sightings", B::TooMany),
        (Place::Find, "a newest that is too early", B::TooEarly),
        (Place::Read, "trap on read", B::Trap),
        (Place::Read, "spin on read", B::Spin),
        (
            Place::Read,
            "read: data-loss",
            B::Raise(Error::DataLoss(text())),
        ),
        (Place::Read, "an unasked trace", B::Unasked),
        (Place::Read, "the wrong order", B::WrongOrder),
        (Place::Read, "undecodable bytes", B::Undecodable),
        (Place::Read, "another trace's bytes", B::AnotherTrace),
        (Place::Read, "an empty page", B::EmptyPage),
        (Place::Services, "trap on services", B::Trap),
        (Place::Services, "spin on services", B::Spin),
        (Place::Services, "services twice", B::Twice),
        (Place::Services, "a nameless service", B::Nameless),
        (Place::Operations, "trap on operations", B::Trap),
        (Place::Operations, "spin on operations", B::Spin),
        (Place::Operations, "operations twice", B::Twice),
        (Place::Operations, "unasked operations", B::Unasked),
    ]
}

impl Behaviour {
    /// The behaviour whose service is among these terms.
    pub(crate) fn among<'a>(place: Place, lists: impl Iterator<Item = &'a [Term]>) -> Option<Self> {
        let lists: Vec<&[Term]> = lists.collect();
        let here = table().into_iter().filter(|(at, _, _)| *at == place);
        let mut named = here.filter(|(_, name, _)| {
            let term = terms::service(name);
            lists.iter().any(|list| list.contains(&term))
        });
        named.next().map(|(_, _, behaviour)| behaviour)
    }

    /// The behaviour of this name.
    pub(crate) fn of_service(place: Place, service: &str) -> Option<Self> {
        let mut table = table().into_iter();
        let named = table.find(|(at, name, _)| *at == place && *name == service);
        named.map(|(_, _, behaviour)| behaviour)
    }

    /// The behaviour that one of these names has for a list of services.
    pub(crate) fn of_services(services: &[String]) -> Option<Self> {
        let mut services = services.iter();
        services.find_map(|service| Self::of_service(Place::Services, service))
    }
}

/// What becomes of an honest page of sightings.
pub(crate) fn find(
    behaviour: Option<&Behaviour>,
    mut page: Sightings,
    resume: Option<&[u8]>,
    limit: u32,
) -> Sightings {
    let first = resume.is_none();
    let next = resume.map_or(0, <[u8]>::len) + 1;
    let newest = page.found.first().map_or(0, |sighting| sighting.newest);
    match behaviour {
        Some(Behaviour::FloorRises) => {
            page.floor = if first { 1 } else { 2 };
            page.resume = first.then(|| vec![1]);
        }
        Some(Behaviour::AboveFloor) => {
            page.floor = u64::from(first);
            page.resume = first.then(|| vec![1]);
            if first {
                page.found.clear();
            }
        }
        Some(Behaviour::SameResume) => {
            page.floor = newest;
            page.resume = Some(vec![1]);
        }
        Some(Behaviour::Endless) => {
            page.floor = u64::MAX;
            page.resume = Some(vec![1; next % 1000 + 1]);
            page.found.clear();
        }
        Some(Behaviour::TooMany) => {
            let one: Vec<Sighting> = page.found.iter().take(1).copied().collect();
            page.found = one.repeat(limit as usize + 1);
        }
        Some(Behaviour::TooEarly) => {
            for sighting in &mut page.found {
                sighting.newest = 0;
            }
        }
        _ => {}
    }
    page
}

/// What becomes of an honest page of pieces.
pub(crate) fn read(
    behaviour: Option<&Behaviour>,
    mut page: Pieces,
    part: Part,
    resume: Option<&[u8]>,
) -> Pieces {
    match behaviour {
        Some(Behaviour::Unasked) => {
            for piece in &mut page.pieces {
                piece.trace_id.low ^= 1;
            }
        }
        Some(Behaviour::WrongOrder) => page.pieces.reverse(),
        Some(Behaviour::Undecodable) => {
            for piece in &mut page.pieces {
                piece.bytes = vec![0xff; 9];
            }
        }
        Some(Behaviour::AnotherTrace) if part == Part::Otlp => swap_bytes(&mut page.pieces),
        Some(Behaviour::EmptyPage) => {
            page.pieces.clear();
            page.resume = Some(vec![1; resume.map_or(0, <[u8]>::len) + 1]);
        }
        _ => {}
    }
    page
}

/// Gives the bytes of the first piece to the last, and the other way round.
fn swap_bytes(pieces: &mut [Piece]) {
    if let [first, .., last] = pieces {
        std::mem::swap(&mut first.bytes, &mut last.bytes);
    }
}
