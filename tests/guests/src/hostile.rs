//! A guest that misbehaves in any of its functions, as directed by the spans that it is given to store.
//!
//! A batch with a span of the service `arm MISDEED at FUNCTION` arms it, and one of the service `disarm` disarms it; neither is
//! stored. The armed misdeed is kept in `kv`, so that every instance of the tenant knows it, also a replacement. In `write`,
//! `maintain`, `statistics` and `open` the misdeed is done once; in functions that read, in every call until the guest is disarmed.
//! The setting `attack` arms it before it is opened, for `open` and for `check`, which no server calls.
//!
//! FUNCTION is the name of a function of the contract. `open` is that of a writing instance, `open-reader` that of a reading one.
//! Before a misdeed the guest logs `about to MISDEED at FUNCTION`.
//!
//! A batch of the service `die` always traps; `remember this` leaves a secret in the instance. All other batches go to
//! [`store`](crate::store).

mod lies;
mod misdeeds;

use std::cell::RefCell;

use larder_plugin::kv::{self, Change, Entry, Key};
use larder_plugin::{
    Batch, Checked, Counts, Environment, Error, Instancing, Operation, Part, Pieces, Plugin, Role,
    Search, Sightings, Sizes, Timestamp, Wanted, log, settings,
};

use crate::store::{self, Store};

/// The partition of the armed attack, which has the empty key.
const ATTACK: &str = "attack";
/// The separator between the misdeed and the function.
const AT: &str = " at ";

