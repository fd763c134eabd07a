//! Stores that several hosts share, on the Cassandra that `tests/cassandra.sh` starts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::wait::eventually;

use crate::plugins::Plugin;
use crate::server::Options;

/// The variable with the addresses of Cassandra's nodes, separated by commas.
const NODES: &str = "LARDER_TEST_CASSANDRA";
/// The variable with the folder of their data.
const FOLDER: &str = "LARDER_TEST_CASSANDRA_FOLDER";

/// A store of its own, which is empty at first. Its keyspace stays after the test, as does all that is in this Cassandra.
#[derive(Clone, Debug)]
pub struct Cluster {
    nodes: Vec<SocketAddr>,
    keyspace: String,
}

// === impl Cluster ===

impl Cluster {
    /// Names a keyspace that no other test uses.
    ///
    /// # Panics
    /// If there is no Cassandra.
    #[expect(
        clippy::new_without_default,
        reason = "each is another, and it needs a Cassandra"
    )]
    pub fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let nodes = std::env::var(NODES).unwrap_or_else(|_| {
            panic!("{NODES} is not set: tests/cassandra.sh runs this test with a Cassandra")
        });
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("a clock after 1970");
        let address = |node: &str| node.parse().expect("LARDER_TEST_CASSANDRA has addresses");
        Self {
            nodes: nodes.split(',').map(address).collect(),
            keyspace: format!(
                "test_{:x}_{}_{}",
                now.as_secs(),
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            ),
        }
    }

    /// Returns the options of a host that writes under this id: kv over this store. The store is made by the first host that starts.
    pub fn host(&self, id: &str) -> Options {
        self.host_with(Plugin::Kv, id)
    }

    /// Like [`Cluster::host`], with a plugin that keeps its data as `kv` does.
    pub fn host_with(&self, plugin: Plugin, id: &str) -> Options {
        let nodes: Vec<String> = self.nodes.iter().map(SocketAddr::to_string).collect();
        // The name that Cassandra gives where nobody names one.
        let copies = format!("datacenter1:{}", self.nodes.len().min(3));
        Options::new(plugin)
            .environment("LARDER_KV_DRIVER", "cassandra")
            .environment("LARDER_KV_CASSANDRA_CONTACT_POINTS", &nodes.join(","))
            .environment("LARDER_KV_CASSANDRA_KEYSPACE", &self.keyspace)
            .environment("LARDER_KV_CASSANDRA_REPLICATION", &copies)
            .environment("LARDER_KV_CASSANDRA_HOST", id)
    }

    /// Returns a configuration file's text that names this store. Its commands are hosts with ids of their own.
    pub fn config(&self) -> String {
        let nodes: Vec<String> = self.nodes.iter().map(SocketAddr::to_string).collect();
        format!(
            "kv:\n  driver: cassandra\n  cassandra:\n    contact_points: [{}]\n    keyspace: {}\n    replication: {{datacenter1: {}}}\n",
            nodes.join(", "),
            self.keyspace,
            self.nodes.len().min(3)
        )
    }

    /// Runs Cassandra's nodetool for each node; its arguments are made of the folder of the node's data.
    ///
    /// # Panics
    /// If it fails.
    pub fn nodetool(&self, arguments: impl Fn(&Path) -> Vec<String>) {
        let folder = PathBuf::from(std::env::var(FOLDER).expect("tests/cassandra.sh"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cassandra/nodetool.sh");
        for number in 1..=self.nodes.len() {
            let number = number.to_string();
            let data = folder.join(&number).join("data/data");
            let mut nodetool = Command::new(&script);
            nodetool.arg(&number).args(arguments(&data));
            let done = nodetool.output().expect("nodetool starts");
            assert!(done.status.success(), "{nodetool:?}: {done:?}");
        }
    }

    /// Returns the name of its keyspace.
    pub fn keyspace(&self) -> &str {
        &self.keyspace
    }

    /// Returns the addresses of the nodes, as its hosts are told them.
    pub fn nodes(&self) -> &[SocketAddr] {
        &self.nodes
    }

    /// Returns the same store as it is reached through a forwarder, and the forwarder, which refuses connections at first.
    ///
    /// A driver learns the addresses of the nodes from them, and takes the port from what it was told. So the forwarder has the nodes'
    /// addresses, and a port that is free on all of them.
    pub fn behind_forwarder(&self) -> (Self, Forwarder) {
        let mut nodes = self.nodes.clone();
        let (mut held, mut port) = (Vec::new(), 0);
        for node in &mut nodes {
            node.set_port(port);
            let socket = bind(*node);
            *node = socket.local_addr().expect("an address");
            port = node.port();
            held.push(socket);
        }
        let forwarder = Forwarder {
            routes: nodes.iter().copied().zip(self.nodes.clone()).collect(),
            held,
            budget: Arc::new(Semaphore::new(0)),
            tasks: Vec::new(),
        };
        let through = Self {
            nodes,
            keyspace: self.keyspace.clone(),
        };
        (through, forwarder)
    }
}

/// Ports that lead to the nodes while it lets connections through.
#[derive(Debug)]
pub struct Forwarder {
    /// Each port, and where it leads.
    routes: Vec<(SocketAddr, SocketAddr)>,
    /// Sockets that keep the ports until they listen: connections are refused.
    held: Vec<TcpSocket>,
    /// Bytes that it still passes on, in both directions together.
    budget: Arc<Semaphore>,
    tasks: Vec<JoinHandle<()>>,
}

// === impl Forwarder ===

impl Forwarder {
    /// Lets connections through from now on.
    pub fn open(&mut self) {
        self.open_for(Semaphore::MAX_PERMITS);
    }

    /// Lets connections through from now on, and stalls once so many bytes have passed.
    pub fn open_for(&mut self, bytes: usize) {
        self.budget = Arc::new(Semaphore::new(bytes));
        let mut held = std::mem::take(&mut self.held).into_iter();
        for (near, far) in &self.routes {
            let socket = held.next().unwrap_or_else(|| bind(*near));
            let listener = socket.listen(1024).expect("a listener");
            let forward = forward(listener, *far, Arc::clone(&self.budget));
            self.tasks.push(tokio::spawn(forward));
        }
    }

    /// Returns once it has stalled.
    pub async fn stalled(&self) {
        eventually("a forwarder that stalls", async || {
            (self.budget.available_permits() == 0).then_some(())
        })
        .await;
    }

    /// Ends all connections, and refuses others from now on.
    pub async fn close(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            // It was aborted.
            drop(task.await);
        }
    }
}

fn bind(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option of a socket");
    socket.bind(address).expect("a port that is free");
    socket
}

async fn forward(listener: TcpListener, node: SocketAddr, budget: Arc<Semaphore>) {
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        let budget = Arc::clone(&budget);
        connections.spawn(async move {
            let mut far = TcpStream::connect(node).await?;
            let ((from_near, to_near), (from_far, to_far)) = (near.split(), far.split());
            tokio::try_join!(
                pass(from_near, to_far, &budget),
                pass(from_far, to_near, &budget)
            )
        });
    }
}

/// Passes on what arrives, to its end, for as long as there is a budget.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    budget: &Semaphore,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        let some = budget.acquire().await.expect("it is never closed");
        some.forget();
        budget.forget_permits(read - 1);
        to.write_all(&buffer[..read]).await?;
    }
}
