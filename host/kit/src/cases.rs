//! What every plugin is tried with.

mod damage;
mod full;
mod outside;
mod trouble;

use larder_plugin::testing::{self, Breach, Checker, FragmentBuilder, Subject, batch, fragment};
use larder_plugin::{Error, Part, Search, SpanKind, TraceId, Wanted};

use crate::world::{Opening, World};

/// A case that ended without a breach.
pub(crate) enum Passed {
    /// All of it was tried.
    All,
    /// It cannot be tried, for this reason.
    Skipped(String),
}

/// What a case has come to.
pub(crate) type Tried = Result<Passed, Breach>;

/// See the module.
pub(crate) struct FixedCase {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&World) -> Tried,
}

/// All of them.
pub(crate) const ALL: &[FixedCase] = &[
    FixedCase {
        name: "a setting that it does not know is refused",
        run: unknown_setting,
    },
    FixedCase {
        name: "an empty storage answers",
        run: empty,
    },
    FixedCase {
        name: "a `resume` that it did not make is refused",
        run: foreign_resume,
    },
    FixedCase {
        name: "handles and traces that nobody has written are left out",
        run: unknown,
    },
    FixedCase {
        name: "equal fragments are all kept",
        run: equal,
    },
    FixedCase {
        name: "ids, terms, times and durations at the ends of their ranges",
        run: extremes,
    },
    FixedCase {
        name: "names of several bytes a character, empty ones, and long ones",
        run: names,
    },
    FixedCase {
        name: "a batch of 16 MiB",
        run: large,
    },
    FixedCase {
        name: "1,000 traces of many fragments, read in pages",
        run: many,
    },
    FixedCase {
        name: "within 4 MiB of memory",
        run: |world| full::fill(world, 4 << 20),
    },
    FixedCase {
        name: "within 16 MiB of memory",
        run: |world| full::fill(world, 16 << 20),
    },
    FixedCase {
        name: "within 64 MiB of memory",
        run: |world| full::fill(world, 64 << 20),
    },
    FixedCase {
        name: "what is stored is found undamaged",
        run: undamaged,
    },
    FixedCase {
        name: "a year goes by",
        run: trouble::a_year,
    },
    FixedCase {
        name: "each change of kv fails once, and a host ends there",
        run: trouble::faults,
    },
    FixedCase {
        name: "a writer with something stored keeps its id",
        run: trouble::retire,
    },
    FixedCase {
        name: "a purge deletes what is kept outside, and nothing of another tenant",
        run: outside::purged,
    },
    FixedCase {
        name: "a repair of what is sound changes nothing",
        run: damage::sound,
    },
    FixedCase {
        name: "each value of kv is damaged once, and repaired",
        run: damage::repaired,
    },
];

fn unknown_setting(world: &World) -> Tried {
    drop(world.open()?);
    let opening = Opening {
        setting: Some(("no-such-setting".to_owned(), "1".to_owned())),
        ..Opening::default()
    };
    match world.open_on(world.place()?, &opening)? {
        Err(Error::InvalidArgument(_)) => Ok(Passed::All),
        Err(error) => Err(Breach::new(
            "open.setting",
            format!(
                "`open` with the setting `no-such-setting` raised {}; it has to raise invalid-argument",
                testing::raised(&error)
            ),
        )),
        Ok(_) => Err(Breach::new(
            "open.setting",
            "`open` takes the setting `no-such-setting`; it has to raise invalid-argument, so that a slip of the pen is seen",
        )),
    }
}

fn empty(world: &World) -> Tried {
    let mut checker = Checker::new(world.open()?);
    checker.check_all()?;
    checker.check_traces(&[TraceId::from(1), TraceId::from(2)], 100)?;
    let now = checker.now();
    checker.subject().maintain_all(now)?;
    checker.check_all()?;
    Ok(Passed::All)
}

fn foreign_resume(world: &World) -> Tried {
    let mut checker = Checker::new(world.open()?);
    checker.write([fragment(1), fragment(2), fragment(3)])?;
    checker.begin_query()?;
    let subject = checker.subject();
    let refused = |rule: &'static str, function: &str, called: Result<(), Error>| match called {
        Err(Error::InvalidArgument(_)) => Ok(()),
        Err(error) => Err(Breach::new(
            rule,
            format!(
                "`{function}` raised {} for a `resume` that it did not make; it has to raise invalid-argument",
                testing::raised(&error)
            ),
        )),
        Ok(()) => Err(Breach::new(
            rule,
            format!(
                "`{function}` takes a `resume` that it did not make; it has to raise invalid-argument"
            ),
        )),
    };
    for resume in [&b"rubbish"[..], b"", &[0xff; 4096]] {
        let found = subject.find(&Search::all(), Some(resume), 5)?;
        refused("find.resume", "find", found.map(|_| ()))?;
        let wanted = Wanted::Traces(vec![TraceId::from(1)]);
        let read = subject.read(&wanted, Part::Otlp, Some(resume), 5)?;
        refused("read.resume", "read", read.map(|_| ()))?;
    }
    checker.check_all()?;
    Ok(Passed::All)
}

fn unknown(world: &World) -> Tried {
    let mut checker = Checker::new(world.open()?);
    checker.write([fragment(1).otlp(*b"spans")])?;
    checker.begin_query()?;
    for handle in [7, u64::MAX, 0x1234_5678_9abc_def0] {
        let pieces = checker.read(&Wanted::Fragments(vec![handle]), Part::Otlp, 10)?;
        // It may be the one that is stored.
        if pieces.len() > 1 || pieces.iter().any(|it| it.fragment != handle) {
            let text = format!("`read` of the handle {handle} gives other fragments");
            return Err(Breach::new("read.wanted", text));
        }
    }
    checker.check_traces(&[TraceId::from(9), TraceId::from(1), TraceId::from(8)], 10)?;
    Ok(Passed::All)
}

