//! Bearer tokens: each right against each RPC and route.

use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;
use larder_tests::http::{self, Response};
use larder_tests::{Call, Home, Larder, Options, Plugin, Tokens, eventually, method, token};
use tonic::Code;

const READS: [&str; 9] = [
    method::GET_TRACES,
    method::GET_SERVICES,
    method::GET_OPERATIONS,
    method::FIND_TRACES,
    method::FIND_TRACE_IDS,
    method::FIND_TRACE_SUMMARIES,
    method::FIND_SPANS,
    method::GET_DEPENDENCIES,
    method::GET_CAPABILITIES,
];

/// Starts a server with the tokens of these lines.
fn start(home: &Home, lines: &[&str]) -> Larder {
    Options::new(Plugin::Memory)
        .purge()
        .writer_port()
        .tokens(&Tokens::new(home, lines))
        .environment("LARDER_LOG", "larder=trace")
        .start_in(home)
}

/// Returns the code of a call. For some reads an empty request is malformed; that answer shows that the call was authorized.
async fn code(call: &Call, method: &'static str) -> Code {
    let reply = call.stream(method, Bytes::new()).await;
    match reply.end.map_or_else(|status| status.code(), |()| Code::Ok) {
        Code::InvalidArgument => Code::Ok,
        code => code,
    }
}

fn ask(larder: &Larder, method: &str, path: &str, token: Option<&str>) -> Response {
    http::request(larder.admin(), (method, path), token, "{}")
}

#[tokio::test]
async fn each_right_opens_its_calls_and_no_other() {
    let home = Home::new();
    let (read, read_line) = token("reader", None, "read");
    let (write, write_line) = token("writer", Some("default"), "write");
    let (admin, admin_line) = token("operator", None, "admin");
    let (foreign, foreign_line) = token("foreign", Some("other"), "read");
    let larder = start(
        &home,
        &[&read_line, &write_line, &admin_line, &foreign_line],
    );
    let anonymous = larder.client().await;
    let client = |token: &str| anonymous.token(token).call();
    let plain = anonymous.call();

    for method in READS {
        assert_eq!(code(&client(&read), method).await, Code::Ok, "{method}");
        let forwarded = plain.clone().header("bearer.token", &read);
        assert_eq!(code(&forwarded, method).await, Code::Ok, "{method}");
        for denied in [&write, &admin, &foreign] {
            let code = code(&client(denied), method).await;
            assert_eq!(code, Code::PermissionDenied, "{method}");
        }
    }
    let writer = larder_tests::Client::connect(larder.writer()).await.call();
    for port in [plain.clone(), writer] {
        let with = |token: &str| port.clone().header("bearer.token", token);
        assert_eq!(code(&with(&write), method::EXPORT).await, Code::Ok);
        for denied in [&read, &admin, &foreign] {
            let code = code(&with(denied), method::EXPORT).await;
            assert_eq!(code, Code::PermissionDenied);
        }
        assert_eq!(code(&port, method::EXPORT).await, Code::Unauthenticated);
    }
    for method in READS.into_iter().chain([method::EXPORT]) {
        for refused in [plain.clone(), client("larder_wrong"), client(&read_line)] {
            let code = code(&refused, method).await;
            assert_eq!(code, Code::Unauthenticated, "{method}");
        }
    }

    for (method, path) in [
        ("GET", "/metrics"),
        ("GET", "/plugin"),
        ("POST", "/explain"),
        ("POST", "/purge"),
    ] {
        let answer = ask(&larder, method, path, Some(&admin));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        for denied in [&read, &write, &foreign] {
            let denied = ask(&larder, method, path, Some(denied));
            assert_eq!(denied.status, 403, "{path}");
        }
        for refused in [None, Some("larder_wrong")] {
            let answer = ask(&larder, method, path, refused);
            assert_eq!(answer.status, 401, "{path}");
            let asks = answer.header("www-authenticate").unwrap_or_default();
            assert!(asks.starts_with("Bearer"), "{answer:?}");
        }
    }
    eventually("listed values", async || {
        let answer = ask(&larder, "GET", "/attributes", Some(&read));
        (answer.status == 200).then_some(())
    })
    .await;
    for path in ["/attributes", "/attributes/service.name/values"] {
        let answer = ask(&larder, "GET", path, Some(&read));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        for denied in [&admin, &write, &foreign] {
            let denied = ask(&larder, "GET", path, Some(denied));
            assert_eq!(denied.status, 403, "{path}");
        }
        assert_eq!(ask(&larder, "GET", path, None).status, 401, "{path}");
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(ask(&larder, "GET", path, None).status, 200, "{path}");
    }
    assert_eq!(code(&plain, "/grpc.health.v1.Health/Check").await, Code::Ok);

    let line = larder.line("purged:");
    assert!(line.contains("operator"), "{line}");
    for secret in [&read, &write, &admin, &foreign, "larder_wrong"] {
        let lines = larder.lines();
        assert!(!lines.iter().any(|line| line.contains(secret)), "{lines:?}");
    }
}

