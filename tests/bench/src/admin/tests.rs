use std::net::TcpListener;
use std::thread::{JoinHandle, spawn};

use super::*;

/// An admin port that gives these answers, one after the other.
pub(crate) struct Answering {
    pub(crate) address: String,
    requests: JoinHandle<std::io::Result<Vec<String>>>,
}

impl Answering {
    pub(crate) fn new(answers: Vec<String>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let requests = spawn(move || {
            let requests = answers.iter().map(|answer| {
                let (mut stream, _) = listener.accept()?;
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte)?;
                    request.extend(byte);
                }
                stream.write_all(answer.as_bytes())?;
                Ok::<_, std::io::Error>(String::from_utf8_lossy(&request).into_owned())
            });
            requests.collect::<std::io::Result<Vec<String>>>()
        });
        Ok(Self { address, requests })
    }

    /// Returns the requests, once every answer is given.
    pub(crate) fn requests(self) -> Result<Vec<String>> {
        let requests = self.requests.join();
        Ok(requests.ok().context("the port ended early")??)
    }
}

/// An answer with this body.
pub(crate) fn found(body: &str) -> String {
    format!("HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\n{body}")
}

#[tokio::test]
async fn metrics_are_the_body_of_the_answer() -> Result<()> {
    let admin = Answering::new(vec![found("one 1\n\r\n\r\ntwo 2\n")])?;
    assert_eq!(metrics(&admin.address).await?, "one 1\n\r\n\r\ntwo 2\n");
    let address = admin.address.clone();
    assert_eq!(
        admin.requests()?,
        [format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n")]
    );
    Ok(())
}

#[tokio::test]
async fn another_status_or_protocol_is_refused_with_the_address() -> Result<()> {
    for (answer, told) in [
        (
            "HTTP/1.0 401 Unauthorized\r\n\r\n",
            "\"HTTP/1.0 401 Unauthorized\"",
        ),
        ("\0\0\x12\x04", "no HTTP"),
    ] {
        let admin = Answering::new(vec![answer.to_owned()])?;
        let error = metrics(&admin.address).await.err().context("it was read")?;
        let error = format!("{error:#}");
        assert!(error.contains(&admin.address), "{error}");
        assert!(error.contains(told), "{error}");
    }
    Ok(())
}

#[test]
fn a_metric_is_the_sum_of_its_samples_and_of_no_other() {
    let text = "\
# HELP kept_bytes kept_bytes 7
# TYPE kept_bytes gauge
kept_bytes{tenant=\"a} 9 b\"} 1.5
kept_bytes{tenant=\"b\"} 2 1767225600000
kept_bytes_max 100
open 0
";
    assert_eq!(sum(text, "kept_bytes"), Some(3.5));
    assert_eq!(sum(text, "open"), Some(0.0));
    assert_eq!(sum(text, "kept"), None);
}
