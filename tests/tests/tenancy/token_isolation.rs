//! A token of tenant `b` alone gives no access to tenant `a`, by any RPC or route.

use larder_tests::otlp::{service, span};
use larder_tests::{Client, Home, Larder, Plugin, Tokens, eventually, http, token};
use tonic::Code;

use super::header::{admitted, every_rpc};
use super::{tenancy, traces};

/// A name that must not appear in answers to others.
const SECRET: &str = "secret-of-a";

/// The routes of the admin port for one tenant, with `?tenant=`, or for all.
const ROUTES: [(&str, &str); 12] = [
    ("GET", "/attributes?tenant=a"),
    ("GET", "/attributes?tenant=a&service=secret-of-a&prefix=s"),
    ("GET", "/attributes/service.name/values?tenant=a&limit=5"),
    ("GET", "/attributes"),
    ("POST", "/explain?tenant=a"),
    ("POST", "/purge?tenant=a"),
    ("POST", "/explain"),
    ("POST", "/purge"),
    ("GET", "/tenants"),
    ("GET", "/plugin"),
    ("GET", "/cluster"),
    ("GET", "/plugin?tenant=b"),
];

struct TokenIsolation {
    larder: Larder,
    /// A token with all rights on all tenants.
    all: String,
    /// A token with all rights on `b`.
    b: String,
}

impl TokenIsolation {
    /// Starts a server where `a` has one trace, and is the default tenant.
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
        let server = Self { larder, all, b };
        let one = span([1; 16], 1).name(SECRET).at(5);
        let owner = server.client(Some(&server.all)).await.tenant("a");
        owner.store([service(SECRET).span(one)]).await;
        server.lists_values("a").await;
        server
    }

    /// Waits until the values of a tenant's attributes are listed.
    async fn lists_values(&self, tenant: &str) {
        let path = format!("/attributes?tenant={tenant}");
        let status = || self.ask(("GET", &path), Some(&self.all)).status;
        eventually("listed values", async || (status() == 200).then_some(())).await;
    }

    async fn client(&self, token: Option<&str>) -> Client {
        let client = self.larder.client().await;
        match token {
            None => client,
            Some(token) => client.token(token),
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

/// Asserts that every RPC fails with this code, and reveals nothing of the tenant.
async fn refused(client: &Client, code: Code, says: &str) {
    for (method, end) in every_rpc(client).await {
        let status = end.expect_err(method);
        assert_eq!(status.code(), code, "{method}: {status:?}");
        assert!(status.message().contains(says), "{method}: {status:?}");
        assert!(!format!("{status:?}").contains(SECRET), "{status:?}");
    }
}

async fn tokens_are_isolated(plugin: Plugin) {
    let server = TokenIsolation::new(plugin).await;
    let b = server.client(Some(&server.b)).await;
    // By name, and as the default tenant.
    for client in [b.tenant("a"), b.clone()] {
        refused(&client, Code::PermissionDenied, "not for tenant \"a\"").await;
    }
    for name in ["A", "a/../b", "b,a", ""] {
        refused(&b.tenant(name), Code::PermissionDenied, "").await;
    }
    let both = b.tenant("b").tenant("a");
    refused(&both, Code::PermissionDenied, "extra tenant header").await;
    let anonymous = server.client(None).await;
    for client in [anonymous.tenant("a"), anonymous.tenant("b"), anonymous] {
        refused(&client, Code::Unauthenticated, "token").await;
    }
    let forged = server.client(Some("larder_forged")).await;
    refused(&forged.tenant("a"), Code::Unauthenticated, "not known").await;
    admitted(every_rpc(&b.tenant("b")).await);
    assert!(traces(&b, "b").await.is_empty());

    for route in ROUTES {
        let denied = server.ask(route, Some(&server.b));
        assert_eq!(denied.status, 403, "{route:?}: {}", denied.body);
        let asked = server.ask(route, None);
        assert_eq!(asked.status, 401, "{route:?}: {}", asked.body);
    }
    for route in [
        "/attributes?tenant=b&tenant=a",
        "/attributes/service.name/values?tenant=b&limit=5&tenant=a",
    ] {
        let denied = server.ask(("GET", route), Some(&server.b));
        assert_eq!(denied.status, 403, "{route}: {}", denied.body);
    }
    for route in [
        "/explain?tenant=b&tenant=a",
        "/explain?tenant=b&other=a",
        "/purge?tenant=a&tenant=b",
    ] {
        let denied = server.ask(("POST", route), Some(&server.b));
        assert_eq!(denied.status, 403, "{route}: {}", denied.body);
    }
    server.lists_values("b").await;
    for route in [
        "/attributes?tenant=b",
        "/attributes/service.name/values?tenant=b",
    ] {
        let own = server.ask(("GET", route), Some(&server.b));
        assert_eq!(own.status, 200, "{route}: {}", own.body);
        assert!(!own.body.contains(SECRET), "{route}: {}", own.body);
    }
    for route in [("POST", "/explain?tenant=b"), ("POST", "/purge?tenant=b")] {
        assert_eq!(server.ask(route, Some(&server.b)).status, 200, "{route:?}");
    }
    server.still_has_it().await;
    for route in ROUTES
        .iter()
        .filter(|(_, path)| !path.starts_with("/purge"))
    {
        assert_eq!(
            server.ask(*route, Some(&server.all)).status,
            200,
            "{route:?}"
        );
    }
}

larder_tests::with_plugins!(tokens_are_isolated: kv = Kv, memory = Memory);

/// Health, reflection and the probes need no token. Metrics are for every operator, without the names of others' tenants.
#[tokio::test]
async fn public_endpoints_reveal_no_tenants() {
    let server = TokenIsolation::new(Plugin::Memory).await;
    let owner = server.client(Some(&server.all)).await;
    let one = span([2; 16], 1).at(5);
    owner.tenant(SECRET).store([service("x").span(one)]).await;

    let anonymous = server.client(None).await.call();
    for (method, body) in [
        ("/grpc.health.v1.Health/Check", vec![]),
        // A tenant's name as a service name: 1: "secret-of-a".
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
        let reply = anonymous.stream(method, body.into()).await;
        for message in &reply.messages {
            let text = String::from_utf8_lossy(message);
            assert!(!text.contains(SECRET), "{method}: {text}");
        }
        let code = reply.end.map_or_else(|status| status.code(), |()| Code::Ok);
        // As for any unknown service.
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
        ("/metrics", Some(&*server.b)),
    ] {
        let answer = server.ask(("GET", path), token);
        let all = format!("{:?}{}", answer.headers, answer.body);
        assert!(!all.contains(SECRET), "{path}: {all}");
    }
    assert_eq!(server.ask(("GET", "/metrics"), None).status, 401);
    let tenants = server.ask(("GET", "/tenants"), Some(&server.all));
    assert!(tenants.body.contains(SECRET), "{}", tenants.body);
}
