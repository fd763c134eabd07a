//! A way to the server that can be cut.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use super::common::Store;

/// The message that asks for a commit, and the one that says that it was done.
const ASKED: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
const DONE: &[u8] = b"C\0\0\0\x0bCOMMIT\0";

/// Where connections end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nowhere.
    Never,
    /// Before the next commit comes to the server.
    BeforeCommit,
    /// Once the server has committed, and before its answer comes back.
    AfterCommit,
}

/// A proxy before the server of the tests.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    cut: Cut,
    /// Both ends of all connections.
    open: Vec<TcpStream>,
    /// Connections so far.
    count: usize,
}

// === impl Proxy ===

impl Proxy {
    pub(crate) fn start() -> Self {
        let server = std::env::var("LARDER_TEST_POSTGRES").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            state: Arc::new(Mutex::new(State {
                cut: Cut::Never,
                open: Vec::new(),
                count: 0,
            })),
        };
        let started = proxy.clone();
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (near, far) = (near.unwrap(), TcpStream::connect(&server).unwrap());
                started.join(&near, &far);
            }
        });
        proxy
    }

    /// A tenant of its own that is reached through it.
    pub(crate) fn store(&self) -> Store {
        let store = Store::new().with("host", "127.0.0.1");
        store.with("port", &self.port.to_string())
    }

    /// Ends the connection there, once.
    pub(crate) fn cut(&self, cut: Cut) {
        self.change(|state| state.cut = cut);
    }

    /// Ends all connections, with no word of the server's.
    pub(crate) fn close(&self) {
        let open = self.change(|state| std::mem::take(&mut state.open));
        open.iter().for_each(close);
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.change(|state| state.count)
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn join(&self, near: &TcpStream, far: &TcpStream) {
        let again = || [near, far].map(|it| it.try_clone().unwrap());
        self.change(|state| {
            state.open.extend(again());
            state.count += 1;
        });
        for (mut ends, cut, mark) in [
            (again(), Cut::BeforeCommit, ASKED),
            (again(), Cut::AfterCommit, DONE),
        ] {
            if cut == Cut::AfterCommit {
                ends.reverse();
            }
            let proxy = self.clone();
            std::thread::spawn(move || proxy.pass(&ends, cut, mark));
        }
    }

    /// Passes on what comes from the first to the second, up to the mark where it is to be cut.
    fn pass(&self, [from, to]: &[TcpStream; 2], cut: Cut, mark: &[u8]) {
        let (mut from, mut to) = (from, to);
        let mut buffer = vec![0; 64 << 10];
        let mut last = Vec::new();
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            last.extend_from_slice(&buffer[..count]);
            let has_mark = last.windows(mark.len()).any(|it| it == mark);
            // A mark may come in two parts.
            last.drain(..last.len().saturating_sub(mark.len() - 1));
            let is_end = has_mark
                && self.change(|state| {
                    let is_end = state.cut == cut;
                    if is_end {
                        state.cut = Cut::Never;
                    }
                    is_end
                });
            if is_end || to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        close(from);
        close(to);
    }
}

/// An end that is closed already stays so.
fn close(end: &TcpStream) {
    end.shutdown(Shutdown::Both).ok();
}
