//! Which process of which machine this is, so that a host that starts again after a crash need not wait until its predecessor has been
//! silent for long enough: it can see that the process is gone.
//!
//! The text is `BOOT/PIDS/PID/STARTED`: the boot of the machine, the namespace of process ids, the process id, and when the process
//! started. Only processes with the same first two can be judged; elsewhere the text is empty.

use std::fs;

const BOOT: &str = "/proc/sys/kernel/random/boot_id";
const NAMESPACE: &str = "/proc/self/ns/pid";

/// The text for this process.
pub(crate) fn this() -> String {
    text(std::process::id()).unwrap_or_default()
}

/// True if the process of this text has certainly ended.
pub(crate) fn has_ended(process: &str) -> bool {
    let parts: Vec<&str> = process.split('/').collect();
    let [boot, namespace, pid, _] = parts.as_slice() else {
        return false;
    };
    let here = place().is_some_and(|(b, n)| b == *boot && n == *namespace);
    let Some(pid) = pid.parse().ok().filter(|_| here) else {
        return false;
    };
    // Another start means that the id has been given to a new process.
    text(pid).is_none_or(|now| now != process)
}

fn place() -> Option<(String, String)> {
    let boot = fs::read_to_string(BOOT).ok()?.trim().to_owned();
    let namespace = fs::read_link(NAMESPACE).ok()?;
    Some((boot, namespace.to_str()?.to_owned()))
}

/// The text for a process; `None` if there is no such process, or if this system does not tell.
fn text(pid: u32) -> Option<String> {
    let (boot, namespace) = place()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, which is in parentheses, may contain anything. The start is the 20th field after it; a zombie has ended.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    let started = fields.nth(18)?;
    Some(format!("{boot}/{namespace}/{pid}/{started}"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_judged_by_its_text() {
        assert!(!has_ended(&this()));
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = text(child.id()).unwrap();
        assert!(!has_ended(&process));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(has_ended(&process));
    }

    #[test]
    fn a_process_of_another_machine_is_never_judged() {
        for process in ["", "b/pid:[1]/1/1", "a/b", "////"] {
            assert!(!has_ended(process), "{process}");
        }
        let other_boot = this().replacen(|c: char| c.is_ascii_hexdigit(), "x", 1);
        assert!(!has_ended(&other_boot));
    }
}
