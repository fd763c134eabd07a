//! One cell of the table: a misdeed, the function where it is done, and what has to come of it.

use larder_proto::storage::v2::{FindTracesRequest, GetTraceParams, GetTracesRequest};
use larder_tests::otlp::{service, span};
use larder_tests::{Client, Larder, Options, Plugin, Query, eventually, http, method};
use prost::Message as _;
use tonic::{Code, Status};

/// What the server may hold above what it held before, once all is over: allocators keep some of what they were given back.
const MEMORY_MARGIN: u64 = 160 << 20;
/// A status's text travels in headers.
const LONGEST_TEXT: usize = 4 << 10;

/// What has to come of a misdeed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// The call is UNAVAILABLE and the instance replaced, for this reason.
    Dies(&'static str),
    /// The call is INTERNAL and counted as a breach of this rule.
    Breaks(&'static str),
    /// The call ends with this code, and the instance stays.
    Ends(Code),
    /// The call is served.
    Serves,
}

/// A line of the table.
pub(crate) type Cell<'a> = (&'a str, &'a str, Outcome);

/// A server under attack.
#[derive(Debug)]
pub(crate) struct Siege {
    pub(crate) larder: Larder,
    pub(crate) client: Client,
    memory: u64,
    /// For ids that no other batch has.
    stored: u64,
}

/// A server whose guest does as it is told.
pub(crate) fn options() -> Options {
    Options::new(Plugin::Rogue)
        .environment("LARDER_KV_DRIVER", "memory")
        .environment("LARDER_LIMITS_MEMORY", "256MiB")
}

// === impl Siege ===

impl Siege {
    /// Serves, and has two traces of the service `fine`.
    pub(crate) async fn begin(options: Options) -> Self {
        let larder = options.start();
        let client = larder.client().await;
        let two = [1, 2].map(|number| {
            let one = span([number; 16], 1).at(1000 + u64::from(number));
            service("fine").span(one)
        });
        client.store(two).await;
        let mut siege = Self {
            memory: 0,
            stored: 0,
            larder,
            client,
        };
        siege.assert_serves("the start").await;
        siege.memory = siege.larder.memory("VmRSS");
        siege
    }

    /// Holds every cell against what it should do.
    pub(crate) async fn hold(&mut self, cells: impl IntoIterator<Item = Cell<'_>>) {
        for (misdeed, function, outcome) in cells {
            let cell = format!("{misdeed} at {function}");
            self.hold_one(&cell, function, outcome).await;
        }
    }

    async fn hold_one(&mut self, cell: &str, function: &str, outcome: Outcome) {
        self.order(&format!("arm {cell}")).await;
        let (counted, line) = (self.counted(outcome), self.larder.lines().len());
        let ended = self.provoke(function).await;
        match (outcome, ended) {
            (Outcome::Serves, ended) => {
                assert!(matches!(ended, None | Some(Ok(()))), "{cell}: {ended:?}");
            }
            // The upkeep and the start of an instance have no caller.
            (_, None) => {}
            (_, Some(Ok(()))) => panic!("{cell}: the call was served"),
            (outcome, Some(Err(status))) => {
                assert_eq!(status.code(), outcome.code(), "{cell}: {status:?}");
                assert!(!status.message().is_empty(), "{cell}");
                assert!(status.message().len() < LONGEST_TEXT, "{cell}: {status:?}");
            }
        }
        eventually(cell, async || {
            if function == "open-reader" {
                // One that was refused for the pause after a failure opened nothing: it is asked again.
                match self.find().await {
                    Ok(()) => return matches!(outcome, Outcome::Serves).then_some(()),
                    Err(status) => {
                        assert_eq!(status.code(), Code::Unavailable, "{cell}: {status:?}");
                    }
                }
                if matches!(outcome, Outcome::Serves) {
                    return None;
                }
            }
            let told = match outcome {
                Outcome::Dies(why) => self.told(line, &["is replaced", why]),
                Outcome::Breaks(rule) => self.told(line, &["broke the contract", rule]),
                Outcome::Ends(_) | Outcome::Serves => return Some(()),
            };
            (told && self.counted(outcome) > counted).then_some(())
        })
        .await;
        self.order("disarm").await;
        self.assert_serves(cell).await;
        eventually("the memory that was taken", async || {
            (self.larder.memory("VmRSS") <= self.memory + MEMORY_MARGIN).then_some(())
        })
        .await;
    }

    /// Lets the guest do what it is armed with; how the call ended, where there is one.
    async fn provoke(&mut self, function: &str) -> Option<Result<(), Status>> {
        let raw = self.client.call();
        Some(match function {
            "write" => self.store("victim").await,
            "find" => self.find().await,
            "read" => {
                let query = [[1; 16], [2; 16]].map(|id: [u8; 16]| GetTraceParams {
                    trace_id: id.to_vec(),
                    ..GetTraceParams::default()
                });
                let query = query.into();
                let body = GetTracesRequest { query }.encode_to_vec();
                raw.stream(method::GET_TRACES, body.into()).await.end
            }
            "services" => self.client.services().await.map(drop),
            "operations" => self.client.operations("fine", "").await.map(drop),
            "open" => {
                self.store("die").await.unwrap_err();
                return None;
            }
            "open-reader" => {
                self.find().await.unwrap_err();
                return None;
            }
            "maintain" | "statistics" => return None,
            other => panic!("no function is called {other}"),
        })
    }

    async fn find(&self) -> Result<(), Status> {
        let query = Some(Query::default().service("fine").0);
        let body = FindTracesRequest { query }.encode_to_vec();
        let call = self.client.call();
        call.stream(method::FIND_TRACES, body.into()).await.end
    }

    /// A batch unlike any other: none is refused for what an earlier one did.
    async fn store(&mut self, name: &str) -> Result<(), Status> {
        self.stored += 1;
        let one = span([9; 16], self.stored).at(5);
        let answer = self.client.export([service(name).span(one)]).await?;
        assert_eq!(answer.partial_success, None, "{name}");
        Ok(())
    }

    /// Stores until it is taken: UNAVAILABLE is all that may come in between.
    async fn order(&mut self, name: &str) {
        eventually(name, async || match self.store(name).await {
            Ok(()) => Some(()),
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{name}: {status:?}");
                None
            }
        })
        .await;
    }

    /// The two traces are found and read, on an instance that may have to be opened first.
    async fn assert_serves(&mut self, after: &str) {
        let query = Query::default().service("fine");
        eventually(after, async || {
            match self.client.find_traces(&query).await {
                Ok(found) => {
                    let ids: Vec<[u8; 16]> = found.iter().map(|trace| trace.id).collect();
                    assert_eq!(ids, [[2; 16], [1; 16]], "after {after}");
                    Some(())
                }
                Err(status) => {
                    assert_eq!(
                        status.code(),
                        Code::Unavailable,
                        "after {after}: {status:?}"
                    );
                    None
                }
            }
        })
        .await;
        self.order("more").await;
    }

    fn counted(&self, outcome: Outcome) -> u64 {
        let (metric, label) = match outcome {
            Outcome::Dies(why) => ("larder_plugin_restarts_total", format!("\"{why}\"")),
            Outcome::Breaks(rule) => (
                "larder_plugin_contract_breaches_total",
                format!("\"{rule}\""),
            ),
            Outcome::Ends(_) | Outcome::Serves => return 0,
        };
        http::count(&self.larder.metrics(), metric, &[&label])
    }

    /// Whether a line of the log from this one on names the plugin and says all this.
    fn told(&self, from: usize, parts: &[&str]) -> bool {
        let lines = self.larder.lines();
        lines[from..]
            .iter()
            .any(|line| line.contains("\"rogue\"") && parts.iter().all(|part| line.contains(part)))
    }
}

// === impl Outcome ===

impl Outcome {
    fn code(self) -> Code {
        match self {
            Self::Dies(_) => Code::Unavailable,
            Self::Breaks(_) => Code::Internal,
            Self::Ends(code) => code,
            Self::Serves => Code::Ok,
        }
    }
}
