//! A case of the tables: a misdeed, the function that does it, and the expected outcome.

use larder_proto::storage::v2::{
    FindTracesRequest, GetOperationsRequest, GetServicesRequest, GetTraceParams, GetTracesRequest,
};
use larder_tests::otlp::{service, span};
use larder_tests::status::retry_info;
use larder_tests::{Client, Query, eventually, http, method};
use prost::Message as _;
use tonic::{Code, Status};

use crate::attacked::Attacked;

/// A status's text is sent in headers.
pub(crate) const LONGEST_TEXT: usize = 4 << 10;

/// The expected outcome of a misdeed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// The call is UNAVAILABLE and the instance replaced, for this reason, with this text in its trap.
    Dies(&'static str, &'static str),
    /// The call is INTERNAL and counted as a breach of this rule.
    Breaks(&'static str),
    /// The call ends with this code, and the instance stays.
    Ends(Code),
    /// The call is `RESOURCE_EXHAUSTED`, with a retry delay, and the instance stays.
    Delays,
    /// The call is served with this list cut to a message, which its trailer and a metric tell, and the instance stays.
    Cuts(&'static str),
    /// The call is served, and after the misdeed's announcement the log has this text, at least this many times.
    Serves(&'static str, usize),
    /// The call is served, and `/tenants` shows this number of stored spans.
    Counts(u64),
}

/// A row of a table.
pub(crate) type Case = (&'static str, &'static str, Outcome);

/// A tenant whose plugin does a misdeed.
#[derive(Debug)]
pub(crate) struct Attack<'a> {
    server: &'a Attacked,
    client: Client,
    tenant: String,
    misdeed: &'static str,
    function: &'static str,
    /// Counts the batches, for unique ids.
    stored: u64,
}

// === impl Attack ===

impl<'a> Attack<'a> {
    /// Starts with a new tenant that has two traces of the service `fine`.
    pub(crate) async fn begin(
        server: &'a Attacked,
        tenant: String,
        (misdeed, function): (&'static str, &'static str),
    ) -> Self {
        let client = server.larder.client().await.tenant(&tenant);
        store_two(&client).await;
        let mut attack = Self {
            server,
            client,
            tenant,
            misdeed,
            function,
            stored: 0,
        };
        attack.assert_serves().await;
        attack
    }

    /// Describes the case in failures.
    fn case(&self) -> String {
        format!("{} at {}", self.misdeed, self.function)
    }

    /// Lets the plugin misbehave, and compares the outcome.
    pub(crate) async fn run(mut self, outcome: Outcome) {
        let case = self.case();
        // An exclusive plugin is asked for its statistics within the write that arms it.
        let counted = self.counted(outcome);
        self.order(&format!("arm {case}")).await;
        let ended = self.provoke().await;
        match (outcome, ended) {
            (Outcome::Serves(..) | Outcome::Counts(_), ended) => {
                assert!(matches!(ended, None | Some(Ok(None))), "{case}: {ended:?}");
            }
            (Outcome::Cuts(list), ended) => {
                let trailer = ended.expect("a call").expect("an answer");
                let told = format!("list={list}; left-out=");
                let is_cut = trailer.as_ref().is_some_and(|cut| cut.starts_with(&told));
                assert!(is_cut, "{case}: {trailer:?}");
            }
            // Maintenance and the start of an instance have no caller.
            (_, None) => {}
            (_, Some(Ok(_))) => panic!("{case}: the call was served"),
            (outcome, Some(Err(status))) => {
                assert_eq!(status.code(), outcome.code(), "{case}: {status:?}");
                assert!(!status.message().is_empty(), "{case}");
                assert!(status.message().len() < LONGEST_TEXT, "{case}: {status:?}");
                let delays = retry_info(&status).is_some();
                assert_eq!(delays, matches!(outcome, Outcome::Delays), "{case}");
            }
        }
        eventually(&case, async || {
            if self.function == "open-reader" {
                self.open_reader(outcome).await;
            }
            let came =
                self.is_logged(outcome) && (counted.is_none() || self.counted(outcome) > counted);
            came.then_some(())
        })
        .await;
        // While this guest is still armed, and the other attacks continue.
        self.server.assert_bystander_served().await;
        self.order("disarm").await;
        self.assert_serves().await;
        let plugin = &self.server.status(&self.tenant)["plugin"];
        assert_eq!(plugin["state"], "ready", "{case}: {plugin}");
        match outcome {
            Outcome::Breaks(_) | Outcome::Ends(_) | Outcome::Delays | Outcome::Cuts(_) => {
                assert_eq!(plugin["restarts"], 0, "{case}: {plugin}");
            }
            Outcome::Dies("memory", _) => {
                let [used, limit] = ["memory_used", "memory_limit"].map(|it| plugin[it].as_u64());
                assert!(used.is_some() && used < limit, "{case}: {plugin}");
            }
            _ => {}
        }
    }

    /// Opens a reader. A call that was refused for the pause after a failure opened nothing, so it is repeated.
    async fn open_reader(&self, outcome: Outcome) {
        match self.find().await {
            Ok(()) => assert!(matches!(outcome, Outcome::Serves(..)), "{}", self.case()),
            Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
        }
    }

    /// Triggers the armed misdeed; returns the result of the call, if there is one, with the trailer of an answer that is cut.
    async fn provoke(&mut self) -> Option<Result<Option<String>, Status>> {
        let raw = self.client.call();
        let ended = match self.function {
            "write" => self.store("victim").await,
            "refresh" | "find" => self.find().await,
            "read" => {
                let query = [[1; 16], [2; 16]].map(|id: [u8; 16]| GetTraceParams {
                    trace_id: id.to_vec(),
                    ..GetTraceParams::default()
                });
                let query = query.into();
                let body = GetTracesRequest { query }.encode_to_vec();
                raw.stream(method::GET_TRACES, body.into()).await.end
            }
            "services" => {
                let body = GetServicesRequest {}.encode_to_vec();
                return Some(self.list(method::GET_SERVICES, body).await);
            }
            "operations" => {
                let question = GetOperationsRequest {
                    service: "fine".to_owned(),
                    ..GetOperationsRequest::default()
                };
                let body = question.encode_to_vec();
                return Some(self.list(method::GET_OPERATIONS, body).await);
            }
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
        };
        Some(ended.map(|()| None))
    }

    /// Asks for a list; returns the trailer of an answer that is cut.
    async fn list(&self, method: &'static str, body: Vec<u8>) -> Result<Option<String>, Status> {
        let answer = self.client.call().unary(method, body.into()).await?;
        let cut = answer.metadata().get("larder-cut");
        Ok(cut.map(|cut| cut.to_str().expect("a text").to_owned()))
    }

    async fn find(&self) -> Result<(), Status> {
        let query = Some(Query::default().service("fine").0);
        let body = FindTracesRequest { query }.encode_to_vec();
        let call = self.client.call();
        call.stream(method::FIND_TRACES, body.into()).await.end
    }

    /// Stores a unique batch, so that none is refused for what an earlier one did.
    async fn store(&mut self, name: &str) -> Result<(), Status> {
        self.stored += 1;
        let one = span([9; 16], self.stored).at(5);
        let answer = self.client.export([service(name).span(one)]).await?;
        assert_eq!(answer.partial_success, None, "{name}");
        Ok(())
    }

    /// Stores until it succeeds; the only error allowed meanwhile is UNAVAILABLE.
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

    /// Asserts that the two traces are found and read, possibly on an instance that has to be opened first.
    async fn assert_serves(&mut self) {
        let case = self.case();
        let query = Query::default().service("fine");
        eventually(&case, async || {
            match self.client.find_traces(&query).await {
                Ok(found) => {
                    let ids: Vec<[u8; 16]> = found.iter().map(|trace| trace.id).collect();
                    assert_eq!(ids, [[2; 16], [1; 16]], "after {case}");
                    Some(())
                }
                Err(status) => {
                    assert_eq!(status.code(), Code::Unavailable, "after {case}: {status:?}");
                    None
                }
            }
        })
        .await;
        self.order("more").await;
    }

    /// Returns the metric of the outcome, if there is one.
    fn counted(&self, outcome: Outcome) -> Option<u64> {
        let (metric, label) = match outcome {
            Outcome::Dies(why, _) => ("larder_plugin_restarts_total", format!("\"{why}\"")),
            Outcome::Breaks(rule) => (
                "larder_plugin_contract_breaches_total",
                format!("\"{rule}\""),
            ),
            Outcome::Cuts(list) => {
                let metrics = self.server.larder.metrics();
                let name = "larder_query_cut_answers_total";
                return Some(http::count(&metrics, name, &[&format!("\"{list}\"")]));
            }
            _ => return None,
        };
        let metrics = self.server.larder.metrics();
        let tenant = format!("tenant=\"{}\"", self.tenant);
        let plugin = "plugin=\"hostile\"";
        Some(http::count(&metrics, metric, &[&label, &tenant, plugin]))
    }

    /// Returns true if the guest announced the misdeed, and the log then shows its effect, for this tenant and this plugin.
    fn is_logged(&self, outcome: Outcome) -> bool {
        let lines = self.server.larder.lines();
        let tenant = format!("\"tenant.id\":\"{}\"", self.tenant);
        let mine = lines
            .iter()
            .filter(|line| line.contains(&tenant) && line.contains("\"plugin\":\"hostile\""));
        let announced = format!("the guest is about to {}", self.case());
        let after: Vec<&String> = mine.skip_while(|line| !line.contains(&announced)).collect();
        let told = |parts: &[&str]| {
            let all = |line: &&&String| parts.iter().all(|part| line.contains(part));
            after.iter().filter(all).count()
        };
        match outcome {
            Outcome::Dies(why, detail) => {
                let why = format!("\"error.type\":\"{why}\"");
                let lost = self.server.data_loss_text();
                told(&["is replaced; ", lost, &why, detail]) > 0
            }
            Outcome::Breaks(rule) => told(&["broke the contract", rule]) > 0,
            Outcome::Ends(_) | Outcome::Delays | Outcome::Cuts(_) => !after.is_empty(),
            Outcome::Serves(text, times) => told(&[text]) >= times,
            Outcome::Counts(spans) => {
                let status = self.server.status(&self.tenant);
                !after.is_empty() && status["plugin"]["statistics"]["spans"] == spans
            }
        }
    }
}

/// Stores two traces of the service `fine`.
pub(crate) async fn store_two(client: &Client) {
    let two = [1, 2].map(|number| {
        let one = span([number; 16], 1).at(1000 + u64::from(number));
        service("fine").span(one)
    });
    client.store(two).await;
}

// === impl Outcome ===

impl Outcome {
    fn code(self) -> Code {
        match self {
            Self::Dies(..) => Code::Unavailable,
            Self::Breaks(_) => Code::Internal,
            Self::Ends(code) => code,
            Self::Delays => Code::ResourceExhausted,
            Self::Serves(..) | Self::Counts(_) | Self::Cuts(_) => Code::Ok,
        }
    }
}
