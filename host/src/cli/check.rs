//! `larder check`

use std::io::{Write, stdout};

use anyhow::Context as _;

use crate::config::{Config, KvDriver};
use crate::kv::fjall::{Checked, Damage, FjallDriver};
use crate::server;

/// Reads every value that `kv` holds and prints those that cannot be read back. True if there are none.
///
/// # Errors
/// Where the store cannot be opened: a server that uses it is still running, or it is too damaged.
pub fn check(config: &Config) -> anyhow::Result<bool> {
    let KvDriver::Fjall = config.kv.driver else {
        anyhow::bail!("`kv.driver` is not `fjall`: nothing is stored on disk");
    };
    let options = server::kv_options(config);
    let dir = options.dir.clone();
    if !dir.is_dir() {
        anyhow::bail!(
            "there is no store in {}; `--data-dir` names another folder",
            config.data_dir.display()
        );
    }
    let driver =
        FjallDriver::open(options).with_context(|| format!("cannot open {}", dir.display()))?;
    let mut to = stdout().lock();
    let mut printed = Ok(());
    let checked = driver.check(&mut |damage| {
        let line = writeln!(to, "damaged     {}", place(&damage));
        if printed.is_ok() {
            printed = line;
        }
    });
    printed
        .and_then(|()| summarise(&checked, &mut to))
        .context("cannot print")?;
    Ok(checked.damaged == 0)
}

fn place(damage: &Damage) -> String {
    let Damage {
        tenant,
        partition,
        sort,
    } = damage;
    let sort = match sort {
        Some(sort) => format!("key {}", sort.escape_ascii()),
        None => "all from here on".to_owned(),
    };
    format!("tenant {tenant}, partition {partition}, {sort}")
}

fn summarise(checked: &Checked, to: &mut impl Write) -> std::io::Result<()> {
    writeln!(to, "partitions  {}", checked.partitions)?;
    writeln!(to, "values      {}", checked.values)?;
    writeln!(to, "bytes       {} on disk", checked.bytes)?;
    writeln!(to, "damaged     {}", checked.damaged)
}
