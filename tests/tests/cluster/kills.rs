//! Hosts that end, in whatever way, while clients write: what was acknowledged is there, on every other host.

use std::sync::{Arc, Mutex, PoisonError};

use larder_tests::{Background, Client, Cluster, Home, Larder, Ledger, Progress, Rng, pace};

/// Clients of some hosts, which change as these start anew.
#[derive(Clone)]
pub(crate) struct Clients(Arc<Mutex<Vec<Client>>>);

impl Clients {
    pub(crate) async fn of(hosts: &[&Larder]) -> Self {
        let mut clients = Vec::new();
        for host in hosts {
            clients.push(host.client().await);
        }
        Self(Arc::new(Mutex::new(clients)))
    }

    fn get(&self, turn: usize) -> Client {
        let clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clients[turn % clients.len()].clone()
    }

    fn set(&self, place: usize, client: Client) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[place] = client;
    }

    /// Exports on four connections, to each host in turn, until stopped. What one host does not acknowledge goes to the next, as often as
    /// it takes.
    pub(crate) fn load(&self, ledger: &Arc<Ledger>) -> Background<()> {
        let mut load = Background::default();
        for connection in 0..4 {
            load.and(|progress| run(self.clone(), Arc::clone(ledger), connection, progress));
        }
        load
    }
}

async fn run(clients: Clients, ledger: Arc<Ledger>, mut turn: usize, progress: Progress) {
    while progress.is_running() {
        let number = ledger.next();
        while progress.is_running() {
            turn += 1;
            if ledger.export(&clients.get(turn), number).await.is_ok() {
                progress.count();
                break;
            }
            pace().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_host_has_lost_nothing_that_it_acknowledged() {
    let ledger = Arc::new(Ledger::new(Rng::from_env().next()));
    let cluster = Cluster::new();
    let b = cluster.host("b").start();
    // The second time with the same folder, and then with an empty one: what is in it is only a cache.
    let home = Home::new();
    for home in [&home, &home, &Home::new()] {
        let a = cluster.host("a").start_in(home);
        ledger.verify_all(&a.client().await).await;
        let load = Clients::of(&[&a]).await.load(&ledger);
        load.calls(60).await;
        a.kill();
        load.stop().await;
        ledger.verify_all(&b.client().await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_restart_one_after_the_other_lose_nothing() {
    let ledger = Arc::new(Ledger::new(Rng::from_env().next()));
    let cluster = Cluster::new();
    let homes = [Home::new(), Home::new()];
    let start = |place: usize| cluster.host(["a", "b"][place]).start_in(&homes[place]);
    let mut hosts = vec![start(0), start(1)];
    let clients = Clients::of(&[&hosts[0], &hosts[1]]).await;
    let load = clients.load(&ledger);
    for place in [0, 1, 0, 1] {
        load.calls(30).await;
        let host = hosts.remove(place);
        host.signal("TERM");
        // The other takes what this one does not while it ends.
        load.calls(30).await;
        let (status, lines) = host.wait();
        assert!(status.success(), "{status}: {lines:?}");
        hosts.insert(place, start(place));
        clients.set(place, hosts[place].client().await);
    }
    load.calls(30).await;
    load.stop().await;
    for host in &hosts {
        ledger.verify_all(&host.client().await).await;
    }
}
