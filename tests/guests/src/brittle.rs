//! The kv plugin with parts so small that a few writes seal and merge them, and which can be told to die.
//!
//! | setting | meaning |
//! |---|---|
//! | `trap_write` | The write of this number of an instance traps once all of it is stored |
//! | `trap_maintain` | So does this step of upkeep |
//! | `trap_check` | So does this step of a check |
//! | `spin_write`, `spin_maintain`, `spin_check` | As those, but they never come back |
//!
//! What else it is given are the kv plugin's settings.

use larder_kv::{Kv, Shape};
use larder_plugin::{
    Batch, Checked, Counts, Environment, Error, Instancing, Operation, Part, Pieces, Plugin,
    Search, Sightings, Timestamp, Wanted, settings,
};

/// See the module.
#[derive(Debug)]
pub struct Brittle {
    kv: Kv,
    writes: Fuse,
    upkeep: Fuse,
    checks: Fuse,
}

/// The calls that are left before one that never comes back.
#[derive(Debug)]
struct Fuse {
    trap: Option<u64>,
    spin: Option<u64>,
}

impl Fuse {
    #[expect(clippy::empty_loop, reason = "what the tests are about")]
    fn burn(&mut self) {
        for left in [&mut self.trap, &mut self.spin].into_iter().flatten() {
            *left = left.saturating_sub(1);
        }
        assert_ne!(self.trap, Some(0), "told to trap");
        if self.spin == Some(0) {
            loop {}
        }
    }
}

/// A few dozen spans fill every part.
fn small() -> Shape {
    Shape {
        block: 4000,
        inline: 1000,
        committed: 20_000,
        entry: (20, 8000),
        group_spans: 400,
        group_terms: 2000,
        group_bytes: 60_000,
        group_entries: 12,
        page: 500,
        run: 60,
        fan: 3,
        levels: 2,
        closed_segments: 2,
        merge_step: 2000,
        find_steps: 8,
        ..Shape::default()
    }
}

impl Plugin for Brittle {
    const NAME: &'static str = "brittle";
    const VERSION: &'static str = "1.0.0";
    const INSTANCING: Instancing = Instancing::Replicated;

    fn open(mut environment: Environment) -> Result<Self, Error> {
        let given = settings::Settings::new(&environment, &[]);
        let fuse = |call: &str| -> Result<Fuse, Error> {
            Ok(Fuse {
                trap: given.number(&format!("trap_{call}"))?,
                spin: given.number(&format!("spin_{call}"))?,
            })
        };
        let (writes, upkeep, checks) = (fuse("write")?, fuse("maintain")?, fuse("check")?);
        let own = |name: &str| name.starts_with("trap_") || name.starts_with("spin_");
        environment.settings.retain(|it| !own(&it.name));
        Ok(Self {
            kv: Kv::open_with(&environment, small())?,
            writes,
            upkeep,
            checks,
        })
    }

    fn write(&mut self, now: Timestamp, batches: Vec<Batch>) -> Result<(), Error> {
        self.kv.write(now, batches)?;
        self.writes.burn();
        Ok(())
    }

    fn find(
        &mut self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, Error> {
        self.kv.find(search, resume, limit)
    }

    fn read(
        &mut self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Result<Pieces, Error> {
        self.kv.read(wanted, part, resume, max_bytes)
    }

    fn services(&mut self) -> Result<Vec<String>, Error> {
        self.kv.services()
    }

    fn operations(&mut self, service: &str) -> Result<Vec<Operation>, Error> {
        self.kv.operations(service)
    }

    fn maintain(&mut self, now: Timestamp, stored_bytes: u64) -> Result<bool, Error> {
        let more = self.kv.maintain(now, stored_bytes)?;
        self.upkeep.burn();
        Ok(more)
    }

    fn statistics(&self) -> Counts {
        self.kv.statistics()
    }

    fn check(&mut self, resume: Option<&[u8]>) -> Result<Checked, Error> {
        self.checks.burn();
        self.kv.check(resume)
    }
}
