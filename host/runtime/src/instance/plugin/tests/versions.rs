//! Components of each version of the contract that is loaded: their calls and imports mean the same.

use super::*;
use crate::sandbox::ContractVersion;
use crate::test_support::guest::KV;

/// The rest of `kv`, which [`KV`] does not use. A list of strings that kv answers can be passed on as it is: `services` answers the
/// same type.
const MORE_KV: &str = r#"
  (import "larder:storage/kv@0.2.0" "put" (func $put (param i32 i32 i32)))
  (import "larder:storage/kv@0.2.0" "scan" (func $scan (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "larder:storage/kv@0.2.0" "reclaim" (func $reclaim (param i32 i32 i32)))
  (import "larder:storage/kv@0.2.0" "writers" (func $writers (param i32)))
  (import "larder:storage/kv@0.2.0" "partitions" (func $partitions (param i32)))
"#;

/// Its components for each version.
fn components(guest: &Guest) -> [(ContractVersion, Vec<u8>); 2] {
    [
        (ContractVersion::V0_2, guest.build()),
        (ContractVersion::V0_1, guest.build_for_0_1()),
    ]
}

/// A tenant of each version's component.
async fn open_each(guest: Guest) -> Vec<Arc<Plugin>> {
    let mut tenants = Vec::new();
    for (version, component) in components(&guest) {
        let Opened { tenant, .. } = try_open(&component, limits()).await.unwrap();
        assert_eq!(tenant.status().contract, version);
        tenants.push(tenant);
    }
    tenants
}

fn replicated() -> Guest {
    Guest::new()
        .replicated()
        .and_import(MORE_KV)
        .and(KV)
        .with("write", "(call $write)")
}

#[tokio::test]
async fn committed_data_is_read_back() {
    for tenant in open_each(replicated().with("services", "(call $find)")).await {
        assert!(services(&tenant).await.is_empty());
        tenant.write(batch(1, b"spans")).await.unwrap();
        assert_eq!(services(&tenant).await, ["guest"]);
        tenant.purge().await.unwrap();
        assert!(services(&tenant).await.is_empty());
    }
}

/// The first write commits to "p", the second gives it back.
#[tokio::test]
async fn partitions_are_listed_until_they_are_reclaimed() {
    let guest = replicated()
        .with(
            "write",
            "(if (global.get $writes)
                (then (call $reclaim (i32.const 8192) (i32.const 1) (i32.const 9100)))
                (else (drop (call $write))))
             (global.set $writes (i32.const 1))
             (select (i32.const 6144) (i32.const 4096) (i32.load8_u (i32.const 9100)))",
        )
        .with(
            "services",
            "(call $partitions (i32.const 9000)) (i32.const 9000)",
        );
    for tenant in open_each(guest).await {
        assert!(services(&tenant).await.is_empty());
        tenant.write(batch(1, b"spans")).await.unwrap();
        assert_eq!(services(&tenant).await, ["p"]);
        tenant.write(batch(1, b"spans")).await.unwrap();
        assert!(services(&tenant).await.is_empty());
    }
}

#[tokio::test]
async fn writers_that_have_committed_are_listed() {
    let writers = "(call $writers (i32.const 9000)) (i32.const 9000)";
    for tenant in open_each(replicated().with("services", writers)).await {
        assert!(services(&tenant).await.is_empty());
        tenant.write(batch(1, b"spans")).await.unwrap();
        assert_eq!(services(&tenant).await.len(), 1);
    }
}

/// Every second write deletes what the one before it put; `services` has one while a scan finds anything.
#[tokio::test]
async fn objects_are_put_scanned_and_deleted() {
    let guest = replicated()
        // One object, "k" in "p", and one change, which deletes it.
        .and(r#"(data (i32.const 8500) "\00\20\00\00\01\00\00\00\01\20\00\00\01\00\00\00\01\20\00\00\01\00\00\00")"#)
        .and(r#"(data (i32.const 8600) "\01\00\00\00\01\20\00\00\01\00\00\00")"#)
        .with(
            "write",
            "(if (global.get $writes)
                (then (call $commit (i32.const 8192) (i32.const 1) (i32.const 8600) (i32.const 1) (i32.const 9100)))
                (else (call $put (i32.const 8500) (i32.const 1) (i32.const 9100))))
             (global.set $writes (i32.eqz (global.get $writes)))
             (select (i32.const 6144) (i32.const 4096) (i32.load8_u (i32.const 9100)))",
        )
        .with(
            "services",
            "(call $scan (i32.const 8192) (i32.const 1)
                (i32.const 8193) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 1) (i32.const 10) (i32.const 1000) (i32.const 9000))
             (if (i32.load8_u (i32.const 9000)) (then (unreachable)))
             (select (i32.const 5120) (i32.const 4096) (i32.load (i32.const 9008)))",
        );
    for tenant in open_each(guest).await {
        for found in [1, 0, 1, 0] {
            tenant.write(batch(1, b"spans")).await.unwrap();
            assert_eq!(services(&tenant).await.len(), found);
        }
    }
}

#[tokio::test]
async fn a_call_that_kv_refuses_is_told_to_the_guest() {
    let guest = replicated().with("services", "(call $write)");
    for tenant in open_each(guest).await {
        let error = storage(&tenant).services().await.unwrap_err();
        assert!(error.message().contains("other: no"), "{error}");
    }
}

