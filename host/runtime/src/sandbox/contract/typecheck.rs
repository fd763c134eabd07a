//! Finds the version that a component was built for, and checks the types of its exports.

use wasmtime::Engine;
use wasmtime::component::types::{Component as Type, ComponentItem};
use wasmtime::component::{Component, ComponentNamedList, Lift, Lower};

use super::ContractVersion;

/// The interfaces that a component of any version exports.
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
        let version = version(engine, &ty)?;
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

    /// Checks that `interface` is exported with a `function` of this type.
    pub(super) fn function<Parameters, Results>(&self, interface: &str, function: &str) -> Check
    where
        Parameters: ComponentNamedList + Lower,
        Results: ComponentNamedList + Lift,
    {
        let name = self.version.name_of(interface);
        let ComponentItem::ComponentInstance(instance) = self
            .ty
            .get_export(self.engine, &name)
            .ok_or_else(|| missing(self.engine, &self.ty, interface, &[self.version]))?
            .ty
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

/// The newest version of which the component exports any interface.
fn version(engine: &Engine, ty: &Type) -> Result<ContractVersion, String> {
    let exports_any = |version: &ContractVersion| {
        let mut names = INTERFACES.iter().map(|name| version.name_of(name));
        names.any(|name| ty.get_export(engine, &name).is_some())
    };
    if let Some(version) = ContractVersion::ALL.into_iter().find(exports_any) {
        return Ok(version);
    }
    let mut names = ty.exports(engine).map(|(name, _)| name);
    Err(match names.find_map(unknown_version) {
        Some(unknown) => format!(
            "it was built for version {unknown} of `larder:storage`; this server has {}",
            joined(&ContractVersion::ALL, " and ", |it| it.as_str().to_owned())
        ),
        None => INTERFACES
            .map(|name| missing(engine, ty, name, &ContractVersion::ALL))
            .join("; "),
    })
}

/// The version in the full name of one of the contract's interfaces.
fn unknown_version(name: &str) -> Option<&str> {
    let (interface, version) = name.strip_prefix("larder:storage/")?.split_once('@')?;
    INTERFACES.contains(&interface).then_some(version)
}

/// Says that an interface is not exported in any of these versions, and in which it is instead.
fn missing(engine: &Engine, ty: &Type, interface: &str, needed: &[ContractVersion]) -> String {
    let needed = joined(needed, " or ", |it| format!("`{}`", it.name_of(interface)));
    let is_other = |name: &&str| {
        let unversioned = name.split('@').next().unwrap_or_default();
        unversioned.strip_prefix("larder:storage/") == Some(interface)
    };
    let mut names = ty.exports(engine).map(|(name, _)| name);
    match names.find(is_other) {
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
