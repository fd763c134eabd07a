//! The trait that a plugin implements, and the macro that exports it.

use crate::{
    Batch, Checked, Counts, Environment, Error, Instancing, Operation, Part, Pieces, Remade,
    Repaired, Search, Sightings, Sizes, Timestamp, Wanted,
};

/// Stores one tenant's fragments. One value of this type is one instance; calls to it never overlap.
///
/// `wit/storage.wit` describes what each call promises. A panic is a trap: the host drops the instance and opens a new one.
pub trait Plugin: Sized + 'static {
    /// The name that the host shows and logs.
    const NAME: &'static str;
    /// The plugin's own version; usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// Tells if data is stored in this instance or in [`kv`](crate::kv).
    const INSTANCING: Instancing;

    /// Called once, before anything else. An unknown or bad setting is [`Error::InvalidArgument`], with a text that names the
    /// valid ones: see [`settings`](crate::settings).
    fn open(environment: Environment) -> Result<Self, Error>;

    /// Stores one or more batches, at this time by the host's clock. On return they are visible to every later call of this instance, and on
    /// others after their next [`Plugin::refresh`]. All of them are stored or none.
    fn write(&mut self, now: Timestamp, batches: Vec<Batch>) -> Result<(), Error>;

    /// Looks for what other instances have written. Called before the calls of a query, unless data is in this instance alone. The calls that
    /// read may answer from what this one has found. The default does nothing, for plugins that look with each call.
    fn refresh(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Returns one page of sightings, newest first. All pages together have every match that was stored when the query began. `limit` is
    /// the most that the page may hold; it is not 0.
    fn find(
        &mut self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, Error>;

    /// Returns one page of pieces: about `max_bytes` of them, and at least one as long as any is left. Of a trace of which only the
    /// beginning is kept, the first piece has the number of spans that were dropped; all other pieces have 0.
    fn read(
        &mut self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Result<Pieces, Error>;

    /// Returns the services of all stored data, without duplicates. In any order, best the most recently written first: of a list that
    /// fits no message the host keeps what comes first.
    fn services(&mut self) -> Result<Vec<String>, Error>;

    /// Returns the operations of a service, without duplicates, in an order as of [`Plugin::services`]; none for an unknown service.
    fn operations(&mut self, service: &str) -> Result<Vec<Operation>, Error>;

    /// Runs one small step of maintenance; returns true if there is more to do now. `sizes` are those of the tenant and of this writer in
    /// `kv`. There is no [`Plugin::refresh`] before it.
    fn maintain(&mut self, now: Timestamp, sizes: Sizes) -> Result<bool, Error> {
        let (_, _) = (now, sizes);
        Ok(false)
    }

    /// Returns true if nothing that is stored is this writer's any more, so that its id may be forgotten. The default never lets it be.
    fn retire(&mut self) -> Result<bool, Error> {
        Ok(false)
    }

    /// Deletes all that the tenant has stored outside of this instance and of [`kv`](crate::kv), which the host empties itself. Called only
    /// where the operator grants connections. The default says that the plugin cannot.
    fn purge(&mut self) -> Result<(), Error> {
        Err(Error::Other(
            "it cannot delete what it keeps outside of Larder".to_owned(),
        ))
    }

    /// Counts what is stored now and what was dropped since `open`, and tells when the oldest of it was written; zeros and `None` unless the
    /// plugin counts. It should only read counters.
    fn statistics(&self) -> Counts {
        Counts::default()
    }

    /// Checks stored data for damage, in bounded steps: reports a line for each value that cannot be read back, with its contents.
    /// Every step but the last reads at least one value. The default checks nothing, for plugins without data of their own to check.
    fn check(&mut self, resume: Option<&[u8]>) -> Result<Checked, Error> {
        let _ = resume;
        Ok(Checked::default())
    }

    /// Repairs stored data, in bounded steps, so that everything that is not lost is served. Called only after `open` with
    /// [`Role::Repairer`](crate::Role::Repairer). `remade` answers what the step before asked for. The default says that the plugin cannot.
    fn repair(&mut self, now: Timestamp, remade: &[Remade]) -> Result<Repaired, Error> {
        let (_, _) = (now, remade);
        Err(Error::Other(
            "it cannot repair what it has stored".to_owned(),
        ))
    }
}

/// Exports a type that implements [`Plugin`] as this crate's component: `larder_plugin::export!(MyPlugin);`
///
/// Native builds only check the type, as they export nothing.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        const _: () = {
            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<::std::option::Option<$plugin>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            struct Instance;

            impl $crate::glue::Instance for Instance {
                type Plugin = $plugin;
                fn with<R>(
                    call: impl ::std::ops::FnOnce(&mut ::std::option::Option<$plugin>) -> R,
                ) -> R {
                    INSTANCE.with_borrow_mut(call)
                }
            }

            #[cfg(target_family = "wasm")]
            type Component = $crate::glue::Component<Instance>;
            #[cfg(target_family = "wasm")]
    $crate::bindings::export_world!(Component with_types_in $crate::bindings);
        };
    };
}
