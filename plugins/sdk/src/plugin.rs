//! The trait that a plugin implements, and the line that exports it.

use crate::{
    Batch, Checked, Counts, Environment, Error, Instancing, Operation, Part, Pieces, Search,
    Sightings, Timestamp, Wanted,
};

/// What stores one tenant's fragments. One value of this type is one instance; its calls never overlap.
///
/// `wit/storage.wit` says what each call promises. A panic is a trap: the host drops the instance and opens a new one.
pub trait Plugin: Sized + 'static {
    /// The name that the host shows and logs.
    const NAME: &'static str;
    /// The plugin's own version; `env!("CARGO_PKG_VERSION")` as a rule.
    const VERSION: &'static str;
    /// Whether what is stored lives in this instance or in [`kv`](crate::kv).
    const INSTANCING: Instancing;

    /// Called once, before anything else. An unknown or bad setting is [`Error::InvalidArgument`], with a text that names the
    /// valid ones: see [`settings`](crate::settings).
    fn open(environment: Environment) -> Result<Self, Error>;

    /// Stores batches, of which there is at least one, at this time by the host's clock. On return they are visible to every
    /// later call. All of them are stored or none.
    fn write(&mut self, now: Timestamp, batches: Vec<Batch>) -> Result<(), Error>;

    /// One page of sightings, newest first; over all pages every match that was stored when the first was asked for.
    /// `limit` is the most that the page may hold; it is not 0.
    fn find(
        &mut self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, Error>;

    /// One page of pieces, about `max_bytes` of them and at least one, as long as any is left.
    fn read(
        &mut self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Result<Pieces, Error>;

    /// The services of what is still stored, in any order, each once.
    fn services(&mut self) -> Result<Vec<String>, Error>;

    /// The operations of a service, of what is still stored, in any order, each once; none for an unknown service.
    fn operations(&mut self, service: &str) -> Result<Vec<Operation>, Error>;

    /// One small step of upkeep; true when there is more to do now. `stored_bytes` is what the tenant takes up in `kv`.
    fn maintain(&mut self, now: Timestamp, stored_bytes: u64) -> Result<bool, Error> {
        let (_, _) = (now, stored_bytes);
        Ok(false)
    }

    /// What is stored now and what has gone since `open`; zeros unless the plugin counts. No more than reading counters.
    fn statistics(&self) -> Counts {
        Counts::default()
    }

    /// One bounded step of reading all that is stored, to tell what of it is damaged: a line for each value that cannot be read
    /// back, with what it held. A step that is not the last reads at least one value. Nothing is checked unless the plugin has
    /// data of its own to check.
    fn check(&mut self, resume: Option<&[u8]>) -> Result<Checked, Error> {
        let _ = resume;
        Ok(Checked::default())
    }
}

/// Exports a type that implements [`Plugin`] as this crate's component: `larder_plugin::export!(MyPlugin);`
///
/// For the machine at hand it only checks the type, as there is nothing to export to.
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
