//! What the heartbeats tell of the hosts. Clocks of others do not count: a host is silent for as long as this one has watched its number
//! stay the same.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use larder_store::HostStatus;

/// Time between two signs of life.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);
/// Time of silence after which others may adopt a host's writers.
const DEAD: Duration = Duration::from_mins(1);
/// Time of silence after which a process that has the same id as its own does not mind another one any more.
const GIVEN_UP: Duration = Duration::from_secs(15);
/// A longer time between two looks is not watching: this host or the store has stood still.
const GAP: Duration = Duration::from_secs(15);

/// A row of the table `heartbeat`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beat {
    pub(crate) host: String,
    pub(crate) instance: String,
    pub(crate) address: String,
    pub(crate) version: String,
    pub(crate) process: String,
    /// Grows with each sign of life.
    pub(crate) number: i64,
    /// The process has said good-bye.
    pub(crate) gone: bool,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Watch {
    seen: HashMap<(String, String), Seen>,
    last: Option<Instant>,
    /// Time of watching without a gap.
    watched: Duration,
}

struct Seen {
    beat: Beat,
    silent: Duration,
    /// Its number has changed while this host was watching.
    moved: bool,
}

/// What is known of a host's processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// One has given a sign of life at this address.
    Alive(String),
    /// One may be alive. Watching on will tell.
    Unsure,
    Dead,
}

// === impl Watch ===

impl Watch {
    /// Takes in all rows, as they were read at this moment.
    pub(crate) fn observe(&mut self, now: Instant, beats: Vec<Beat>) {
        let since = self.last.map(|last| now.saturating_duration_since(last));
        // In a gap nobody may have been able to give a sign of life.
        let step = since.filter(|since| *since <= GAP);
        self.watched = step.map_or(Duration::ZERO, |step| self.watched + step);
        self.last = Some(now);
        let mut before = std::mem::take(&mut self.seen);
        for beat in beats {
            let key = (beat.host.clone(), beat.instance.clone());
            let seen = match before.remove(&key) {
                Some(old) if old.beat.number == beat.number => Seen {
                    beat,
                    silent: old.silent + step.unwrap_or_default(),
                    moved: old.moved,
                },
                old => Seen {
                    beat,
                    silent: Duration::ZERO,
                    moved: old.is_some(),
                },
            };
            self.seen.insert(key, seen);
        }
    }

    /// True if all processes of a host are known to be dead.
    pub(crate) fn is_dead(&self, host: &str) -> bool {
        let mut of_host = self
            .seen
            .values()
            .filter(|it| it.beat.host == host)
            .peekable();
        if of_host.peek().is_none() {
            // It may not have been able to give a sign of life until just now.
            return self.watched >= DEAD;
        }
        of_host.all(|it| it.beat.gone || it.silent >= DEAD)
    }

    /// True if a process is known to be dead.
    pub(crate) fn is_dead_instance(&self, instance: &str) -> bool {
        match self.instance(instance) {
            None => self.watched >= DEAD,
            Some(it) => it.beat.gone || it.silent >= DEAD,
        }
    }

    /// What is known of those processes of a host that count.
    pub(crate) fn life(
        &self,
        host: &str,
        counts: impl Fn(&str) -> bool,
        has_ended: impl Fn(&str) -> bool,
    ) -> Life {
        let of_host = self.seen.values().filter(|it| it.beat.host == host);
        let lives = |it: &&Seen| {
            let is_dead = it.beat.gone || it.silent >= GIVEN_UP || has_ended(&it.beat.process);
            counts(&it.beat.instance) && !is_dead
        };
        // A row lives for minutes after the last sign of life.
        match of_host.filter(lives).max_by_key(|it| it.moved) {
            None => Life::Dead,
            Some(it) if it.moved => Life::Alive(it.beat.address.clone()),
            Some(_) => Life::Unsure,
        }
    }

    fn instance(&self, instance: &str) -> Option<&Seen> {
        self.seen.values().find(|it| it.beat.instance == instance)
    }

    /// The hosts that have not said good-bye, each by the process that has given a sign of life last.
    pub(crate) fn hosts(&self, instance: &str) -> Vec<HostStatus> {
        let mut hosts: HashMap<&str, &Seen> = HashMap::new();
        for it in self.seen.values().filter(|it| !it.beat.gone) {
            let shown = hosts.entry(&it.beat.host).or_insert(it);
            let is_this = |it: &Seen| it.beat.instance == instance;
            if is_this(it) || (it.silent < shown.silent && !is_this(shown)) {
                *shown = it;
            }
        }
        let mut hosts: Vec<_> = hosts
            .into_values()
            .map(|it| HostStatus {
                writer: it.beat.host.clone(),
                address: it.beat.address.clone(),
                version: it.beat.version.clone(),
                silent: it.silent,
                is_this: it.beat.instance == instance,
            })
            .collect();
        hosts.sort_by(|a, b| a.writer.cmp(&b.writer));
        hosts
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]

