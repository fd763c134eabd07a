//! Stores that several hosts share, on the Cassandra that `tests/cassandra.sh` starts.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::plugins::Plugin;
use crate::server::Options;

/// The variable with the addresses of Cassandra's nodes, separated by commas.
const NODES: &str = "LARDER_TEST_CASSANDRA";

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
        let nodes: Vec<String> = self.nodes.iter().map(SocketAddr::to_string).collect();
        // The name that Cassandra gives where nobody names one.
        let copies = format!("datacenter1:{}", self.nodes.len().min(3));
        Options::new(Plugin::Kv)
            .environment("LARDER_KV_DRIVER", "cassandra")
            .environment("LARDER_KV_CASSANDRA_CONTACT_POINTS", &nodes.join(","))
            .environment("LARDER_KV_CASSANDRA_KEYSPACE", &self.keyspace)
            .environment("LARDER_KV_CASSANDRA_REPLICATION", &copies)
            .environment("LARDER_KV_CASSANDRA_HOST", id)
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
    tasks: Vec<JoinHandle<()>>,
}

// === impl Forwarder ===

impl Forwarder {
    /// Lets connections through from now on.
    pub fn open(&mut self) {
        let mut held = std::mem::take(&mut self.held).into_iter();
        for (near, far) in &self.routes {
            let socket = held.next().unwrap_or_else(|| bind(*near));
            let listener = socket.listen(1024).expect("a listener");
            self.tasks.push(tokio::spawn(forward(listener, *far)));
        }
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

async fn forward(listener: TcpListener, node: SocketAddr) {
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        connections.spawn(async move {
            let mut far = TcpStream::connect(node).await?;
            tokio::io::copy_bidirectional(&mut near, &mut far).await
        });
    }
}
