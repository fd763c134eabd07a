//! The metric of when certificates end.

use larder_tests::{Home, Larder, Options, Plugin, eventually, http, replace};

use crate::authority::Authority;
use crate::peer::page;
use crate::tls::options;

const NAME: &str = "larder_tls_certificate_not_after_timestamp_seconds";

/// The begin of a year, in seconds since the Unix epoch.
const OF_2030: &str = "1893456000";
const OF_2031: &str = "1924992000";
const OF_2032: &str = "1956528000";

/// Returns the ends that the server tells on its admin port, which speaks TLS, by setting.
async fn ends(larder: &Larder, authority: &Authority) -> Vec<(String, String)> {
    let client = authority.client("http/1.1", None);
    let metrics = page(larder.admin(), client, "/metrics").await.unwrap();
    let samples = http::samples(&metrics, NAME).into_iter();
    let mut ends: Vec<_> = samples
        .map(|(labels, end)| (labels.to_owned(), end.to_owned()))
        .collect();
    ends.sort();
    ends
}

fn both(end: &str) -> Vec<(String, String)> {
    let settings = ["admin.tls.cert", "grpc.tls.cert"];
    let label = |setting| format!("setting=\"{setting}\"");
    let ends = settings.map(|setting| (label(setting), end.to_owned()));
    ends.to_vec()
}

#[tokio::test]
async fn each_ports_certificate_is_told_and_follows_a_reload() {
    let home = Home::new();
    let authority = Authority::new();
    authority.sign_until(2031).write(home.path());
    let larder = options(home.path(), None).start();
    assert_eq!(ends(&larder, &authority).await, both(OF_2031));

    authority.sign_until(2032).write(home.path());
    larder.signal("HUP");
    eventually("the new end", async || {
        (ends(&larder, &authority).await == both(OF_2032)).then_some(())
    })
    .await;

    // An intermediate one that ends before.
    let (own, other) = (authority.sign_until(2032), authority.sign_until(2030));
    own.write(home.path());
    let chain = format!("{}{}", own.cert, other.cert);
    replace(&home.path().join("cert.pem"), chain);
    larder.signal("HUP");
    eventually("the earliest end", async || {
        (ends(&larder, &authority).await == both(OF_2030)).then_some(())
    })
    .await;
}

#[test]
fn without_certificates_there_is_no_end() {
    let larder = Options::new(Plugin::Memory).start();
    assert!(!larder.metrics().contains(NAME));
}
