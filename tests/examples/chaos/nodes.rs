//! The nodes of Cassandra that `tests/cassandra.sh` has started, and what is done to them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use larder_tests::Rng;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::history::History;

/// The time in which a node has to serve again.
const PATIENCE: Duration = Duration::from_mins(5);

pub(crate) struct Nodes {
    /// The folder of the nodes; each has its process id in `NUMBER/pid`.
    folder: PathBuf,
    addresses: Vec<SocketAddr>,
    /// The names of their networks, without the numbers, if they have networks of their own. Their links have the same names.
    network: Option<String>,
    /// Those that were started here.
    children: Vec<Option<Child>>,
}

// === impl Nodes ===

impl Nodes {
    pub(crate) fn from_env() -> Self {
        let variable = |name: &str| {
            std::env::var(name)
                .unwrap_or_else(|_| panic!("{name} is not set: tests/cluster.sh runs this"))
        };
        let addresses = variable("LARDER_TEST_CASSANDRA");
        let addresses: Vec<SocketAddr> = addresses
            .split(',')
            .map(|address| address.parse().expect("an address"))
            .collect();
        Self {
            folder: variable("LARDER_TEST_CASSANDRA_FOLDER").into(),
            children: addresses.iter().map(|_| None).collect(),
            addresses,
            network: std::env::var("LARDER_TEST_CASSANDRA_NAMESPACE").ok(),
        }
    }

    /// Does something to one node after another, or to two.
    pub(crate) async fn trouble(&mut self, end: Instant, rng: &mut Rng, history: &History) {
        if self.network.is_none() {
            println!("the nodes have no networks of their own: none is cut off");
        }
        while Instant::now() < end {
            let place = usize::try_from(rng.below(self.addresses.len() as u64)).unwrap();
            let other = (place + 1) % self.addresses.len();
            let time = Duration::from_millis(1000 + rng.below(20_000));
            let node = format!("{} for {:.1} s", place + 1, time.as_secs_f64());
            match rng.below(if self.network.is_some() { 8 } else { 5 }) {
                0..2 => {
                    let _event = history.begin("node killed", &node);
                    self.kill(place);
                    sleep(time).await;
                    self.start(place);
                    self.back(place, history).await;
                }
                2..4 => {
                    let _event = history.begin("node paused", &node);
                    self.signal(place, "STOP");
                    sleep(time).await;
                    self.signal(place, "CONT");
                }
                4 => {
                    let both = format!("{} and {node}", other + 1);
                    let _event = history.begin("two nodes killed", &both);
                    self.kill(other);
                    self.kill(place);
                    sleep(time).await;
                    self.start(other);
                    self.start(place);
                    self.back(other, history).await;
                    self.back(place, history).await;
                }
                5..7 => {
                    let _event = history.begin("node cut off from all", &node);
                    self.link(place, "down");
                    sleep(time).await;
                    self.link(place, "up");
                }
                _ => {
                    let _event = history.begin("node cut off from the other nodes", &node);
                    self.routes(place, "add");
                    sleep(time).await;
                    self.routes(place, "del");
                }
            }
            sleep(Duration::from_millis(1000 + rng.below(10_000))).await;
        }
    }

    fn pid(&self, place: usize) -> String {
        let path = self.folder.join((place + 1).to_string()).join("pid");
        let pid = std::fs::read_to_string(path).expect("a process id");
        pid.trim().to_owned()
    }

    fn signal(&self, place: usize, name: &str) {
        run("kill", &[&format!("-{name}"), &self.pid(place)]);
    }

    /// Kills a node and waits until it is gone.
    fn kill(&mut self, place: usize) {
        let pid = self.pid(place);
        run("kill", &["-KILL", &pid]);
        if let Some(mut child) = self.children[place].take() {
            child.wait().expect("a child to wait for");
        }
        // What has ended has no command line, though its parent may not have waited for it.
        let path = Path::new("/proc").join(pid).join("cmdline");
        while std::fs::read(&path).is_ok_and(|line| !line.is_empty()) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts a node on the data that it has.
    fn start(&mut self, place: usize) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cassandra/node.sh");
        let child = Command::new(script)
            .arg((place + 1).to_string())
            .stdin(Stdio::null())
            .spawn()
            .expect("node.sh");
        self.children[place] = Some(child);
    }

    /// Waits until a node takes connections.
    async fn back(&self, place: usize, history: &History) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let connect = TcpStream::connect(self.addresses[place]);
            if matches!(timeout(Duration::from_secs(1), connect).await, Ok(Ok(_))) {
                return;
            }
            sleep(Duration::from_millis(200)).await;
        }
        history.note_wrong(format!("node {} does not come back", place + 1));
    }

    fn name(&self, place: usize) -> String {
        let network = self.network.as_ref().expect("networks of their own");
        format!("{network}{}", place + 1)
    }

    /// Takes a node's link to the bridge down, or up again.
    fn link(&self, place: usize, state: &str) {
        run("ip", &["link", "set", &self.name(place), state]);
    }

    /// Makes a node drop what it sends to the other nodes, or send it again. It still reaches the hosts.
    fn routes(&self, place: usize, change: &str) {
        let network = self.name(place);
        for (_, other) in self
            .addresses
            .iter()
            .enumerate()
            .filter(|(it, _)| *it != place)
        {
            let to = other.ip().to_string();
            let arguments = [
                "netns",
                "exec",
                &network,
                "ip",
                "route",
                change,
                "blackhole",
                &to,
            ];
            run("ip", &arguments);
        }
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program)
        .args(arguments)
        .status()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program} {arguments:?}: {status}");
}
