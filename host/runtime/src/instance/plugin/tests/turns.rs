//! Instances compute within turns of their tenant.

use larder_core::fair::Scheduler;
use tokio::task::yield_now;

use super::*;
use crate::test_support::guest::KV;

#[tokio::test]
async fn reads_and_writes_wait_for_turns_of_their_tenant() {
    let exclusive = Guest::new().with("services", ONE_SERVICE);
    let replicated = Guest::new().replicated().and(KV);
    for guest in [exclusive, replicated.with("services", ONE_SERVICE)] {
        let config = RuntimeConfig {
            scheduler: Arc::new(Scheduler::new(1, 1)),
            ..RuntimeConfig::default()
        };
        let opened = try_open_on(&config, &guest.build(), limits()).await;
        let tenant = opened.unwrap().tenant;
        let held = config.scheduler.lane(DEFAULT_TENANT).turn().await;
        let writes = Arc::clone(&tenant);
        let write = tokio::spawn(async move { writes.write(batch(1, b"spans")).await });
        let reads = Arc::clone(&tenant);
        let read = tokio::spawn(async move { storage(&reads).services().await });
        // All of it is on this one thread: what could go on would have.
        for _ in 0..1000 {
            yield_now().await;
        }
        assert!(!write.is_finished() && !read.is_finished());
        drop(held);
        write.await.unwrap().unwrap();
        assert_eq!(read.await.unwrap().unwrap(), ["guest"]);
    }
}