thread_local! {
    /// The secrets that this instance remembers.
    static SECRETS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The hostile guest. Its data is always in `kv`; an exclusive one has no readers beside its writer.
#[derive(Debug)]
pub struct Hostile<const EXCLUSIVE: bool> {
    store: Store,
    writes: bool,
    /// It was opened while an attack on the opening of readers was armed.
    attacked: bool,
    /// The setting `attack`.
    attack: Option<String>,
}

/// Returns the misdeed that is armed for this function.
fn armed(function: &str) -> Result<Option<String>, Error> {
    let key = Key {
        partition: ATTACK.to_owned(),
        sort: Vec::new(),
    };
    let attack = kv::get(&[key])?.pop().flatten().unwrap_or_default();
    let attack = String::from_utf8(attack).unwrap_or_default();
    Ok(of_function(&attack, function))
}

fn of_function(attack: &str, function: &str) -> Option<String> {
    let (misdeed, at) = attack.rsplit_once(AT)?;
    (at == function).then(|| misdeed.to_owned())
}

fn arm(attack: &str) -> Result<(), Error> {
    let armed = Entry {
        sort: Vec::new(),
        value: attack.into(),
    };
    Ok(kv::commit(ATTACK, &[Change::Put(armed)])?)
}

/// Does the misdeed that is armed for a function of a writing instance, once; returns its name.
fn once(function: &str) -> Result<Option<String>, Error> {
    let armed = armed(function)?;
    if let Some(misdeed) = &armed {
        arm("")?;
        commit(misdeed, function)?;
    }
    Ok(armed)
}

/// Does the misdeed that is armed for a function of a reading instance; returns its name.
fn always(function: &str) -> Result<Option<String>, Error> {
    let armed = armed(function)?;
    if let Some(misdeed) = &armed {
        commit(misdeed, function)?;
    }
    Ok(armed)
}

/// Announces a misdeed, does it, and logs how often it did it, so that tests can tell that it was done.
fn commit(misdeed: &str, function: &str) -> Result<(), Error> {
    log::info(&format!("the guest is about to {misdeed} at {function}"));
    let times = misdeeds::commit(misdeed, function)?;
    if times > 0 {
        log::info(&format!(
            "the guest did {misdeed} at {function}, {times} times"
        ));
    }
    Ok(())
}

impl<const EXCLUSIVE: bool> Plugin for Hostile<EXCLUSIVE> {
    const NAME: &'static str = "hostile";
    const VERSION: &'static str = "1.0.0";
    const INSTANCING: Instancing = if EXCLUSIVE {
        Instancing::Exclusive
    } else {
        Instancing::Replicated
    };

    fn open(environment: Environment) -> Result<Self, Error> {
        let given = settings::Settings::new(&environment, &["attack"]);
        let attack = given.text("attack").map(str::to_owned);
        given.finish()?;
        let writes = matches!(environment.role, Role::Writer(_));
        let function = if writes { "open" } else { "open-reader" };
        if let Some(misdeed) = attack.as_deref().and_then(|it| of_function(it, function)) {
            commit(&misdeed, function)?;
        }
        let misdeed = if writes {
            once(function)?
        } else {
            always(function)?
        };
        Ok(Self {
            attacked: misdeed.is_some(),
            store: Store::open(&environment.role)?,
            writes,
            attack,
        })
    }

    fn write(&mut self, _now: Timestamp, batches: Vec<Batch>) -> Result<(), Error> {
        for service in batches.iter().flat_map(|batch| &batch.services) {
            if let Some(attack) = service.strip_prefix("arm ") {
                return arm(attack);
            }
            match &**service {
                "disarm" => return arm(""),
                "die" => misdeeds::trap("told to die"),
                "remember this" => {
                    SECRETS.with_borrow_mut(|secrets| secrets.push("a secret".to_owned()));
                }
                _ => {}
            }
        }
        once("write")?;
        self.store.write(&batches)
    }

    fn refresh(&mut self) -> Result<(), Error> {
        always("refresh")?;
        Ok(())
    }

    fn find(
        &mut self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, Error> {
        // Forces the host to open a reader.
        if !self.attacked && armed("open-reader")?.is_some() {
            misdeeds::trap("told to die");
        }
        let misdeed = always("find")?;
        let page = store::find(search, limit)?;
        Ok(match misdeed {
            Some(misdeed) => lies::find(&misdeed, page, resume, limit),
            None => page,
        })
    }

    fn read(
        &mut self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        _max_bytes: u32,
    ) -> Result<Pieces, Error> {
        let Some(misdeed) = always("read")? else {
            return store::read(wanted, part, resume);
        };
        // Everything on one page, so that there is something to corrupt.
        let mut page = store::read(wanted, part, None)?;
        while let Some(next) = page.resume.take() {
            let more = store::read(wanted, part, Some(&next))?;
            page.pieces.extend(more.pieces);
            page.resume = more.resume;
        }
        Ok(lies::read(&misdeed, page, part, resume))
    }

    fn services(&mut self) -> Result<Vec<String>, Error> {
        let misdeed = always("services")?;
        let mut services = store::services()?;
        SECRETS.with_borrow(|secrets| services.extend_from_slice(secrets));
        Ok(lies::services(&misdeed.unwrap_or_default(), services))
    }

    fn operations(&mut self, service: &str) -> Result<Vec<Operation>, Error> {
        let misdeed = always("operations")?;
        let operations = store::operations(service)?;
        Ok(lies::operations(&misdeed.unwrap_or_default(), operations))
    }

    fn maintain(&mut self, _now: Timestamp, _sizes: Sizes) -> Result<bool, Error> {
        // From here on it always has more to do, until another instance replaces this one.
        if armed("maintain")?.as_deref() == Some("more and more") {
            commit("more and more", "maintain")?;
            return Ok(true);
        }
        once("maintain")?;
        Ok(false)
    }

    fn statistics(&self) -> Counts {
        // It cannot raise an error, and a kv error would be a misdeed that was not armed.
        let misdeed = if self.writes {
            once("statistics")
        } else {
            Ok(None)
        };
        match misdeed {
            Ok(Some(misdeed)) if misdeed == "absurd numbers" => lies::counts(),
            _ => Counts::default(),
        }
    }

    fn check(&mut self, resume: Option<&[u8]>) -> Result<Checked, Error> {
        let attack = self.attack.as_deref();
        let Some(misdeed) = attack.and_then(|it| of_function(it, "check")) else {
            return Ok(Checked::default());
        };
        commit(&misdeed, "check")?;
        Ok(lies::check(&misdeed, resume))
    }
}