fn equal(world: &World) -> Tried {
    let mut subject = world.open()?;
    let one = || fragment(5).terms([7]).digest(*b"digest").otlp(*b"spans");
    for batches in [vec![batch([one(), one()])], vec![batch([one()])]] {
        testing::answered("write", subject.write(1, batches))?;
    }
    let mut checker = Checker::new(subject);
    checker.begin_query()?;
    let wanted = Wanted::Traces(vec![TraceId::from(5)]);
    for part in [Part::Otlp, Part::Digest] {
        let count = checker.read(&wanted, part, 1)?.len();
        if count != 3 {
            let text = format!(
                "three equal fragments of trace 5 were written, two of them in one batch, and `read` gives {count} pieces; none replaces another"
            );
            return Err(Breach::new("read.all", text));
        }
    }
    Ok(Passed::All)
}

fn extremes(world: &World) -> Tried {
    let mut checker = Checker::new(world.open()?);
    let ids = [1, u128::MAX, 1 << 64, u128::from(u64::MAX), 1 << 127];
    let times = [
        (0, 0),
        (0, u64::MAX),
        (u64::MAX, u64::MAX),
        (1, u64::MAX - 1),
    ];
    let fragments = ids.iter().flat_map(|id| {
        times.iter().map(|(start, end)| {
            let built = fragment(*id).starts(*start, *end).durations(*start, *end);
            built
                .terms([0, 1, u64::MAX, 1 << 63])
                .digest(*b"d")
                .otlp(*b"o")
        })
    });
    checker.write(fragments.collect::<Vec<_>>())?;
    checker.check_all()?;
    for (start, end) in times {
        let mut search = Search::all();
        (search.starts.start, search.starts.end) = (start, end);
        checker.find(&search, || 3)?;
        (search.durations.shortest, search.durations.longest) = (start, end);
        search.clauses = vec![vec![0], vec![u64::MAX, 5]];
        checker.find(&search, || 1)?;
    }
    checker.find(&Search::all(), || u32::MAX)?;
    let all: Vec<TraceId> = ids.iter().map(|it| TraceId::from(*it)).collect();
    checker.check_traces(&all, u32::MAX)?;
    checker.check_traces(&all, 0)?;
    Ok(Passed::All)
}

fn names(world: &World) -> Tried {
    let mut checker = Checker::new(world.open()?);
    let long = "n".repeat(20_000);
    let names = [
        "",
        "ä",
        "日本語",
        "🦀 crab",
        "a\u{0}b",
        "line\nbreak",
        "%",
        &*long,
    ];
    let services = ["größe", "日本", "s", &*long];
    for (place, service) in services.into_iter().enumerate() {
        let mut built = fragment(place as u128 + 1).otlp(*b"o").digest(*b"d");
        for name in names {
            built = built.operation(service, name, SpanKind::Server);
            built = built.operation(service, name, SpanKind::Client);
        }
        checker.write([built])?;
    }
    checker.check_all()?;
    Ok(Passed::All)
}

fn large(world: &World) -> Tried {
    let mut checker = Checker::new(world.open()?);
    let big = |id: u128| {
        let terms = (0..20_000).map(move |it| it * 3 + u64::from(id == 2));
        fragment(id)
            .spans(10_000)
            .terms(terms)
            .digest(vec![1; 100_000])
            .otlp(vec![2; 8 << 20])
    };
    checker.write([big(1), big(2), fragment(3).otlp(*b"o").digest(*b"d")])?;
    let ids = [TraceId::from(2), TraceId::from(3), TraceId::from(1)];
    checker.check_traces(&ids, 1 << 20)?;
    let mut search = Search::all();
    search.clauses = vec![vec![3 * 19_999]];
    checker.find(&search, || 1)?;
    Ok(Passed::All)
}

fn many(world: &World) -> Tried {
    let mut checker = Checker::new(world.open()?);
    for round in 0..4 {
        let fragments = (1..=1_000_u128).map(|id| one_of_many(id, round));
        checker.write(fragments.collect::<Vec<FragmentBuilder>>())?;
    }
    let ids: Vec<TraceId> = (1..=1_000).rev().map(|id| TraceId::from(id * 7)).collect();
    checker.check_traces(&ids, 20_000)?;
    let mut search = Search::all();
    search.clauses = vec![vec![3, 5]];
    checker.find(&search, || 300)?;
    let now = checker.now();
    checker.subject().maintain_all(now)?;
    checker.check_traces(&ids, 100_000)?;
    checker.find(&search, || 10_000)?;
    checker.check_operations()?;
    Ok(Passed::All)
}

fn undamaged(world: &World) -> Tried {
    let mut checker = Checker::new(world.open()?);
    for round in 0..3 {
        let fragments = (1..=50_u128).map(|id| one_of_many(id, round));
        checker.write(fragments.collect::<Vec<FragmentBuilder>>())?;
        let now = checker.now();
        checker.subject().maintain_all(now)?;
        checker.subject().check_all()?;
    }
    checker.check_all()?;
    Ok(Passed::All)
}

pub(crate) fn one_of_many(id: u128, round: u64) -> FragmentBuilder {
    let start = u64::try_from(id).unwrap_or(0) * 10 + round;
    let built = fragment(id * 7)
        .starts(start, start + 3)
        .terms([start % 11, 100 + round]);
    let built = built.digest(vec![3; 40]).otlp(vec![4; 200]);
    built.operation(
        "shop",
        if round == 0 { "GET" } else { "PUT" },
        SpanKind::Server,
    )
}
