//! The server of `tests/postgres.sh`, and plugins on it.

#![allow(dead_code, reason = "not every test file uses all of it")]

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use larder_plugin::testing::{environment, writer};
use larder_plugin::{Environment, Error, Plugin as _, Role, Setting};
use larder_postgres::Postgres;

/// The settings of plugins that share a tenant, which no other test has.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) tenant: String,
    settings: Vec<(String, String)>,
}

// === impl Store ===

impl Store {
    /// A tenant of its own in a schema that tests share.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let server = std::env::var("LARDER_TEST_POSTGRES").unwrap();
        let (host, port) = server.rsplit_once(':').unwrap();
        let store = Self {
            tenant: format!("{}-{number}", std::process::id()),
            settings: Vec::new(),
        };
        store.with("host", host).with("port", port)
    }

    /// With this setting, or another value of it.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.retain(|it| it.0 != name);
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn environment(&self, role: Role) -> Environment {
        let settings = self.settings.iter().map(|(name, value)| Setting {
            name: name.clone(),
            value: value.clone(),
        });
        Environment {
            role,
            tenant: self.tenant.clone(),
            settings: settings.collect(),
            ..environment(&[])
        }
    }

    /// The schema of the tenant's tables, once it has some.
    pub(crate) fn tables(&self) -> String {
        let named = self.settings.iter().find(|it| it.0 == "schema");
        let shared = named.map_or("larder", |it| it.1.as_str());
        let tenant = &self.tenant;
        let id = admin(&format!(
            "SELECT id FROM {shared}.tenants WHERE name = '{tenant}'"
        ));
        format!("{shared}_{id}")
    }

    pub(crate) fn writer(&self) -> Postgres {
        self.try_writer().unwrap()
    }

    pub(crate) fn try_writer(&self) -> Result<Postgres, Error> {
        Postgres::open(self.environment(writer("test")))
    }

    pub(crate) fn reader(&self) -> Postgres {
        Postgres::open(self.environment(Role::Reader)).unwrap()
    }
}

/// Runs SQL as the administrator, and returns what it prints.
pub(crate) fn admin(sql: &str) -> String {
    let printed = script("admin.sh", &[sql, "larder"]);
    printed.trim().to_owned()
}

/// Runs a script beside `tests/postgres.sh`.
pub(crate) fn script(name: &str, arguments: &[&str]) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/postgres/");
    let output = Command::new(format!("{folder}{name}"))
        .args(arguments)
        .output();
    let output = output.unwrap();
    let (stdout, stderr) = (output.stdout, output.stderr);
    let text = String::from_utf8_lossy(&stderr);
    assert!(output.status.success(), "{name} {arguments:?}: {text}");
    String::from_utf8(stdout).unwrap()
}