#[tokio::test]
async fn a_purge_needs_a_token_of_the_purged_tenant() {
    let home = Home::new();
    let (admin, line) = token("operator of another", Some("other"), "admin");
    let larder = start(&home, &[&line]);
    let told = ask(&larder, "GET", "/metrics", Some(&admin));
    assert_eq!(told.status, 200);
    let told = ask(&larder, "POST", "/purge", Some(&admin));
    assert_eq!(told.status, 403);
    assert!(told.body.contains("not for tenant"), "{told:?}");
}

#[test]
fn a_wrong_token_file_is_named_and_not_shown() {
    let home = Home::new();
    let exit = Options::new(Plugin::Memory)
        .tokens(&Tokens::new(&home, &["- larder_secret"]))
        .run_in(&home);
    assert!(!exit.status.success());
    for says in ["`access.tokens`", "tokens.yaml", "line 1", "larder token"] {
        assert!(exit.stderr.contains(says), "{says} in {}", exit.stderr);
    }
    assert!(!exit.stderr.contains("larder_secret"), "{}", exit.stderr);
}

/// Shells append stdout to a file; the secret must not go there, and a second token must not spoil the file.
#[tokio::test]
async fn entries_of_new_tokens_are_appended_to_a_file_without_their_secrets() {
    let home = Home::new();
    let file = home.path().join("tokens.yaml");
    let path = file.to_str().unwrap();
    let make = |arguments: &[&str]| {
        let command = Options::bare().without_port_flags().arguments(["token"]);
        command.arguments(arguments.iter().copied()).run()
    };
    let secret = |exit: &larder_tests::Exit| {
        assert!(exit.status.success(), "{exit:?}");
        let lines: Vec<&str> = exit.stderr.lines().collect();
        assert!(
            matches!(lines[..], [token] if token.starts_with("larder_")),
            "{exit:?}"
        );
        lines[0].to_owned()
    };
    // `larder token >> tokens.yaml`, twice.
    let printed = [make(&[]), make(&[])];
    let mut secrets: Vec<String> = printed.iter().map(secret).collect();
    let text = printed.map(|exit| exit.stdout).join("\n");
    std::fs::write(&file, text).unwrap();
    // The last line has no end of line yet.
    let appended = make(&["--name", "third", "--append", path]);
    assert_eq!(appended.stdout, "");
    secrets.push(secret(&appended));

    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(
        !secrets.iter().any(|secret| text.contains(secret)),
        "{text}"
    );
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_ACCESS_TOKENS", path)
        .start_in(&home);
    for secret in &secrets {
        let client = larder.client().await.token(secret);
        assert!(client.services().await.is_ok());
    }

    // A name that stands there, and a file that is no list, are refused, and nothing is written.
    let again = make(&["--name", "third", "--append", path]);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert!(
        again.error().contains("\"third\" stands twice"),
        "{again:?}"
    );
    assert!(!again.stderr.contains("larder_"), "{again:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);

    // A file that does not exist is made for its owner alone; a list without an entry gets its first.
    for (name, old) in [("new.yaml", None), ("empty.yaml", Some("[]\n"))] {
        let file = home.path().join(name);
        if let Some(old) = old {
            std::fs::write(&file, old).unwrap();
        }
        secret(&make(&["--append", file.to_str().unwrap()]));
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("- { name: \"token-"), "{text}");
        if old.is_none() {
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{mode:o}");
        }
    }
}

