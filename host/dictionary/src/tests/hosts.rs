//! Several hosts write to one tenant's data.

use std::sync::Arc;

use larder_core::testing::{HostKeep, MemoryHosts};
use larder_model::DEFAULT_TENANT;
use larder_model::dictionary::{Bounds, Dictionaries};
use larder_model::storage::{Batch, Keep, KeepChange, Observers as _, Term};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::join;
use tokio::runtime::Builder;
use tokio::task::yield_now;
use tokio::time::advance;

use crate::Keeper;

use super::support::{DAY, Fragments, NOW, SMALL, Tenant, check_found, unavailable};

/// Two hosts that have begun, over one store.
struct Both {
    hosts: MemoryHosts,
    fragments: Arc<Fragments>,
    one: Tenant,
    two: Tenant,
}

impl Both {
    async fn new() -> Self {
        let (hosts, fragments) = (MemoryHosts::default(), Fragments::new());
        Self {
            one: Tenant::within(Bounds::default(), &hosts.open("h1"), &fragments).await,
            two: Tenant::within(Bounds::default(), &hosts.open("h2"), &fragments).await,
            hosts,
            fragments,
        }
    }

    async fn open(&self, host: &str) -> Tenant {
        let keep = self.hosts.open(host);
        Tenant::within(Bounds::default(), &keep, &self.fragments).await
    }
}

#[tokio::test]
async fn what_one_host_lists_is_found_by_all_at_once() {
    let both = Both::new().await;
    both.one.store(NOW, &["one"]).await;
    assert_eq!(both.two.found_of_all().await.unwrap(), ["one"]);
    both.two.store(NOW, &["two", "one"]).await;
    assert_eq!(both.one.found_of_all().await.unwrap(), ["one", "two"]);
    // A third host that begins while others have written.
    let three = both.open("h3").await;
    assert_eq!(three.found_of_all().await.unwrap(), ["one", "two"]);
    three.store(NOW, &["three"]).await;
    let all = ["one", "three", "two"];
    assert_eq!(both.one.found_of_all().await.unwrap(), all);
    assert_eq!(both.two.found_of_all().await.unwrap(), all);
    assert_eq!(both.open("h1").await.found_of_all().await.unwrap(), all);
}

/// Else the value would go with the fragments of the host that listed it first.
#[tokio::test]
async fn each_host_keeps_all_that_its_own_fragments_have() {
    let both = Both::new().await;
    both.one.store(NOW, &["value"]).await;
    both.two.found_of_all().await.unwrap();
    let later = NOW + 9 * DAY;
    both.two.store(later, &["value"]).await;
    both.hosts.retire("h1");
    assert_eq!(both.two.found_of_all().await.unwrap(), ["value"]);
    assert_eq!(
        both.open("h3").await.found_of_all().await.unwrap(),
        ["value"]
    );
}

#[tokio::test]
async fn nothing_is_read_again_that_is_known() {
    let both = Both::new().await;
    both.one.store(NOW, &["one"]).await;
    both.two.store(NOW, &["two"]).await;
    both.one.found_of_all().await.unwrap();
    let before = both.hosts.reads();
    // What is listed already changes nothing.
    both.two.store(NOW, &["two"]).await;
    for _ in 0..3 {
        both.one.found_of_all().await.unwrap();
    }
    assert_eq!(both.hosts.reads(), (before.0 + 3, before.1));
    both.two.store(NOW, &["three"]).await;
    both.one.found_of_all().await.unwrap();
    both.one.found_of_all().await.unwrap();
    assert_eq!(both.hosts.reads(), (before.0 + 5, before.1 + 1));
}

#[tokio::test]
async fn searches_that_come_at_the_same_time_share_a_look() {
    let both = Both::new().await;
    both.two.store(NOW, &["two"]).await;
    let before = both.hosts.reads().0;
    let search = || both.one.found_of_all();
    let (a, b, c, d) = join!(search(), search(), search(), search());
    for found in [a, b, c, d] {
        assert_eq!(found.unwrap(), ["two"]);
    }
    // The first one had begun when the others came.
    assert_eq!(both.hosts.reads().0, before + 2);
}

