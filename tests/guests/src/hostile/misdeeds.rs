//! Misdeeds in the middle of any function. A misdeed that returns was survived, and the function continues.

use std::hint::black_box;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, process, thread};

use larder_plugin::kv::{self, Change, Direction, Entry, Key, Object, Range};
use larder_plugin::{Error, log};

/// More than any of the host's limits on one call of kv.
const TOO_MANY: u64 = 20_000;
/// How the names begin that the host keeps for itself.
const HOST_S_OWN: &str = "_host/";
/// The number of calls of a flood.
const CALLS: u64 = 5000;

/// Does the misdeed of this name, and returns how often it did something that must have no effect. Other names are for `lies`.
pub(crate) fn commit(misdeed: &str, function: &str) -> Result<u64, Error> {
    match misdeed {
        "trap" => trap("told to trap"),
        "exit with 0" => process::exit(0),
        "exit with 1" => process::exit(1),
        "spin" => spin(),
        "sleep" => thread::sleep(Duration::from_hours(1)),
        "linger" => linger(),
        "recurse" => drop(black_box(deeper(0))),
        "allocate" => allocate(),
        "flood the log" => return Ok(flood_the_log(function)),
        "flood kv with calls" => return Ok(flood_kv_with_calls()),
        "flood kv with keys" => return Ok(flood_kv_with_keys()),
        "flood kv with bytes" => return Ok(flood_kv_with_bytes()),
        "reach for the host's own" => return Ok(reach_for_the_host_s_own()),
        "break out" => return Ok(break_out()),
        "giant error" => return Err(Error::Other("no, ".repeat(4 << 20))),
        _ => raise(misdeed)?,
    }
    Ok(0)
}

/// Raises an error of the contract by its name.
fn raise(misdeed: &str) -> Result<(), Error> {
    let text = || "the guest was told to".to_owned();
    match misdeed {
        "raise invalid-argument" => Err(Error::InvalidArgument(text())),
        "raise resource-exhausted" => Err(Error::ResourceExhausted(text())),
        "raise unavailable" => Err(Error::Unavailable(text())),
        "raise data-loss" => Err(Error::DataLoss(text())),
        "raise other" => Err(Error::Other(text())),
        _ => Ok(()),
    }
}

#[expect(clippy::panic, reason = "what this guest is for")]
pub(crate) fn trap(why: &str) -> ! {
    panic!("{why}")
}

#[expect(clippy::empty_loop, reason = "what this guest is for")]
fn spin() -> ! {
    loop {}
}

/// Takes a second, by the clock.
fn linger() {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        std::hint::spin_loop();
    }
}

fn deeper(depth: u64) -> u64 {
    if depth == u64::MAX {
        return depth;
    }
    black_box(deeper(black_box(depth + 1))) + 1
}

fn allocate() {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(vec![1; 1 << 20]);
        black_box(&hoard);
    }
}

#[expect(clippy::print_stderr, reason = "what this guest is for")]
fn flood_the_log(function: &str) -> u64 {
    let line = format!("the guest shouts at {function}, ").repeat(40);
    for _ in 0..1000 {
        log::warn(&line);
        eprintln!("{line}");
    }
    2000
}

fn key(number: u64, partition: &str) -> Key {
    Key {
        partition: partition.to_owned(),
        sort: number.to_be_bytes().to_vec(),
    }
}

fn flood_kv_with_calls() -> u64 {
    for number in 0..CALLS {
        if kv::get(&[key(number, "flood")]).is_err() {
            trap("kv refused a get");
        }
    }
    CALLS
}

/// Checks that the host refused a call, as it must for any role of the instance.
fn refused<T>(what: &str, result: &Result<T, kv::Error>) {
    if result.is_ok() {
        trap(&format!("kv took {what}"));
    }
}

fn flood_kv_with_keys() -> u64 {
    let keys: Vec<Key> = (0..TOO_MANY).map(|it| key(it, "flood")).collect();
    refused("a get of too many keys", &kv::get(&keys));
    let delete = |number: u64| Change::Delete(number.to_be_bytes().to_vec());
    let changes: Vec<Change> = (0..TOO_MANY).map(delete).collect();
    refused("too many changes", &kv::commit("flood", &changes));
    let objects = keys.into_iter().map(|key| Object {
        key,
        value: Vec::new(),
    });
    let objects: Vec<Object> = objects.collect();
    refused("too many objects", &kv::put(&objects));
    let long = "a".repeat(1 << 20);
    refused("a long name", &kv::get(&[key(1, &long)]));
    refused("an empty name", &kv::get(&[key(1, "")]));
    let start = vec![0; 8 << 20];
    let range = Range { start, end: None };
    let scan = kv::scan(&long, &range, Direction::Ascending, u32::MAX, u32::MAX);
    refused("a scan of a long name from a long key", &scan);
    refused("to reclaim a long name", &kv::reclaim(&long));
    7
}

fn flood_kv_with_bytes() -> u64 {
    let object = |number, bytes| Object {
        key: key(number, "flood"),
        value: vec![1; bytes],
    };
    refused("a giant object", &kv::put(&[object(1, 6 << 20)]));
    let many: Vec<Object> = (0..10).map(|it| object(it, 4 << 20)).collect();
    refused("giant objects", &kv::put(&many));
    let entry = Entry {
        sort: vec![1],
        value: vec![1; 512 << 10],
    };
    let commit = kv::commit("flood", &[Change::Put(entry)]);
    refused("a giant commit", &commit);
    3
}

/// Tries what the host keeps beside the tenant's data, which neither may be reached nor be told.
fn reach_for_the_host_s_own() -> u64 {
    let name = format!("{HOST_S_OWN}graph/state/0/1/hostile");
    let everything = Range {
        start: Vec::new(),
        end: None,
    };
    refused("a get of the host's", &kv::get(&[key(1, &name)]));
    let scan = kv::scan(&name, &everything, Direction::Ascending, 10, 1000);
    refused("a scan of the host's", &scan);
    let object = Object {
        key: key(1, &name),
        value: vec![1],
    };
    refused("an object for the host's", &kv::put(&[object]));
    let delete = [Change::Delete(vec![1])];
    refused("a commit to the host's", &kv::commit(&name, &delete));
    refused("to reclaim the host's", &kv::reclaim(&name));
    for names in [kv::partitions(), kv::writers()] {
        let Ok(names) = names else {
            trap("kv refused a list of names");
        };
        if names.is_empty() || names.iter().any(|it| it.starts_with(HOST_S_OWN)) {
            trap(&format!("kv told the names {names:?}"));
        }
    }
    7
}

/// Tries files, sockets, name resolution, the wall clock, environment and arguments, none of which may be available.
fn break_out() -> u64 {
    let outside = [
        ("a file", fs::read("/etc/passwd").is_ok()),
        ("a new file", fs::write("guest", "was here").is_ok()),
        ("a folder", fs::read_dir("/").is_ok()),
        ("the current folder", fs::read_dir(".").is_ok()),
        ("a listener", TcpListener::bind("127.0.0.1:0").is_ok()),
        ("a stream", TcpStream::connect("127.0.0.1:17271").is_ok()),
        ("a datagram", UdpSocket::bind("127.0.0.1:0").is_ok()),
        ("the environment", env::vars_os().next().is_some()),
        ("an argument", env::args_os().next().is_some()),
        ("the time", SystemTime::now() != UNIX_EPOCH),
    ];
    for (what, reached) in outside {
        if reached {
            trap(&format!("the guest reached {what}"));
        }
    }
    outside.len() as u64
}
