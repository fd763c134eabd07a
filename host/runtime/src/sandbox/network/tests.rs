#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::OutputStream as _;
use wasmtime_wasi::p2::pipe::SinkOutputStream;
use wasmtime_wasi::sockets::SocketAddrUse;

use super::*;

/// Names, and what they stand for at the first lookup, the second one, and so on; the last answer stays.
#[derive(Debug)]
struct Names(Mutex<HashMap<&'static str, Vec<Vec<&'static str>>>>);

#[async_trait]
impl Lookup for Names {
    async fn lookup(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        let mut names = self.0.lock();
        let answers = names.get_mut(name).ok_or(std::io::ErrorKind::NotFound)?;
        let answer = match answers.len() {
            1 => answers[0].clone(),
            _ => answers.remove(0),
        };
        Ok(answer.iter().map(|text| text.parse().unwrap()).collect())
    }
}

fn authorities(texts: &[&str]) -> Vec<Authority> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

struct Bench {
    network: Arc<Network>,
    metrics: Arc<Metrics>,
}

impl Bench {
    fn of(grants: Grants, names: &[(&'static str, &[&[&'static str]])]) -> Self {
        let names = names.iter().map(|(name, answers)| {
            let answers = answers.iter().map(|answer| answer.to_vec());
            (*name, answers.collect())
        });
        let lookup = Names(Mutex::new(names.collect()));
        let metrics = Arc::new(Metrics::new());
        let labels = PluginLabels {
            tenant: "default".into(),
            plugin: "p".into(),
        };
        let counted = Some((labels, Arc::clone(&metrics)));
        Self {
            network: Network::new(grants, counted, Arc::new(lookup)),
            metrics,
        }
    }

    fn tcp(granted: &[&str], names: &[(&'static str, &[&[&'static str]])]) -> Self {
        let tcp = authorities(granted);
        let grants = Grants {
            tcp,
            ..Grants::default()
        };
        Self::of(grants, names)
    }

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Resolved> {
        self.network.resolve(&Host::parse(name).unwrap()).await
    }

    fn connects(&self, to: &str) -> bool {
        let to = to.parse().unwrap();
        self.network.may_use(to, SocketAddrUse::TcpConnect)
    }

    /// How often a reason was counted.
    fn refused(&self, reason: &str) -> u64 {
        let text = self.metrics.encode();
        let series = format!(
            "larder_plugin_connections_refused_total{{tenant=\"default\",plugin=\"p\",reason=\"{reason}\"}} "
        );
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.map_or(0, |count| count.parse().unwrap())
    }
}

#[tokio::test]
async fn without_a_grant_nothing_is_reached_or_resolved() {
    let bench = Bench::tcp(&[], &[("db", &[&["10.0.0.5"]])]);
    assert!(matches!(bench.resolve("db").await, Err(Resolved::Refused)));
    assert!(!bench.connects("10.0.0.5:5432"));
    assert_eq!((bench.refused("name"), bench.refused("authority")), (1, 1));
}

#[tokio::test]
async fn an_address_that_is_granted_is_reached_at_its_port_alone() {
    let bench = Bench::tcp(&["127.0.0.1:5432", "[fe80::1]:5432"], &[]);
    for to in [
        "127.0.0.1:5432",
        "[::ffff:127.0.0.1]:5432",
        "[fe80::1]:5432",
    ] {
        assert!(bench.connects(to), "{to}");
    }
    for to in [
        "127.0.0.1:5433",
        "127.0.0.2:5432",
        "[::1]:5432",
        "[::127.0.0.1]:5432",
        "[64:ff9b::7f00:1]:5432",
        "[fe80::2]:5432",
        "[fe80::1%3]:5432",
        "0.0.0.0:5432",
        "[::]:5432",
    ] {
        assert!(!bench.connects(to), "{to}");
    }
    assert_eq!(bench.refused("authority"), 9);
}

