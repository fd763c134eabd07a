//! Finds the version that a component was built for, and checks the types of its exports.

use wasmtime::Engine;
use wasmtime::component::types::{Component as Type, ComponentItem};
use wasmtime::component::{Component, ComponentNamedList, Lift, Lower};

use super::ContractVersion;

/// The interfaces that a component of any version has to export.
const INTERFACES: [&str; 3] = ["lifecycle", "writer", "reader"];

/// The error says in which way an export does not fit.
pub(super) type Check = Result<(), String>;

/// The exports of a component that was built for a version that the host has.
pub(super) struct ExportTypes<'a> {
    engine: &'a Engine,
    ty: Type,
    version: ContractVersion,
}

// === impl ExportTypes ===

impl<'a> ExportTypes<'a> {
    /// # Errors
    /// No export of the component belongs to a version that the host has.
    pub(super) fn new(engine: &'a Engine, component: &Component) -> Result<Self, String> {
        let ty = component.component_type();
        let version = ContractVersion::of_exports(ty.exports(engine).map(|(name, _)| name))?;
        Ok(Self {
            engine,
            ty,
            version,
        })
    }

    pub(super) fn version(&self) -> ContractVersion {
        self.version
    }

    /// Joins the errors of all checks.
    pub(super) fn check(&self, checks: impl FnOnce(&Self) -> Vec<Check>) -> Check {
        let mut wrong: Vec<_> = checks(self).into_iter().filter_map(Result::err).collect();
        wrong.dedup();
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join("; "))
        }
    }

    /// The export of this interface in the component's version, or in a patch of it, if it has one.
    pub(super) fn interface(&self, interface: &str) -> Option<ComponentItem> {
        let is_it = |name: &str| {
            let parts = name.strip_prefix("larder:storage/");
            let parts = parts.and_then(|it| it.split_once('@'));
            parts.is_some_and(|(found, version)| {
                found == interface && ContractVersion::compatible(version) == Some(self.version)
            })
        };
        let mut exports = self.ty.exports(self.engine);
        exports.find(|(name, _)| is_it(name)).map(|(_, it)| it.ty)
    }

    /// Checks that `interface` is exported with a `function` of this type.
    pub(super) fn function<Parameters, Results>(&self, interface: &str, function: &str) -> Check
    where
        Parameters: ComponentNamedList + Lower,
        Results: ComponentNamedList + Lift,
    {
        let name = self.version.name_of(interface);
        let ComponentItem::ComponentInstance(instance) =
            self.interface(interface).ok_or_else(|| {
                let names = self.ty.exports(self.engine).map(|(name, _)| name);
                missing(&names.collect::<Vec<_>>(), interface, &[self.version])
            })?
        else {
            return Err(format!("its export `{name}` is no interface"));
        };
        let ComponentItem::ComponentFunc(ty) = instance
            .get_export(self.engine, function)
            .ok_or_else(|| format!("`{name}` lacks the function `{function}`"))?
            .ty
        else {
            return Err(format!("`{function}` of `{name}` is no function"));
        };
        ty.typecheck::<Parameters, Results>(&self.ty.instance_type())
            .map_err(|error| format!("`{function}` of `{name}` has another type: {error:#}"))
    }
}

impl ContractVersion {
    /// The version that a component was built for, by the names of its exports: that of its `lifecycle`; of one that lacks it, the newest
    /// of which it exports any interface, so that it is told what it lacks.
    ///
    /// # Errors
    /// No export belongs to a version that the host has.
    pub(crate) fn of_exports<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let names: Vec<&str> = names.collect();
        let is_lifecycle = |name: &&str| name.starts_with("larder:storage/lifecycle@");
        let has_lifecycle = names.iter().any(is_lifecycle);
        let telling = names.iter().filter(|it| !has_lifecycle || is_lifecycle(it));
        let versions = telling.filter_map(|name| version_in(name));
        let known = versions.clone().filter_map(Self::compatible);
        let newest = |it: &Self| Self::ALL.iter().position(|version| version == it);
        if let Some(version) = known.min_by_key(newest) {
            return Ok(version);
        }
        let mut unknown = versions;
        Err(match unknown.next() {
            Some(unknown) => format!(
                "it was built for version {unknown} of `larder:storage`; this server has {}",
                joined(&Self::ALL, " and ", |it| it.as_str().to_owned())
            ),
            None => INTERFACES
                .map(|name| missing(&names, name, &Self::ALL))
                .join("; "),
        })
    }

    /// The version that one of this name is equal to: patches do not count.
    pub(crate) fn compatible(version: &str) -> Option<Self> {
        let (without_patch, _) = version.rsplit_once('.')?;
        Self::ALL.into_iter().find(|it| {
            let own = it.as_str().rsplit_once('.');
            own.is_some_and(|(own, _)| own == without_patch)
        })
    }
}

/// The version in the full name of one of the contract's interfaces.
fn version_in(name: &str) -> Option<&str> {
    let (interface, version) = name.strip_prefix("larder:storage/")?.split_once('@')?;
    INTERFACES.contains(&interface).then_some(version)
}

/// Says that an interface is not exported in any of these versions, and in which it is instead.
fn missing(names: &[&str], interface: &str, needed: &[ContractVersion]) -> String {
    let needed = joined(needed, " or ", |it| format!("`{}`", it.name_of(interface)));
    let is_other = |name: &&&str| {
        let unversioned = name.split('@').next().unwrap_or_default();
        unversioned.strip_prefix("larder:storage/") == Some(interface)
    };
    match names.iter().find(is_other) {
        Some(other) => format!("it exports `{other}` where {needed} is needed"),
        None => format!("it does not export {needed}"),
    }
}

fn joined(
    versions: &[ContractVersion],
    separator: &str,
    text: impl Fn(ContractVersion) -> String,
) -> String {
    let texts: Vec<_> = versions.iter().copied().map(text).collect();
    texts.join(separator)
}
