//! Three hosts, and what is done to them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use larder_tests::{Client, Cluster, Home, Larder, Ledger, Rng, http};
use tokio::time::{sleep, timeout};

use crate::history::History;

const HOSTS: [&str; 3] = ["a", "b", "c"];

/// The clocks of the hosts that do not have the right one, where there is a library for that.
const CLOCKS: [(&str, &str); 2] = [("b", "+20m"), ("c", "-20m")];
/// The variable with that library.
const CLOCK: &str = "LARDER_TEST_CLOCK";

/// The time in which a host has to come back. It waits for its own sign of life to expire, and for the store to have a quorum.
const PATIENCE: Duration = Duration::from_mins(5);

/// Clients of the hosts, which change as these start anew.
#[derive(Clone)]
pub(crate) struct Clients(Arc<Mutex<Vec<Client>>>);

/// The processes.
pub(crate) struct Hosts {
    cluster: Cluster,
    processes: Vec<Host>,
    clients: Clients,
    zombies: Vec<u64>,
}

struct Host {
    id: &'static str,
    home: Home,
    larder: Option<Larder>,
}

// === impl Clients ===

impl Clients {
    fn lock(&self) -> MutexGuard<'_, Vec<Client>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of hosts.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Returns the client of one of them.
    pub(crate) fn get(&self, place: usize) -> Client {
        self.lock()[place].clone()
    }

    fn set(&self, place: usize, client: Client) {
        self.lock()[place] = client;
    }
}

// === impl Hosts ===

impl Hosts {
    /// Starts all, one after the other: the first makes the store.
    pub(crate) async fn start(cluster: Cluster) -> Self {
        let (mut processes, mut clients) = (Vec::new(), Vec::new());
        for id in HOSTS {
            let home = Home::new();
            let larder = begin(&cluster, id, &home).await;
            assert!(is_ready(&larder).await, "host {id} is not ready");
            clients.push(larder.client().await);
            processes.push(Host {
                id,
                home,
                larder: Some(larder),
            });
        }
        Self {
            cluster,
            processes,
            clients: Clients(Arc::new(Mutex::new(clients))),
            zombies: Vec::new(),
        }
    }

    pub(crate) fn clients(&self) -> Clients {
        self.clients.clone()
    }

    /// Returns the Exports that were sent to a host after another process had claimed its id.
    pub(crate) fn zombies(&self) -> &[u64] {
        &self.zombies
    }

    /// Does something to one host after another.
    pub(crate) async fn trouble(
        &mut self,
        end: Instant,
        rng: &mut Rng,
        ledger: &Arc<Ledger>,
        history: &History,
    ) {
        while Instant::now() < end {
            let place = usize::try_from(rng.below(3)).unwrap();
            let time = Duration::from_millis(500 + rng.below(12_000));
            let detail = format!(
                "{} for {:.1} s",
                self.processes[place].id,
                time.as_secs_f64()
            );
            match rng.below(8) {
                0..3 => {
                    let _event = history.begin("host killed", &detail);
                    self.larder(place).kill();
                    sleep(time).await;
                    self.start_again(place, history).await;
                }
                3 => {
                    let _event = history.begin("host stopped", &detail);
                    let larder = self.larder(place);
                    larder.signal("TERM");
                    let ended = tokio::task::spawn_blocking(|| larder.wait()).await.unwrap();
                    if !ended.0.success() {
                        let lines = ended.1.join("\n");
                        history.note_wrong(format!("a host stopped with {}:\n{lines}", ended.0));
                    }
                    sleep(time).await;
                    self.start_again(place, history).await;
                }
                4..6 => {
                    let _event = history.begin("host paused", &detail);
                    let larder = self.processes[place].larder.as_ref().unwrap();
                    larder.signal("STOP");
                    sleep(time).await;
                    larder.signal("CONT");
                }
                _ => self.replace(place, ledger, history).await,
            }
            sleep(Duration::from_millis(500 + rng.below(8_000))).await;
        }
    }

    /// Waits until all serve.
    pub(crate) async fn ready(&self, history: &History) {
        for host in &self.processes {
            if !is_ready(host.larder.as_ref().unwrap()).await {
                history.note_wrong(format!("host {} does not serve at the end", host.id));
            }
        }
    }

    fn larder(&mut self, place: usize) -> Larder {
        self.processes[place].larder.take().unwrap()
    }

    async fn start_again(&mut self, place: usize, history: &History) {
        let host = &mut self.processes[place];
        let larder = begin(&self.cluster, host.id, &host.home).await;
        if !is_ready(&larder).await {
            larder.show(0);
            history.note_wrong(format!("host {} does not serve again", host.id));
        }
        self.clients.set(place, larder.client().await);
        host.larder = Some(larder);
    }

    /// Stops a process, lets another one take its id, and lets the first go on with an Export that was sent to it meanwhile.
    async fn replace(&mut self, place: usize, ledger: &Arc<Ledger>, history: &History) {
        let id = self.processes[place].id;
        let _event = history.begin("host paused until another process has its id", id);
        let (old, of_old) = (self.larder(place), self.clients.get(place));
        old.signal("STOP");
        old.is_stopped();
        let number = ledger.next();
        let late = tokio::spawn({
            let ledger = Arc::clone(ledger);
            async move { timeout(PATIENCE * 2, ledger.export(&of_old, number)).await }
        });
        self.processes[place].home = Home::new();
        self.start_again(place, history).await;

        old.signal("CONT");
        match late.await {
            Ok(Ok(Err(_))) => self.zombies.push(number),
            Ok(Ok(Ok(()))) => history.note_wrong(format!(
                "host {id} has acknowledged an Export though another process has its id"
            )),
            Ok(Err(_)) | Err(_) => {
                history.note_wrong(format!("host {id} never answered after it went on"));
                self.zombies.push(number);
            }
        }
        old.kill();
    }
}

async fn begin(cluster: &Cluster, id: &str, home: &Home) -> Larder {
    let (mut options, home) = (cluster.host(id), home.clone());
    let time = CLOCKS.iter().find(|(of, _)| *of == id);
    if let (Some((_, time)), Ok(library)) = (time, std::env::var(CLOCK)) {
        options = options
            .environment("LD_PRELOAD", &library)
            .environment("FAKETIME", time);
    }
    let begin = move || options.starting_in(&home);
    tokio::task::spawn_blocking(begin).await.unwrap()
}

/// Waits until a host serves; false if it does not within [`PATIENCE`].
async fn is_ready(larder: &Larder) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let admin = larder.admin();
        let ask = move || http::try_request(admin, ("GET", "/readyz"), None, "");
        let answer = tokio::task::spawn_blocking(ask).await.unwrap();
        if answer.is_ok_and(|answer| answer.status == 200) {
            return true;
        }
        sleep(Duration::from_millis(100)).await;
    }
    false
}