#[tokio::test]
async fn a_name_is_reached_at_the_addresses_that_the_host_has_resolved_it_to() {
    let names: &[(_, &[&[_]])] = &[("db", &[&["10.0.0.5", "2001:db8::5"]])];
    let bench = Bench::tcp(&["db:5432"], names);
    assert!(!bench.connects("10.0.0.5:5432"), "nobody has looked it up");
    assert_eq!(bench.resolve("DB.").await.unwrap().len(), 2);
    for to in [
        "10.0.0.5:5432",
        "[2001:db8::5]:5432",
        "[::ffff:10.0.0.5]:5432",
    ] {
        assert!(bench.connects(to), "{to}");
    }
    for to in ["10.0.0.5:22", "10.0.0.6:5432"] {
        assert!(!bench.connects(to), "{to}");
    }
    assert!(matches!(
        bench.resolve("other").await,
        Err(Resolved::Refused)
    ));
    assert!(matches!(
        bench.resolve("a.db").await,
        Err(Resolved::Refused)
    ));
}

#[tokio::test]
async fn a_name_that_comes_to_stand_for_this_machine_or_its_link_is_refused() {
    let names: &[(_, &[&[_]])] = &[(
        "db",
        &[
            &["10.0.0.5"],
            &["127.0.0.1"],
            &["169.254.169.254"],
            &["::ffff:127.0.0.1"],
            &["fe80::1"],
            &["127.0.0.1", "10.0.0.6"],
        ],
    )];
    let bench = Bench::tcp(&["db:5432"], names);
    assert!(bench.resolve("db").await.is_ok());
    for _ in 0..4 {
        assert!(matches!(bench.resolve("db").await, Err(Resolved::Refused)));
    }
    assert_eq!(bench.refused("address"), 4);
    let fit: Vec<IpAddr> = bench.resolve("db").await.unwrap();
    assert_eq!(fit, ["10.0.0.6".parse::<IpAddr>().unwrap()]);
    for to in ["127.0.0.1:5432", "169.254.169.254:5432", "[fe80::1]:5432"] {
        assert!(!bench.connects(to), "{to}");
    }
    assert!(bench.connects("10.0.0.5:5432") && bench.connects("10.0.0.6:5432"));
}

#[tokio::test]
async fn localhost_is_the_loopback_and_nothing_else() {
    let names: &[(_, &[&[_]])] = &[("localhost", &[&["127.0.0.1", "::1"], &["10.0.0.5"]])];
    let bench = Bench::tcp(&["localhost:5432"], names);
    assert_eq!(bench.resolve("localhost").await.unwrap().len(), 2);
    assert!(bench.connects("127.0.0.1:5432") && bench.connects("[::1]:5432"));
    assert!(matches!(
        bench.resolve("localhost").await,
        Err(Resolved::Refused)
    ));
}

#[tokio::test]
async fn a_name_with_very_many_addresses_is_remembered_in_part() {
    let many: &[&str] = &["10.0.0.1"; 1000];
    let bench = Bench::tcp(&["db:1"], &[("db", &[many])]);
    assert_eq!(bench.resolve("db").await.unwrap().len(), MAX_ADDRESSES);
    let remembered = bench.network.resolved.lock()["db"].len();
    assert_eq!(remembered, MAX_ADDRESSES);
}

#[tokio::test]
async fn bytes_that_are_written_without_asking_are_bounded_too() {
    let grants = Grants {
        max_call_bytes: 100,
        ..Grants::default()
    };
    let bench = Bench::of(grants, &[]);
    let mut output = metered::MeteredOutput {
        inner: Box::new(SinkOutputStream),
        network: Arc::clone(&bench.network),
    };
    output.write(vec![0; 60].into()).unwrap();
    assert!(output.write(vec![0; 60].into()).is_err());
    output.write(vec![0; 40].into()).unwrap();
    assert!(output.write(vec![0; 1].into()).is_err());
    assert_eq!(bench.refused("bytes"), 2);
}