#[tokio::test]
async fn each_error_is_understood() {
    let errors = [
        (0, "invalid-argument: no", ErrorKind::ContractBroken),
        (1, "resource-exhausted: no", ErrorKind::ResourceExhausted),
        (2, "unavailable: no", ErrorKind::Unavailable),
        (3, "data-loss: no", ErrorKind::DataLoss),
        (4, "other: no", ErrorKind::ContractBroken),
    ];
    for (case, text, kind) in errors {
        let body = format!("(i32.store8 (i32.const 6148) (i32.const {case})) {OTHER}");
        for tenant in open_each(Guest::new().with("services", &body)).await {
            let error = storage(&tenant).services().await.unwrap_err();
            assert!(error.message().contains(text), "{error}");
            assert_eq!(error.kind(), kind);
        }
    }
}

#[tokio::test]
async fn each_count_and_kind_is_understood() {
    // Seven numbers; and one operation of each kind, of the service and the name "guest".
    let counts: Vec<_> = (1..=7)
        .map(|n| format!("\\0{n}\\00\\00\\00\\00\\00\\00\\00"))
        .collect();
    let operations: Vec<_> = (0..6)
        .map(|kind| {
            format!("\\00\\08\\00\\00\\05\\00\\00\\00\\00\\08\\00\\00\\05\\00\\00\\00\\0{kind}\\00\\00\\00")
        })
        .collect();
    let (counts, operations) = (counts.concat(), operations.concat());
    let guest = Guest::new()
        .and(&format!("(data (i32.const 7200) \"{counts}\")"))
        .and(&format!("(data (i32.const 7400) \"{operations}\")"))
        .and(r#"(data (i32.const 7300) "\00\00\00\00\e8\1c\00\00\06\00\00\00")"#)
        .with("statistics", "(i32.const 7200)")
        .with("operations", "(i32.const 7300)");
    for tenant in open_each(guest).await {
        while tenant.status().statistics.traces == 0 {
            tokio::task::yield_now().await;
        }
        let told = tenant.status().statistics;
        let counts = [
            told.traces,
            told.spans,
            told.bytes,
            told.evicted_traces,
            told.evicted_spans,
            told.expired_traces,
            told.expired_spans,
        ];
        assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7]);
        let operations = storage(&tenant).operations("guest").await.unwrap();
        let kinds = operations.iter().map(|operation| operation.kind as u8);
        assert_eq!(kinds.collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert!(operations.iter().all(|it| it.name == "guest"));
    }
}

#[tokio::test]
async fn a_writer_is_told_its_number() {
    let open = "(if (i32.and (i32.eqz (local.get 0)) (i32.eqz (local.get 3))) (then (unreachable)))
        (i32.const 4096)";
    let guest = Guest::new().with("open", open);
    try_open(&guest.build(), limits()).await.unwrap();
}

/// The counters show the sizes: of the tenant as traces, of the writer as spans; and the memory in use as bytes.
#[tokio::test]
async fn upkeep_is_told_the_sizes_and_the_memory() {
    const STATISTICS: &str = "(i64.store (i32.const 7200) (global.get $tenant))
        (i64.store (i32.const 7208) (global.get $own))
        (i64.store (i32.const 7216) (global.get $memory)) (i32.const 7200)";
    let globals = ["tenant", "own", "memory"];
    let globals = globals.map(|it| format!("(global ${it} (mut i64) (i64.const 0))"));
    let guest = replicated()
        .and(&globals.concat())
        .with("statistics", STATISTICS);
    let older = "(global.set $tenant (local.get 1)) (i32.const 4096)";
    let older = guest.with("maintain", older);
    let before = older.build_for_0_1();
    let all = "(global.set $tenant (local.get 2)) (global.set $own (local.get 3))
        (global.set $memory (local.get 1)) (i32.const 4096)";
    let now = older.with("maintain", all).build();
    for (component, is_told_its_own) in [(before, false), (now, true)] {
        let limits = Limits {
            maintain_every: Duration::from_millis(1),
            ..limits()
        };
        let Opened { tenant, .. } = try_open(&component, limits).await.unwrap();
        tenant.write(batch(1, b"spans")).await.unwrap();
        while tenant.status().statistics.traces == 0 {
            tokio::task::yield_now().await;
        }
        let told = tenant.status().statistics;
        assert_eq!(told.traces, tenant.stored_bytes());
        assert_eq!(told.spans, if is_told_its_own { told.traces } else { 0 });
        // Two pages, and what its tables take.
        let memory = (2 << 16)..(3 << 16);
        assert_eq!(memory.contains(&told.bytes), is_told_its_own, "{told:?}");
    }
}

#[tokio::test]
async fn a_writer_may_be_retired_if_it_says_so() {
    let yes = "(i32.store8 (i32.const 7172) (i32.const 1)) (i32.const 7168)";
    for (retire, says) in [(yes, true), ("(i32.const 4096)", false)] {
        for tenant in open_each(replicated().with("retire", retire)).await {
            let component = tenant.starter.component();
            let mut writer = tenant.starter.writer(&component).await.unwrap();
            let is_asked = tenant.status().contract == ContractVersion::V0_2;
            assert_eq!(writer.retire().await.unwrap(), Ok(says && is_asked));
        }
    }
}
