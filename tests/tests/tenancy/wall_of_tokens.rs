//! Who has a token of tenant `b` alone has nothing of tenant `a`, by no RPC and no route.

use larder_tests::otlp::{service, span};
use larder_tests::{Client, Home, Larder, Plugin, Tokens, http, token};
use tonic::Code;

use super::header::{admitted, every_rpc};
use super::{tenancy, traces};

/// A name that shows where it has no business.
const SECRET: &str = "secret-of-a";

/// The routes of the admin port that are about one tenant, with `?tenant=`, or about all.
const ROUTES: [(&str, &str); 7] = [
    ("POST", "/explain?tenant=a"),
    ("POST", "/purge?tenant=a"),
    ("POST", "/explain"),
    ("POST", "/purge"),
    ("GET", "/tenants"),
    ("GET", "/plugin"),
    ("GET", "/plugin?tenant=b"),
];

struct Walled {
    larder: Larder,
    /// A token for everything of everybody.
    all: String,
    /// One for everything of `b`.
    b: String,
}

impl Walled {
    /// `a` has one trace, and is who calls without a header.
    async fn new(plugin: Plugin) -> Self {
        let home = Home::new();
        let (all, all_line) = token("all", None, "read,write,admin");
        let (b, b_line) = token("of b", Some("b"), "read,write,admin");
        let tokens = Tokens::new(&home, &[&all_line, &b_line]);
        let larder = tenancy(plugin)
            .purge()
            .tokens(&tokens)
            .environment("LARDER_TENANCY_DEFAULT", "a")
            .start_in(&home);
        let walled = Self { larder, all, b };
        let one = span([1; 16], 1).name(SECRET).at(5);
        let owner = walled.client(Some(&walled.all)).await.tenant("a");
        owner.store([service(SECRET).span(one)]).await;
        walled
    }

    async fn client(&self, token: Option<&str>) -> Client {
        let client = self.larder.client().await;
        match token {
            None => client,
            Some(token) => client.with_header("authorization", &format!("Bearer {token}")),
        }
    }

    fn ask(&self, route: (&str, &str), token: Option<&str>) -> http::Response {
        http::request(self.larder.admin(), route, token, "{}")
    }

    async fn still_has_it(&self) {
        let owner = self.client(Some(&self.all)).await;
        assert_eq!(traces(&owner, "a").await, [1]);
    }
}

/// Each with this code, and with nothing of the tenant's.
async fn refused(client: &Client, code: Code, says: &str) {
    for (method, end) in every_rpc(client).await {
        let status = end.expect_err(method);
        assert_eq!(status.code(), code, "{method}: {status:?}");
        assert!(status.message().contains(says), "{method}: {status:?}");
        assert!(!format!("{status:?}").contains(SECRET), "{status:?}");
    }
}

async fn a_token_stays_on_its_side(plugin: Plugin) {
    let walled = Walled::new(plugin).await;
    let b = walled.client(Some(&walled.b)).await;
    // By name, and by being the default.
    for client in [b.tenant("a"), b.clone()] {
        refused(&client, Code::PermissionDenied, "not for tenant \"a\"").await;
    }
    for name in ["A", "a/../b", "b,a", ""] {
        refused(&b.tenant(name), Code::PermissionDenied, "").await;
    }
    let both = b.tenant("b").tenant("a");
    refused(&both, Code::PermissionDenied, "extra tenant header").await;
    let nobody = walled.client(None).await;
    for client in [nobody.tenant("a"), nobody.tenant("b"), nobody] {
        refused(&client, Code::Unauthenticated, "token").await;
    }
    let forged = walled.client(Some("larder_forged")).await;
    refused(&forged.tenant("a"), Code::Unauthenticated, "not known").await;
    admitted(every_rpc(&b.tenant("b")).await);
    assert!(traces(&b, "b").await.is_empty());

    for route in ROUTES {
        let denied = walled.ask(route, Some(&walled.b));
        assert_eq!(denied.status, 403, "{route:?}: {}", denied.body);
        let asked = walled.ask(route, None);
        assert_eq!(asked.status, 401, "{route:?}: {}", asked.body);
    }
    for route in [
        "/explain?tenant=b&tenant=a",
        "/explain?tenant=b&other=a",
        "/purge?tenant=a&tenant=b",
    ] {
        let denied = walled.ask(("POST", route), Some(&walled.b));
        assert_eq!(denied.status, 403, "{route}: {}", denied.body);
    }
    for route in [("POST", "/explain?tenant=b"), ("POST", "/purge?tenant=b")] {
        assert_eq!(walled.ask(route, Some(&walled.b)).status, 200, "{route:?}");
    }
    walled.still_has_it().await;
    for route in ROUTES
        .iter()
        .filter(|(_, path)| !path.starts_with("/purge"))
    {
        assert_eq!(
            walled.ask(*route, Some(&walled.all)).status,
            200,
            "{route:?}"
        );
    }
}

#[tokio::test]
async fn a_token_stays_on_its_side_with_kv() {
    a_token_stays_on_its_side(Plugin::Kv).await;
}

#[tokio::test]
async fn a_token_stays_on_its_side_with_memory() {
    a_token_stays_on_its_side(Plugin::Memory).await;
}

/// Health, reflection and the probes are open, and metrics are for every operator.
#[tokio::test]
async fn what_is_open_tells_nothing_of_tenants() {
    let walled = Walled::new(Plugin::Memory).await;
    let owner = walled.client(Some(&walled.all)).await;
    let one = span([2; 16], 1).at(5);
    owner.tenant(SECRET).store([service("x").span(one)]).await;

    let nobody = walled.client(None).await.call();
    for (method, body) in [
        ("/grpc.health.v1.Health/Check", vec![]),
        // The name of a tenant as a service's: 1: "secret-of-a".
        (
            "/grpc.health.v1.Health/Check",
            [&[0x0a, 11][..], SECRET.as_bytes()].concat(),
        ),
        // list_services: "".
        (
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            vec![0x3a, 0],
        ),
    ] {
        let asked_for_it = !body.is_empty() && method.contains("Health");
        let reply = nobody.stream(method, body.into()).await;
        for message in &reply.messages {
            let text = String::from_utf8_lossy(message);
            assert!(!text.contains(SECRET), "{method}: {text}");
        }
        let code = reply.end.map_or_else(|status| status.code(), |()| Code::Ok);
        // As of any service that is not ours.
        let wanted = if asked_for_it {
            Code::NotFound
        } else {
            Code::Ok
        };
        assert_eq!(code, wanted, "{method}");
    }
    for (path, token) in [
        ("/livez", None),
        ("/readyz", None),
        ("/nothing", None),
        ("/metrics", Some(&*walled.b)),
    ] {
        let answer = walled.ask(("GET", path), token);
        let all = format!("{:?}{}", answer.headers, answer.body);
        assert!(!all.contains(SECRET), "{path}: {all}");
    }
    assert_eq!(walled.ask(("GET", "/metrics"), None).status, 401);
    let tenants = walled.ask(("GET", "/tenants"), Some(&walled.all));
    assert!(tenants.body.contains(SECRET), "{}", tenants.body);
}