/// No call could have such a tenant, so the token would open nothing.
#[test]
fn a_token_is_made_for_no_tenant_that_a_server_refuses() {
    let home = Home::new();
    let file = home.path().join("tokens.yaml").display().to_string();
    for name in ["../x", "a b", "*", "-a", &"a".repeat(64)] {
        let tenant = format!("--tenant={name}");
        let command = Options::bare().without_port_flags();
        let exit = command
            .arguments(["token", &tenant, "--append", &file])
            .run();
        assert_eq!(exit.status.code(), Some(2), "{name:?}: {exit:?}");
        let told = "a tenant's name is 1 to 63 of ASCII letters, digits";
        assert!(exit.stderr.contains(told), "{name:?}: {exit:?}");
        assert!(!exit.stderr.contains("larder_"), "{exit:?}");
    }
    assert!(!home.path().join("tokens.yaml").exists());
}

/// A pipe without a writer would be read for ever.
#[test]
fn an_entry_is_appended_to_nothing_but_a_regular_file() {
    let home = Home::new();
    let pipe = home.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let folder = home.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    for path in [
        pipe.as_path(),
        folder.as_path(),
        std::path::Path::new("/dev/null"),
    ] {
        let command = Options::bare().without_port_flags();
        let command = command.arguments(["token", "--append"]).arguments([path]);
        let exit = command.run();
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        let told = format!(
            "cannot append to `{}`: it is no regular file",
            path.display()
        );
        assert!(exit.error().contains(&told), "{exit:?}");
        assert!(!exit.stderr.contains("larder_"), "{exit:?}");
    }
}

#[tokio::test]
async fn a_scrapers_token_reads_metrics_and_nothing_else() {
    let home = Home::new();
    let (scraper, line) = token("prometheus", None, "metrics");
    let larder = start(&home, &[&line]);
    let told = ask(&larder, "GET", "/metrics", Some(&scraper));
    assert_eq!(told.status, 200, "{told:?}");
    for (verb, path) in [
        ("GET", "/plugin"),
        ("GET", "/tenants"),
        ("POST", "/explain"),
        ("POST", "/purge"),
        ("POST", "/reload"),
        ("POST", "/snapshot?to=s"),
        ("GET", "/attributes"),
    ] {
        let told = ask(&larder, verb, path, Some(&scraper));
        assert_eq!(told.status, 403, "{path}: {told:?}");
    }
    let client = larder.client().await.token(&scraper);
    for method in READS.into_iter().chain([method::EXPORT]) {
        let refused = code(&client.call(), method).await;
        assert_eq!(refused, Code::PermissionDenied, "{method}");
    }
}

/// Guesses do not fill the log.
#[tokio::test]
async fn refused_logins_are_counted_and_some_of_them_logged() {
    let home = Home::new();
    let (read, line) = token("reader", None, "read");
    let (admin, operator) = token("operator", None, "admin");
    let larder = start(&home, &[&line, &operator]);
    let guess = larder.client().await.token("larder_guess");
    for _ in 0..50 {
        let refused = guess.services().await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    assert_eq!(
        ask(&larder, "GET", "/metrics", Some("larder_guess")).status,
        401
    );
    assert_eq!(ask(&larder, "POST", "/reload", Some(&read)).status, 403);
    let metrics = ask(&larder, "GET", "/metrics", Some(&admin)).body;
    let refused = |reason: &str| {
        let labels = [format!("reason=\"{reason}\"")];
        http::count(&metrics, "larder_access_refusals_total", &[&labels[0]])
    };
    assert_eq!(refused("unauthenticated"), 51);
    assert_eq!(refused("permission_denied"), 1);
    let line = larder.line("a call is refused");
    for part in [
        "TraceReader/GetServices",
        "\"peer\":\"127.0.0.1:",
        "is not known",
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    let lines = larder.lines();
    let logged = lines
        .iter()
        .filter(|line| line.contains("a call is refused"));
    assert!(logged.count() <= 20, "{lines:?}");
    assert!(!lines.concat().contains("larder_guess"));
}