#[tokio::test]
async fn names_are_looked_up_so_often_in_a_second() {
    let bench = Bench::tcp(&["db:1"], &[("db", &[&["10.0.0.1"]])]);
    let mut found = 0;
    for _ in 0..500 {
        found += u64::from(bench.resolve("db").await.is_ok());
    }
    assert!((64..=256).contains(&found), "{found} within some seconds");
    assert_eq!(bench.refused("rate"), 500 - found);
}

#[tokio::test]
async fn nothing_listens_is_bound_or_sends_datagrams() {
    let bench = Bench::tcp(&["127.0.0.1:5432"], &[]);
    let granted = "127.0.0.1:5432".parse().unwrap();
    for used in [
        SocketAddrUse::TcpListen,
        SocketAddrUse::TcpAccept,
        SocketAddrUse::UdpBind,
        SocketAddrUse::UdpSend,
        SocketAddrUse::UdpReceive,
        SocketAddrUse::TcpBind,
    ] {
        assert!(!bench.network.may_use(granted, used), "{used:?}");
    }
    for unspecified in ["0.0.0.0:0", "[::]:0"] {
        let address = unspecified.parse().unwrap();
        assert!(bench.network.may_use(address, SocketAddrUse::TcpBind));
    }
}

#[tokio::test]
async fn requests_go_to_granted_hosts_and_ports_and_not_by_the_grants_of_tcp() {
    let grants = Grants {
        http: authorities(&["api:80", "[::1]:8080"]),
        tcp: authorities(&["db:5432"]),
        ..Grants::default()
    };
    let bench = Bench::of(grants, &[]);
    let may = |host: &str, port| {
        let authority = Authority::of(host, port);
        bench.network.may_request(host, authority.as_ref()).is_ok()
    };
    assert!(may("api", 80) && may("API", 80) && may("[::1]", 8080));
    for (host, port) in [
        ("api", 81),
        ("db", 5432),
        ("127.0.0.1", 8080),
        ("a.api", 80),
        ("", 80),
    ] {
        assert!(!may(host, port), "{host}:{port}");
    }
    assert!(!bench.connects("[::1]:8080"), "TCP is not granted by HTTP");
}

#[tokio::test]
async fn connections_are_bounded_in_number_and_in_a_second() {
    let grants = Grants {
        tcp: authorities(&["127.0.0.1:1"]),
        max_connections: 2,
        ..Grants::default()
    };
    let bench = Bench::of(grants, &[]);
    let first = bench.network.open().unwrap();
    let second = bench.network.open().unwrap();
    assert!(bench.network.open().is_err());
    drop(first);
    let third = bench.network.open().unwrap();
    assert!(bench.network.open().is_err());
    drop((second, third));
    assert_eq!(bench.refused("connections"), 2);
    let begun = (0..50).filter(|_| bench.connects("127.0.0.1:1")).count();
    assert!((8..=16).contains(&begun), "{begun} within a second or two");
    assert_eq!(bench.refused("rate"), 50 - begun as u64);
}

#[tokio::test]
async fn a_call_has_its_bytes_and_the_next_one_has_its_own() {
    let grants = Grants {
        max_call_bytes: 100,
        ..Grants::default()
    };
    let bench = Bench::of(grants, &[]);
    let network = &bench.network;
    assert_eq!(network.allowance(60), Ok(60));
    network.moved(Direction::Sent, 60);
    assert_eq!(network.allowance(60), Ok(40));
    network.moved(Direction::Received, 40);
    assert_eq!(network.allowance(0), Ok(0));
    let refused = network.allowance(1).unwrap_err().to_string();
    assert!(
        refused.contains("plugin.grants.max_call_bytes"),
        "{refused}"
    );
    network.begin_call();
    assert_eq!(network.allowance(60), Ok(60));
    let text = bench.metrics.encode();
    for (direction, bytes) in [("transmit", 60), ("receive", 40)] {
        let series = format!("network_io_direction=\"{direction}\"}} {bytes}\n");
        assert!(text.contains(&series), "{text}");
    }
}
