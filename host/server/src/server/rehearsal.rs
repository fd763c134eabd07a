//! Tries what a start tries, but opens no port and leaves nothing on disk (`larder config check`).

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use larder_core::telemetry::Metrics;
use larder_model::TenantName;
use larder_runtime::plugin::{Checkup, Host};
use larder_runtime::tenants::LoadError;
use larder_store as kv;
use larder_store::embedded::EmbeddedDriver;
use larder_store::mirror;

use super::{Error, cache_dir, cassandra, kv_dir, kv_options, listeners, runtime, tenant_configs};
use crate::config::{Config, KvDriver};

/// A store as a start would find it.
enum Found {
    /// Opened, but only to read it.
    Store(Arc<dyn kv::Driver>),
    /// The reason why there is nothing to open.
    Nothing(&'static str),
}

/// Tries everything that [`StartingServer`](super::StartingServer) tries. `scratch` is an empty folder for what has to be written, such as
/// compiled plugins. Returns what was tried: a word and a line for each.
///
/// # Errors
/// As of a start. The store of a running server is not opened, one on other machines is not connected to, and a port that is taken is not
/// noticed.
pub(crate) async fn rehearse(
    config: &Config,
    scratch: &Path,
) -> Result<Vec<(&'static str, String)>, Error> {
    let mut tried = Vec::new();
    for (setting, address) in listeners::check(config).await? {
        tried.push(("port", format!("{setting}, {address} (not opened)")));
    }
    if let Some(tokens) = &config.access.tokens {
        tried.push(("tokens", tokens.display().to_string()));
    }
    for (setting, tls) in [
        ("grpc.tls", &config.grpc.tls),
        ("admin.tls", &config.admin.tls),
    ] {
        if let Some(cert) = &tls.cert {
            tried.push(("tls", format!("{setting}, {}", cert.display())));
        }
    }
    let data_dir = config.data_dir.display();
    let state = check_data_dir(&config.data_dir)?;
    tried.push(("data_dir", format!("{data_dir}, {state}")));

    let found = find_store(config, scratch)?;
    let (kv, state): (Arc<dyn kv::Driver>, _) = match &found {
        Found::Store(driver) => (Arc::clone(driver), "it can be opened"),
        Found::Nothing(why) => (Arc::new(kv::MemoryDriver::new()), *why),
    };
    tried.push(("store", format!("{}, {state}", place(config)?)));
    let configs = tenant_configs(config).map_err(Error::Plugin)?;
    let compiled = compiled(config, scratch);
    let wasm =
        runtime(config, &Arc::default(), Arc::default(), compiled).map_err(Error::Runtime)?;
    let host = Host {
        runtime: wasm.clone(),
        kv: Arc::clone(&kv),
        metrics: Arc::new(Metrics::new()),
        observers: None,
    };
    let loaded = configs.clone().load(&host).await.map_err(Error::Plugin)?;
    if let Found::Store(_) = found
        && !config.tenancy.enabled
    {
        // A start opens the one tenant.
        let name = TenantName::default_tenant();
        let plugin = configs.default.plugin;
        let opened = Checkup::open(&wasm, plugin, kv, name.as_str()).await;
        opened.map_err(|source| Error::Plugin(LoadError::new(None, source)))?;
    }
    let plugin = &loaded.default.plugin;
    let (name, version) = (plugin.name(), plugin.version());
    tried.push(("plugin", format!("{name} {version}, it takes its settings")));
    for tenant in loaded.overrides.keys() {
        tried.push(("tenant", format!("{tenant}, its plugin takes its settings")));
    }
    if let Some(lowered) = config.lowered_span_limit() {
        tried.push(("warning", lowered));
    }
    Ok(tried)
}

/// Checks that the folder can be written, or made. Rights do not tell: nobody can write to `/proc`, and root has every right.
fn check_data_dir(path: &Path) -> Result<&'static str, Error> {
    let failed = |source| Error::DataDir {
        path: path.to_owned(),
        source,
    };
    let absolute = std::path::absolute(path).map_err(failed)?;
    let mut above = absolute.ancestors();
    let exists = |folder: &&Path| folder.symlink_metadata().is_ok();
    let nearest = above.find(exists).unwrap_or(Path::new("/"));
    if !fs::metadata(nearest).map_err(failed)?.is_dir() {
        return Err(failed(io::ErrorKind::NotADirectory.into()));
    }
    let missing = absolute.strip_prefix(nearest).unwrap_or(Path::new(""));
    try_folder(nearest, missing).map_err(failed)?;
    Ok(if nearest == absolute {
        "it can be written"
    } else {
        "it can be made"
    })
}

/// Makes a folder in `existing`, in it the folders that are `missing`, writes a file there, and removes all of it.
fn try_folder(existing: &Path, missing: &Path) -> io::Result<()> {
    let probe = existing.join(format!(".larder-check-{}", std::process::id()));
    fs::create_dir(&probe)?;
    let mut folder = probe.clone();
    for part in missing.components() {
        if let Component::Normal(name) = part {
            folder.push(name);
        }
    }
    let tried = fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join("file"), []));
    let removed = fs::remove_dir_all(&probe);
    tried.and(removed)
}

/// Where the store is, in words. For one on other machines, all that connecting to them needs of this one is tried.
fn place(config: &Config) -> Result<String, Error> {
    if config.kv.driver != KvDriver::Cassandra {
        return Ok(kv_dir(config).display().to_string());
    }
    let options = cassandra::options(config)?;
    Ok(format!(
        "Cassandra at {}, keyspace {}, as host {}",
        options.contact_points.join(", "),
        options.keyspace,
        options.host
    ))
}

fn find_store(config: &Config, scratch: &Path) -> Result<Found, Error> {
    match config.kv.driver {
        KvDriver::Memory => return Ok(Found::Nothing("not used: `kv.driver` is `memory`")),
        // A host that connects is seen by the others, and may make the schema.
        KvDriver::Cassandra => return Ok(Found::Nothing("not connected to")),
        KvDriver::Embedded => {}
    }
    if EmbeddedDriver::is_in_use(&kv_dir(config)).map_err(Error::Kv)? {
        return Ok(Found::Nothing("not opened: a server uses it"));
    }
    let options = kv_options(config, &Arc::default());
    let opened = EmbeddedDriver::open_read_only(options, scratch).map_err(Error::Kv)?;
    Ok(match opened {
        Some(driver) => Found::Store(Arc::new(driver)),
        None => Found::Nothing("there is none yet"),
    })
}

/// A folder for compiled plugins, with those that the server has compiled.
pub(crate) fn compiled(config: &Config, scratch: &Path) -> PathBuf {
    let (from, to) = (cache_dir(config), scratch.join("compiled"));
    // Where there are none, or they cannot be read, plugins are compiled again.
    drop(mirror(&from, &to));
    to
}