    use super::*;

    fn beat(host: &str, number: i64) -> Beat {
        Beat {
            host: host.to_owned(),
            instance: format!("process of {host}"),
            address: format!("{host}:1"),
            number,
            ..Beat::default()
        }
    }

    /// Watches for some seconds, at each interval.
    fn watch(watch: &mut Watch, now: &mut Instant, seconds: u64, beats: impl Fn(i64) -> Vec<Beat>) {
        for step in 1..=seconds / INTERVAL.as_secs() {
            *now += INTERVAL;
            watch.observe(*now, beats(i64::try_from(step).unwrap_or_default()));
        }
    }

    #[test]
    fn a_host_is_dead_after_a_minute_of_silence_that_was_watched() {
        let (mut it, mut now) = (Watch::default(), Instant::now());
        it.observe(now, vec![beat("a", 0), beat("b", 0)]);
        watch(&mut it, &mut now, 55, |n| vec![beat("a", 0), beat("b", n)]);
        assert!(!it.is_dead("a"));
        watch(&mut it, &mut now, 5, |_| vec![beat("a", 0), beat("b", 99)]);
        assert!(it.is_dead("a") && !it.is_dead("b"));
        assert_eq!(it.hosts("")[0].silent, Duration::from_mins(1));
    }

    #[test]
    fn time_without_the_store_is_not_the_silence_of_a_host() {
        let (mut it, mut now) = (Watch::default(), Instant::now());
        it.observe(now, vec![beat("a", 0)]);
        now += Duration::from_mins(10);
        it.observe(now, vec![beat("a", 0)]);
        assert!(!it.is_dead("a"));
        // Its row has expired meanwhile: the same holds.
        now += Duration::from_mins(10);
        it.observe(now, Vec::new());
        assert!(!it.is_dead("a") && !it.is_dead_instance("process of a"));
        watch(&mut it, &mut now, 60, |_| Vec::new());
        assert!(it.is_dead("a") && it.is_dead_instance("process of a"));
    }

    #[test]
    fn a_host_that_said_good_bye_is_dead_at_once_and_not_listed() {
        let mut it = Watch::default();
        let gone = Beat {
            gone: true,
            ..beat("a", 1)
        };
        it.observe(Instant::now(), vec![gone]);
        assert!(it.is_dead("a") && it.hosts("").is_empty());
        assert_eq!(it.life("a", |_| true, |_| false), Life::Dead);
    }

    #[test]
    fn a_process_is_alive_once_its_number_has_changed_and_dead_after_three_intervals() {
        let (mut it, mut now) = (Watch::default(), Instant::now());
        it.observe(now, vec![beat("a", 0)]);
        let life = |it: &Watch| it.life("a", |_| true, |_| false);
        assert_eq!(life(&it), Life::Unsure);
        assert_eq!(it.life("a", |_| true, |_| true), Life::Dead);
        assert_eq!(
            it.life("a", |it| it != "process of a", |_| false),
            Life::Dead
        );
        watch(&mut it, &mut now, 10, |_| vec![beat("a", 0)]);
        assert_eq!(life(&it), Life::Unsure);
        watch(&mut it, &mut now, 5, |_| vec![beat("a", 0)]);
        assert_eq!(life(&it), Life::Dead);
        watch(&mut it, &mut now, 5, |_| vec![beat("a", 1)]);
        assert_eq!(life(&it), Life::Alive("a:1".to_owned()));
        assert_eq!(it.life("unknown", |_| true, |_| false), Life::Dead);
    }

    #[test]
    fn a_host_is_listed_by_its_process_that_lives() {
        let (mut it, mut now) = (Watch::default(), Instant::now());
        let old = Beat {
            instance: "old".to_owned(),
            ..beat("a", 7)
        };
        let new = |n| Beat {
            instance: "new".to_owned(),
            ..beat("a", n)
        };
        watch(&mut it, &mut now, 30, |n| vec![old.clone(), new(n)]);
        let hosts = it.hosts("new");
        assert_eq!((hosts.len(), hosts[0].is_this), (1, true));
        assert_eq!(hosts[0].silent, Duration::ZERO);
    }
}
