//! Plugins that keep what they store where the operator has granted them a connection to.

use larder_plugin::SpanKind;
use larder_plugin::testing::{Breach, Checker, answered, fragment};
use larder_runtime::plugin::Place;
use larder_store::{Driver as _, MemoryDriver};

use super::{Passed, Tried};
use crate::sandboxed::Sandboxed;
use crate::world::World;

/// Two tenants store something, and one of them is purged.
pub(super) fn purged(world: &World) -> Tried {
    if !world.reaches_out() {
        let why = "it is granted no connection: --plugin-grant gives it one";
        return Ok(Passed::Skipped(why.to_owned()));
    }
    let written = || {
        let mut checker = Checker::new(world.open()?);
        checker.write(
            (1..=3)
                .map(|id| {
                    fragment(id)
                        .terms([7])
                        .operation("s", "o", SpanKind::Server)
                })
                .collect::<Vec<_>>(),
        )?;
        Ok::<_, Breach>(checker)
    };
    let (mut purged, mut other) = (written()?, written()?);
    let place = purged.subject().place().clone();
    answered("purge", world.purge(&place))?;
    // The host has emptied kv, and opens other instances.
    let emptied = world.block_on(MemoryDriver::new().open(&place.tenant));
    let emptied = Place {
        namespace: emptied.map_err(|error| Breach::new("kit.store", error.to_string()))?,
        ..place.clone()
    };
    is_empty(world.open_in(emptied.clone())?)?;
    answered("purge", world.purge(&emptied))?;
    other.check_all()?;
    Ok(Passed::All)
}

fn is_empty(opened: Sandboxed<'_>) -> Result<(), Breach> {
    Checker::new(opened).check_all().map_err(|breach| {
        let text = format!(
            "after `purge`, of an instance that is opened then: {}",
            breach.text
        );
        Breach::new("purge.left", text)
    })
}
