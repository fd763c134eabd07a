//! With a fixed list of tenants, a token for some of them does not reveal which others are listed.

use larder_tests::{Client, Home, Larder, Plugin, Tokens, http, token};
use tonic::{Code, Status};

use super::attribute::{of, refused};
use super::header::{admitted, every_rpc};
use super::tenancy;

/// A listed and an unlisted name of the same length; the token is for neither.
const LISTED: &str = "other";
const UNLISTED: &str = "xther";

struct ListedTenants {
    larder: Larder,
    /// Tokens for `a`, for all tenants, and for reads of `a`.
    tokens: [String; 3],
}

impl ListedTenants {
    fn start() -> Self {
        let home = Home::new();
        let of_a = token("of a", Some("a"), "read,write,admin");
        let of_all = token("of all", None, "read,write,admin");
        let reader = token("reader", Some("a"), "read");
        let tokens = [of_a, of_all, reader];
        let lines: Vec<&str> = tokens.iter().map(|(_, line)| line.as_str()).collect();
        let accepted = Tokens::new(&home, &lines);
        let larder = tenancy(Plugin::Memory)
            .environment("LARDER_TENANCY_TENANTS", &format!("a,{LISTED}"))
            .environment("LARDER_TENANCY_RESOURCE_ATTRIBUTE", "tenant.id")
            .tokens(&accepted)
            .purge()
            .start_in(&home);
        let tokens = tokens.map(|(token, _)| token);
        Self { larder, tokens }
    }

    async fn client(&self, number: usize) -> Client {
        self.larder.client().await.token(&self.tokens[number])
    }
}

/// Returns everything that a client sees of a refusal, except for the name that it sent itself.
fn seen(status: &Status) -> (Code, String, Vec<u8>) {
    let text = status.message().replace(UNLISTED, LISTED);
    (status.code(), text, status.details().to_vec())
}

#[tokio::test]
async fn no_rpc_reveals_listed_tenants_to_other_tokens() {
    let tenants = ListedTenants::start();
    for number in [0, 2] {
        let client = tenants.client(number).await;
        let listed = every_rpc(&client.tenant(LISTED)).await;
        let unlisted = every_rpc(&client.tenant(UNLISTED)).await;
        assert!(listed.len() > 5);
        for ((method, one), (_, other)) in listed.into_iter().zip(unlisted) {
            let (one, other) = (one.unwrap_err(), other.unwrap_err());
            assert_eq!(one.code(), Code::PermissionDenied, "{method}: {one:?}");
            assert_eq!(seen(&one), seen(&other), "{method}");
            assert!(one.message().contains("token"), "{method}: {one:?}");
        }
    }
}

#[tokio::test]
async fn no_export_by_attribute_reveals_listed_tenants() {
    let tenants = ListedTenants::start();
    let client = tenants.client(0).await;
    let told = async |name: &str| {
        let refused = refused(&client, vec![of("a", 1), of(name, 2)]).await;
        let text = refused.error_message.replace(UNLISTED, LISTED);
        (refused.rejected_spans, text)
    };
    assert_eq!(told(LISTED).await, told(UNLISTED).await);
}

#[tokio::test]
async fn no_admin_route_reveals_listed_tenants() {
    let tenants = ListedTenants::start();
    for number in [0, 2] {
        for path in ["/explain", "/purge"] {
            let told = |name: &str| {
                let path = format!("{path}?tenant={name}");
                let token = Some(&*tenants.tokens[number]);
                let answer = http::request(tenants.larder.admin(), ("POST", &path), token, "{}");
                (answer.status, answer.body.replace(UNLISTED, LISTED))
            };
            assert_eq!(told(LISTED), told(UNLISTED), "{path}");
            assert_eq!(told(LISTED).0, 403, "{path}");
        }
    }
}

/// A token for all tenants gets Jaeger's text.
#[tokio::test]
async fn a_token_for_all_tenants_learns_of_unknown_ones() {
    let tenants = ListedTenants::start();
    let client = tenants.client(1).await;
    for (method, end) in every_rpc(&client.tenant(UNLISTED)).await {
        let status = end.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{method}");
        assert_eq!(status.message(), "unknown tenant", "{method}");
    }
    admitted(every_rpc(&client.tenant(LISTED)).await);
    let refused = refused(&client, vec![of(UNLISTED, 2)]).await;
    assert!(refused.error_message.contains("unknown tenant"));
}
