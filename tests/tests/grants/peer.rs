//! Servers for guests to reach. Each runs until the test's process ends.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;

/// A server on a port of its own, and what it was sent.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
}

/// A server that speaks TLS.
pub(crate) struct Encrypted {
    pub(crate) peer: Peer,
    /// The certificate of its CA, as PEM.
    pub(crate) ca: String,
}

/// Reads a request, notes its line and its host, and answers it.
fn answer(stream: &mut (impl Read + Write), lines: &Mutex<Vec<String>>, answer: &str) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if !stream.read(&mut byte).is_ok_and(|read| read > 0) {
            return;
        }
        head.extend(byte);
        // What is no request is answered like one.
        if head[0] != b'G' {
            break;
        }
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let noted = head
        .lines()
        .filter(|it| it.starts_with("get ") || it.starts_with("host:"));
    lines.lock().unwrap().extend(noted.map(str::to_owned));
    drop(
        stream
            .write_all(answer.as_bytes())
            .and_then(|()| stream.flush()),
    );
}

impl Peer {
    /// Answers each line with itself.
    pub(crate) fn echoing() -> Self {
        Self::start(|mut stream, lines| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                lines.lock().unwrap().push(line.trim_end().to_owned());
                let sent = stream.write_all(format!("heard {line}").as_bytes());
                if sent.is_err() {
                    break;
                }
                line.clear();
            }
        })
    }

    /// Keeps names by tenant, as `tests/guests/src/mistaken/outside.rs` asks it.
    pub(crate) fn keeping() -> Self {
        let kept = Arc::<Mutex<BTreeMap<String, BTreeSet<String>>>>::default();
        Self::start(move |mut stream, _| {
            let reader = BufReader::new(stream.try_clone().unwrap());
            for line in reader.lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                let answer = match *line.splitn(3, ' ').collect::<Vec<_>>() {
                    ["keep", tenant, name] => {
                        let names = kept.entry(tenant.to_owned()).or_default();
                        names.insert(name.to_owned());
                        String::new()
                    }
                    ["list", tenant] => {
                        let names = kept.get(tenant).into_iter().flatten();
                        names.flat_map(|it| [it.as_str(), "\t"]).collect()
                    }
                    ["forget", tenant] => {
                        kept.remove(tenant);
                        String::new()
                    }
                    _ => panic!("{line}"),
                };
                if stream.write_all(format!("{answer}\n").as_bytes()).is_err() {
                    break;
                }
            }
        })
    }

    /// Takes connections, reads, and never answers.
    pub(crate) fn silent() -> Self {
        Self::start(|mut stream, _| {
            let mut block = vec![0; 65536];
            while stream.read(&mut block).is_ok_and(|read| read > 0) {}
        })
    }

    /// Sends without end.
    pub(crate) fn endless() -> Self {
        Self::start(|mut stream, _| while stream.write_all(&[7; 4096]).is_ok() {})
    }

    /// Answers each HTTP request with this head and body; its first line is kept, and its `host` header.
    pub(crate) fn http(head: &str, body: &str) -> Self {
        let length = body.len();
        let answered = format!(
            "HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        Self::start(move |mut stream, lines| {
            answer(&mut stream, lines, &answered);
        })
    }

    /// As of [`Peer::http`], over TLS, with a certificate for this name.
    pub(crate) fn https(name: &str) -> Encrypted {
        use tokio_rustls::rustls;

        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = certificate.self_signed(&key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        let secret = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = config.with_single_cert(vec![certificate.der().clone()], secret);
        let config = Arc::new(config.unwrap());
        let peer = Self::start(move |stream, lines| {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            answer(
                &mut stream,
                lines,
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfound",
            );
        });
        Encrypted {
            peer,
            ca: certificate.pem(),
        }
    }

    fn start(serve: impl Fn(TcpStream, &Mutex<Vec<String>>) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let heard = Arc::clone(&lines);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (serve, heard) = (serve.clone(), Arc::clone(&heard));
                thread::spawn(move || serve(stream, &heard));
            }
        });
        Self { address, lines }
    }

    /// The lines that it was sent so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }
}
