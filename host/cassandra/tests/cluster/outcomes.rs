//! Commits whose requests or answers are lost, through a proxy that loses them.

use std::sync::Arc;
use std::time::Duration;

use larder_cassandra::Options;
use larder_store::{Change, Claim, Driver, Entry, Error, Key, Namespace};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use crate::common::{connect, contact_point, options};

/// What the proxy does with the bytes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The request is lost.
    Request,
    /// The request arrives, and the answer is lost.
    Answer,
    /// Nothing gets through, and no connection stands.
    Down,
}

/// Forwards connections to Cassandra, and breaks them on demand.
struct Proxy {
    address: String,
    fault: watch::Sender<Fault>,
    /// Told when a fault has lost something.
    lost: Arc<Notify>,
}

impl Proxy {
    async fn start() -> Self {
        // The driver takes the port from the contact point, and the address from what the node tells.
        let point = contact_point();
        let (host, _) = point.rsplit_once(':').unwrap();
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (fault, seen) = watch::channel(Fault::None);
        let lost = Arc::new(Notify::new());
        let told = Arc::clone(&lost);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(forward(client, seen.clone(), Arc::clone(&told)));
            }
        });
        Self {
            address,
            fault,
            lost,
        }
    }

    fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

/// True if one of these frames is of a batch, which only commits are.
fn is_batch(mut frames: &[u8]) -> bool {
    while let Some((header, rest)) = frames.split_first_chunk::<9>() {
        let [_, _, _, _, opcode, a, b, c, d] = *header;
        if opcode == 0x0d {
            return true;
        }
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        frames = rest.get(length..).unwrap_or_default();
    }
    false
}

async fn forward(client: TcpStream, mut fault: watch::Receiver<Fault>, lost: Arc<Notify>) {
    if *fault.borrow() == Fault::Down {
        return;
    }
    let server = TcpStream::connect(contact_point()).await.unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut up = vec![0; 1 << 16];
    let mut down = vec![0; 1 << 16];
    let mut loses_answer = false;
    loop {
        tokio::select! {
            read = from_client.read(&mut up) => {
                let Some(bytes) = read.ok().filter(|read| *read > 0).and_then(|read| up.get(..read)) else { return };
                let now = *fault.borrow();
                if is_batch(bytes) && now == Fault::Request {
                    lost.notify_one();
                    return;
                }
                loses_answer |= is_batch(bytes) && now == Fault::Answer;
                if to_server.write_all(bytes).await.is_err() {
                    return;
                }
            }
            read = from_server.read(&mut down) => {
                let Some(bytes) = read.ok().filter(|read| *read > 0).and_then(|read| down.get(..read)) else { return };
                if loses_answer {
                    lost.notify_one();
                    return;
                }
                if to_client.write_all(bytes).await.is_err() {
                    return;
                }
            }
            changed = fault.changed() => {
                if changed.is_err() || *fault.borrow() == Fault::Down {
                    return;
                }
            }
        }
    }
}

struct Host {
    proxy: Proxy,
    kv: Arc<dyn Namespace>,
    claim: Claim,
    /// The driver works in the background for as long as it is there.
    _driver: Box<dyn Driver>,
}

impl Host {
    async fn start(name: &str, timeout: Duration) -> Self {
        let proxy = Proxy::start().await;
        let through = Options {
            contact_points: vec![proxy.address.clone()],
            timeout,
            ..options(name)
        };
        let driver = connect(through).await.unwrap();
        let kv = driver.open(name).await.unwrap();
        let claim = kv.claim(name).await.unwrap();
        let host = Self {
            proxy,
            kv,
            claim,
            _driver: Box::new(driver),
        };
        host.commit("first").await.unwrap();
        host
    }

    async fn commit(&self, sort: &str) -> Result<(), Error> {
        let entry = Entry {
            sort: sort.into(),
            value: sort.into(),
        };
        self.kv
            .commit(&self.claim, "p", vec![Change::Put(entry)])
            .await
    }

    async fn has(&self, sort: &str) -> bool {
        let key = Key {
            partition: "p".to_owned(),
            sort: sort.into(),
        };
        self.kv.get(&[key]).await.unwrap() == [Some(sort.into())]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_request_or_answer_is_lost_is_carried_out_once() {
    let host = Host::start("lossy", Duration::from_secs(20)).await;
    for fault in [Fault::Answer, Fault::Request] {
        let sort = format!("{fault:?}");
        host.proxy.set(fault);
        let (done, ()) = tokio::join!(host.commit(&sort), async {
            host.proxy.lost.notified().await;
            host.proxy.set(Fault::None);
        });
        done.unwrap();
        assert!(host.has(&sort).await, "{fault:?}");
        let after = format!("after {sort}");
        host.commit(&after).await.unwrap();
        assert!(host.has(&after).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_of_a_commit_is_unknown_while_nothing_answers_and_settled_by_the_next() {
    let host = Host::start("cut off", Duration::from_secs(3)).await;
    host.proxy.set(Fault::Answer);
    let (done, ()) = tokio::join!(host.commit("lost"), async {
        host.proxy.lost.notified().await;
        host.proxy.set(Fault::Down);
    });
    assert!(matches!(done, Err(Error::OutcomeUnknown(_))), "{done:?}");
    let refused = host.commit("refused").await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    host.proxy.set(Fault::None);
    let mut turns = tokio::time::interval(Duration::from_millis(100));
    while let Err(error) = host.commit("next").await {
        assert!(matches!(error, Error::Unavailable(_)), "{error}");
        turns.tick().await;
    }
    assert!(host.has("lost").await && host.has("next").await && !host.has("refused").await);
}