#[tokio::test]
async fn without_the_logs_of_all_hosts_a_search_knows_no_values() {
    let both = Both::new().await;
    both.one.store(NOW, &["one"]).await;
    both.two.store(NOW, &["two"]).await;
    assert!(both.one.found_of_all().await.is_some());
    both.hosts.fail(Some(unavailable()));
    assert_eq!(both.one.found_of_all().await, None);
    both.hosts.fail(None);
    assert_eq!(both.one.found_of_all().await.unwrap(), ["one", "two"]);
    // A host that nobody has observed, as with another plugin.
    both.hosts.lose("h3");
    assert_eq!(both.one.found_of_all().await, None);
    both.hosts.retire("h3");
    assert_eq!(both.one.found_of_all().await.unwrap(), ["one", "two"]);
    // A host whose log is lost while fragments refer to it, and the same once it has begun another.
    both.hosts.lose("h2");
    assert_eq!(both.one.found_of_all().await, None);
    let two = both.open("h2").await;
    assert_eq!(both.one.found_of_all().await, None);
    assert_eq!(two.found_of_all().await, None);
    // They have expired.
    both.fragments.terms.lock().clear();
    let (listing, later) = (NOW + DAY, NOW + 9 * DAY);
    two.store(listing, &["three"]).await;
    two.counted(later, Some(later));
    two.store(later, &["three"]).await;
    let found = both.open("h4").await.found_of_all().await;
    assert_eq!(found.unwrap(), ["one", "three"]);
    // What is in no log any more may be known for a while.
    let found = both.one.found_of_all().await;
    assert_eq!(found.unwrap(), ["one", "three", "two"]);
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_no_answer() {
    for (key, value) in [(&b"s"[..], &b"x"[..]), (b"h", b"x"), (b"v\xff\xff", b"x")] {
        let both = Both::new().await;
        let keep = both.hosts.open("h3");
        let three = Tenant::within(Bounds::default(), &keep, &both.fragments).await;
        three.store(NOW, &["three"]).await;
        assert!(both.one.found_of_all().await.is_some());
        let put = KeepChange::Put(key.to_owned(), value.to_owned());
        keep.commit(vec![put]).await.unwrap();
        assert_eq!(both.open("h1").await.found_of_all().await, None);
    }
}

/// A process that was paused while another one took its host's place answers what the other one has written.
#[tokio::test]
async fn a_process_whose_place_was_taken_finds_what_was_written_since() {
    let both = Both::new().await;
    both.one.store(NOW, &["one"]).await;
    assert!(both.one.found_of_all().await.is_some());
    let new = both.open("h1").await;
    new.store(NOW, &["new"]).await;
    assert_eq!(both.one.found_of_all().await.unwrap(), ["new", "one"]);
    let batch = both.one.walk(NOW, &["other"]);
    both.one.write(NOW, &[&batch]).await.unwrap_err();
    assert_eq!(both.two.found_of_all().await.unwrap(), ["new", "one"]);
}

/// The numbers of entries that were lost are used again, by another process.
#[tokio::test]
async fn what_a_host_writes_after_a_loss_is_found() {
    let both = Both::new().await;
    let keep = both.hosts.open("h3");
    let three = Tenant::within(Bounds::default(), &keep, &both.fragments).await;
    three.store(NOW, &["kept"]).await;
    keep.kept().sync();
    three.store(NOW, &["lost"]).await;
    assert!(both.one.found_of_all().await.is_some());
    keep.kept().lose();
    let three = both.open("h3").await;
    three.store(NOW, &["new"]).await;
    let found = both.one.found_of_all().await.unwrap();
    assert!(found.contains(&"kept".to_owned()) && found.contains(&"new".to_owned()));
}

#[tokio::test]
async fn after_a_purge_nothing_of_before_is_found() {
    let both = Both::new().await;
    both.one.store(NOW, &["one"]).await;
    assert!(both.two.found_of_all().await.is_some());
    let hosts = MemoryHosts::default();
    both.fragments.terms.lock().clear();
    both.one.observer.forget(hosts.open("h1")).await.unwrap();
    both.one.store(NOW, &["new"]).await;
    both.two.observer.forget(hosts.open("h2")).await.unwrap();
    for host in [&both.one, &both.two] {
        assert_eq!(host.found_of_all().await.unwrap(), ["new"]);
    }
}

#[tokio::test(start_paused = true)]
async fn values_that_are_in_no_log_are_dropped_in_time() {
    let both = Both::new().await;
    both.one.store(NOW, &["one"]).await;
    both.two.store(NOW, &["two"]).await;
    assert_eq!(both.one.found_of_all().await.unwrap(), ["one", "two"]);
    both.hosts.retire("h2");
    assert_eq!(both.one.found_of_all().await.unwrap(), ["one", "two"]);
    advance(std::time::Duration::from_hours(2)).await;
    assert_eq!(both.one.found_of_all().await.unwrap(), ["one"]);
}

#[derive(Clone, Debug)]
enum Step {
    Walk(usize, Vec<u8>),
    Write(usize),
    /// A process ends between the commit of its values and its write.
    WriteHalf(usize),
    /// Another process takes a host's place. The one before goes on to answer.
    Restart(usize),
    /// What a host keeps is lost.
    Lose(usize),
    Hours(u64),
    /// Retention drops what a host has written before so many days, and tells the oldest time of its own writes, or of all.
    Expire(usize, u64, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let host = || 0..3_usize;
    prop_oneof![
        60 => (host(), vec(0..12_u8, 1..5)).prop_map(|(host, values)| Step::Walk(host, values)),
        60 => host().prop_map(Step::Write),
        5 => host().prop_map(Step::WriteHalf),
        5 => host().prop_map(Step::Restart),
        1 => host().prop_map(Step::Lose),
        20 => (1..70_u64).prop_map(Step::Hours),
        20 => (host(), 0..4_u64, any::<bool>())
            .prop_map(|(host, days, own)| Step::Expire(host, days, own)),
    ]
}

/// A host's process, and what it has walked.
struct Process {
    tenant: Arc<Tenant>,
    way: Vec<Batch>,
}

/// A fragment: the host that wrote it, when by its clock, and its terms.
#[derive(Clone, PartialEq)]
struct Written(usize, u64, Vec<Term>);

/// Hosts with clocks that are apart, over one store.
struct Run {
    hosts: MemoryHosts,
    fragments: Arc<Fragments>,
    /// The process of each host that writes.
    writers: Vec<Process>,
    /// Processes whose places were taken.
    former: Vec<Arc<Tenant>>,
    written: Vec<Written>,
    now: u64,
    has_lost: bool,
}

impl Run {
    async fn new() -> Self {
        let mut run = Self {
            hosts: MemoryHosts::default(),
            fragments: Fragments::new(),
            writers: Vec::new(),
            former: Vec::new(),
            written: Vec::new(),
            now: NOW,
            has_lost: false,
        };
        for host in 0..3 {
            let process = run.open(host).await;
            run.writers.push(process);
        }
        run
    }

    async fn open(&self, host: usize) -> Process {
        let keep: Arc<HostKeep> = self.hosts.open(&format!("h{host}"));
        Process {
            tenant: Arc::new(Tenant::within(SMALL, &keep, &self.fragments).await),
            way: Vec::new(),
        }
    }

    /// The time by a host's clock.
    fn time(&self, host: usize) -> u64 {
        self.now + [0, 40 * DAY / 24, 7][host]
    }

    async fn restart(&mut self, host: usize) {
        let process = self.open(host).await;
        let before = std::mem::replace(&mut self.writers[host], process);
        self.former.push(before.tenant);
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Walk(host, values) => {
                let values: Vec<_> = values.iter().map(|it| format!("v{it}")).collect();
                let values: Vec<_> = values.iter().map(String::as_str).collect();
                let now = self.time(host);
                let process = &mut self.writers[host];
                process.way.push(process.tenant.walk(now, &values));
            }
            Step::Write(host) => self.write(host, true).await,
            Step::WriteHalf(host) => {
                self.write(host, false).await;
                self.restart(host).await;
            }
            Step::Restart(host) => self.restart(host).await,
            Step::Lose(host) => {
                self.has_lost = true;
                self.hosts.lose(&format!("h{host}"));
                self.restart(host).await;
            }
            Step::Hours(hours) => self.now += hours * DAY / 24,
            Step::Expire(host, days, own) => {
                let oldest = self.time(host).saturating_sub(days * DAY);
                self.written.retain(|it| it.0 != host || it.1 >= oldest);
                let told = self.written.iter().filter(|it| !own || it.0 == host);
                let oldest = told.map(|it| it.1).min();
                let now = self.time(host);
                self.writers[host].tenant.counted(now, oldest);
            }
        }
        let terms = self.written.iter().map(|it| it.2.clone());
        *self.fragments.terms.lock() = terms.collect();
    }

    async fn write(&mut self, host: usize, is_stored: bool) {
        let now = self.time(host);
        let Process { tenant, way } = &mut self.writers[host];
        let batches = std::mem::take(way);
        let mut batches: Vec<&Batch> = batches.iter().collect();
        batches.retain(|batch| tenant.observer.admit(now, batch).is_ok());
        let noted = tenant.observer.before_write(now, &batches).await;
        yield_now().await;
        if noted.is_ok() && is_stored {
            let fragments = batches.iter().flat_map(|batch| batch.fragments());
            let written = fragments.map(|it| Written(host, now, it.terms.to_vec()));
            self.written.extend(written);
        }
        tenant.observer.after_write();
    }

    /// A process: one that writes, or one whose place was taken.
    fn process(&self, number: usize) -> Arc<Tenant> {
        let writers = self.writers.iter().map(|it| &it.tenant);
        let mut all = writers.chain(&self.former);
        let count = self.writers.len() + self.former.len();
        Arc::clone(all.nth(number % count).unwrap())
    }

    /// Does steps while a process searches. It finds what was written before and is still there.
    async fn searched(&mut self, steps: Vec<Step>, number: usize) {
        let before = self.written.clone();
        let process = self.process(number);
        let goes_on = async {
            for step in steps {
                self.step(step).await;
                yield_now().await;
            }
        };
        let (found, ()) = join!(process.found_of_all(), goes_on);
        let left = before.iter().filter(|it| self.written.contains(it));
        match found {
            Some(found) => check_found(&found, left.map(|it| &it.2)),
            None => assert!(self.has_lost, "nothing is lost"),
        }
    }
}

proptest! {
    #[test]
    fn what_any_host_has_written_is_found_by_every_host(
        steps in vec((vec(step(), 0..5), 0..100_usize), 1..30),
    ) {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut run = Run::new().await;
            for (steps, number) in steps {
                run.searched(steps, number).await;
            }
            for number in 0..run.writers.len() + run.former.len() {
                run.searched(Vec::new(), number).await;
            }
        });
    }
}

#[tokio::test]
async fn the_first_search_of_a_server_without_tenancy_has_only_new_values_to_read() {
    let both = Both::new().await;
    both.one.store(NOW, &["one"]).await;
    both.two.store(NOW, &["two"]).await;
    let keep: Arc<dyn Keep> = both.hosts.open("h3");
    let dictionaries = Dictionaries::default();
    let keeper = Keeper::new(dictionaries.clone(), Bounds::default());
    let before = both.hosts.reads();
    let storage = Arc::downgrade(&both.fragments);
    let _open = keeper.open(DEFAULT_TENANT, keep, storage).await;
    let opened = both.hosts.reads();
    assert_eq!(opened, (before.0 + 1, before.1 + 2));
    assert!(dictionaries.snapshot(DEFAULT_TENANT).await.is_some());
    assert_eq!(both.hosts.reads(), (opened.0 + 1, opened.1));
}
