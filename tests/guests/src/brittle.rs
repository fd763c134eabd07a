//! The kv plugin with parts so small that a few writes seal and merge them, and with calls that trap or spin on request.
//!
//! | setting | meaning |
//! |---|---|
//! | `trap_write` | An instance's write of this number traps after everything is stored |
//! | `trap_maintain` | The same for a step of maintenance |
//! | `trap_check`, `trap_repair` | The same for a step of a check or of a repair |
//! | `spin_write`, `spin_maintain`, `spin_check`, `spin_repair` | The same, but the call never returns |
//!
//! All other settings are the kv plugin's.

use larder_kv::{Kv, Shape};
use larder_plugin::{
    Batch, Checked, Counts, Environment, Error, Instancing, Operation, Part, Pieces, Plugin,
    Remade, Repaired, Search, Sightings, Sizes, Timestamp, Wanted, settings,
};

/// The kv plugin with small parts and injected faults.
#[derive(Debug)]
pub struct Brittle {
    kv: Kv,
    writes: Countdown,
    upkeep: Countdown,
    checks: Countdown,
    repairs: Countdown,
}

/// Counts down to the call that does not return normally.
#[derive(Debug)]
struct Countdown {
    trap: Option<u64>,
    spin: Option<u64>,
}

impl Countdown {
    #[expect(clippy::empty_loop, reason = "what the tests are about")]
    fn tick(&mut self) {
        for left in [&mut self.trap, &mut self.spin].into_iter().flatten() {
            *left = left.saturating_sub(1);
        }
        assert_ne!(self.trap, Some(0), "told to trap");
        if self.spin == Some(0) {
            loop {}
        }
    }
}

/// Sizes at which a few dozen spans fill every part.
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
        let countdown = |call: &str| -> Result<Countdown, Error> {
            Ok(Countdown {
                trap: given.number(&format!("trap_{call}"))?,
                spin: given.number(&format!("spin_{call}"))?,
            })
        };
        let (writes, upkeep, checks, repairs) = (
            countdown("write")?,
            countdown("maintain")?,
            countdown("check")?,
            countdown("repair")?,
        );
        let own = |name: &str| name.starts_with("trap_") || name.starts_with("spin_");
        environment.settings.retain(|it| !own(&it.name));
        Ok(Self {
            kv: Kv::open_with(&environment, small())?,
            writes,
            upkeep,
            checks,
            repairs,
        })
    }

    fn write(&mut self, now: Timestamp, batches: Vec<Batch>) -> Result<(), Error> {
        self.kv.write(now, batches)?;
        self.writes.tick();
        Ok(())
    }

    fn refresh(&mut self) -> Result<(), Error> {
        self.kv.refresh()
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

    fn maintain(&mut self, now: Timestamp, sizes: Sizes) -> Result<bool, Error> {
        let more = self.kv.maintain(now, sizes)?;
        self.upkeep.tick();
        Ok(more)
    }

    fn retire(&mut self) -> Result<bool, Error> {
        self.kv.retire()
    }

    fn statistics(&self) -> Counts {
        self.kv.statistics()
    }

    fn check(&mut self, resume: Option<&[u8]>) -> Result<Checked, Error> {
        self.checks.tick();
        self.kv.check(resume)
    }

    fn repair(&mut self, now: Timestamp, remade: &[Remade]) -> Result<Repaired, Error> {
        let step = self.kv.repair(now, remade)?;
        self.repairs.tick();
        Ok(step)
    }
}
