//! One suite of tests for all drivers: what [`Driver`] and [`Namespace`](crate::Namespace) promise, and nothing else.
//!
//! A driver's crate depends on this one with the feature `conformance` in its tests, implements [`Subject`], and calls
//! [`driver_tests!`](crate::driver_tests), which makes a test of each case:
//!
//! ```text
//! async fn setup() -> MySubject { .. }
//!
//! larder_store::driver_tests!(setup);
//! ```
//!
//! The cases about several hosts pass for a driver that has none, and those about restarts for one that is not durable. A partition is
//! written by one writer id only, as in the host. What a driver that is shared may learn late, as the bytes that another host has stored,
//! is waited for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "tests"
)]

use std::sync::Arc;

use crate::Driver;

#[expect(missing_docs, reason = "the name of a case says what it is")]
mod claims;
#[expect(missing_docs, reason = "the name of a case says what it is")]
mod concurrency;
#[expect(missing_docs, reason = "the name of a case says what it is")]
mod entries;
mod fixture;
#[expect(missing_docs, reason = "the name of a case says what it is")]
mod hosts;
#[expect(missing_docs, reason = "the name of a case says what it is")]
mod limits;
mod model;
#[expect(missing_docs, reason = "the name of a case says what it is")]
mod objects;
#[expect(missing_docs, reason = "the name of a case says what it is")]
mod random;
#[expect(missing_docs, reason = "the name of a case says what it is")]
mod reclaims;
#[expect(missing_docs, reason = "the name of a case says what it is")]
mod restarts;
#[expect(missing_docs, reason = "the name of a case says what it is")]
mod scans;
#[expect(missing_docs, reason = "the name of a case says what it is")]
mod space;
#[expect(missing_docs, reason = "the name of a case says what it is")]
mod tenants;
#[cfg(test)]
mod tests;

/// A driver that the cases try out, with a store of its own that is empty at first. Each case has another one.
#[async_trait::async_trait]
pub trait Subject: Send + Sync {
    /// The driver of the first host. Called once, before all else.
    async fn driver(&self) -> Arc<dyn Driver>;

    /// The driver of another host on the same store. Called once, after [`Subject::driver`]. `None` for a driver of one host.
    async fn second(&self) -> Option<Arc<dyn Driver>> {
        None
    }

    /// Ends the host of this driver, and starts it again on the same store. The case has closed the driver, and holds neither another
    /// handle of it nor a namespace. `None` for a driver that is not durable.
    async fn reopen(&self, _driver: Arc<dyn Driver>) -> Option<Arc<dyn Driver>> {
        None
    }

    /// True if what was in a reclaimed partition stays readable for longer than a case takes, as the contract wants it. False if it is
    /// gone at once.
    fn lingers(&self) -> bool {
        true
    }

    /// Number of random sequences of calls to try.
    fn random_cases(&self) -> u32 {
        32
    }
}

/// Every case, for a macro of this crate.
#[doc(hidden)]
#[macro_export]
macro_rules! each_conformance_case {
    ($then:ident $arguments:tt) => {
        $crate::$then! {
            $arguments
            claims {
                a_second_claim_fences_the_first
                claims_of_two_ids_stand_beside_each_other
                numbers_of_claims_are_unique_and_stable_and_not_0
                writers_are_listed_from_their_first_commit_until_they_retire
                a_retired_id_is_fenced_and_can_be_claimed_again
                the_id_of_a_host_that_is_alive_is_not_adopted
            }
            concurrency {
                commits_of_several_tasks_under_one_claim_are_all_kept
                a_page_has_all_of_a_commit_or_none_of_it
                nothing_is_committed_under_a_claim_after_the_next_one
                objects_put_by_several_tasks_are_all_kept
            }
            entries {
                a_commit_is_seen_by_get_and_scan
                a_get_answers_in_the_order_of_its_keys
                a_refused_commit_changes_nothing
                the_last_change_of_a_key_in_a_commit_counts
                a_delete_of_what_is_not_there_changes_nothing
                a_commit_changes_its_partition_alone
                an_empty_value_is_a_value_and_an_empty_sort_key_is_a_key
                values_are_kept_byte_for_byte
                what_is_synced_is_there
            }
            hosts {
                what_one_host_writes_the_other_reads_at_once
                a_claim_on_one_host_fences_that_of_the_other
                the_id_of_a_live_host_is_held_and_not_adopted
                a_purge_on_one_host_fences_the_other
                a_tenant_that_one_host_forgets_is_gone_on_the_other
                a_reclaim_on_one_host_is_seen_on_the_other
                tenants_of_one_host_are_listed_on_the_other
                a_quota_counts_what_the_other_host_has_stored
                hosts_have_ids_and_numbers_of_their_own
                numbers_given_on_two_hosts_at_once_are_unique
                every_host_is_listed_on_every_host
                no_commit_of_a_host_lands_after_the_claim_of_the_other
            }
            limits {
                partitions_may_have_any_name
                tenants_may_have_any_name
                sort_keys_of_1024_bytes_are_kept_apart
                objects_of_the_most_bytes_are_read_back
                a_commit_of_the_most_bytes_is_read_back
                a_commit_may_have_thousands_of_changes
                a_get_may_have_thousands_of_keys
                partitions_may_be_many
            }
            objects {
                an_existing_object_is_not_changed
                an_object_does_not_change_an_entry_of_its_key
                objects_and_entries_of_a_partition_are_seen_together
                a_commit_replaces_and_deletes_an_object
                one_put_may_write_to_many_partitions
            }
            random {
                any_sequence_of_calls_has_the_results_of_the_model
            }
            reclaims {
                a_reclaimed_partition_is_not_listed_and_its_name_is_never_used_again
                a_reclaimed_partition_lingers
                a_reclaim_can_be_repeated_and_may_come_before_the_first_write
                a_reclaim_does_not_touch_partitions_with_similar_names
            }
            restarts {
                what_was_synced_is_there_after_a_restart
                earlier_claims_are_fenced_after_a_restart
                purges_and_reclaims_are_not_undone_by_a_restart
                the_bytes_of_a_tenant_are_the_same_after_a_restart
            }
            scans {
                a_scan_keeps_to_its_range_and_direction
                sort_keys_are_ordered_by_their_bytes
                pages_continue_exactly_once_in_both_directions
                a_page_has_an_entry_if_the_range_has_one
                a_page_keeps_to_its_bytes
                deleted_entries_are_neither_seen_nor_announced
                a_range_or_partition_of_nothing_is_an_empty_page
            }
            space {
                a_tenant_over_its_quota_may_commit_and_reclaim_but_not_put
                a_quota_is_of_one_tenant_and_a_change_applies_to_open_namespaces
                stored_bytes_follow_what_is_written_and_reclaimed
                the_bytes_of_the_host_s_own_partitions_are_told_apart
                the_bytes_of_a_writer_are_its_own
            }
            tenants {
                tenants_do_not_see_each_other
                a_tenant_opened_twice_is_one_namespace
                a_renewed_namespace_is_empty_and_fences_the_old_one
                a_forgotten_tenant_is_not_listed_and_its_namespace_is_fenced
                tenants_are_listed_with_their_bytes
                a_namespace_is_current_until_it_is_renewed_or_forgotten
            }
        }
    };
}

/// Makes a test of each case of the [`conformance`](crate::conformance) suite. Takes the path of an async function without parameters that
/// returns a [`Subject`](crate::conformance::Subject). The crate needs `tokio` with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! driver_tests {
    ($setup:path) => {
        $crate::each_conformance_case! { conformance_tests ($setup) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    (($setup:path) $($module:ident { $($case:ident)* })*) => {
        $($(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::conformance::cases::$case(&$setup().await).await;
            }
        )*)*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_exports {
    (() $($module:ident { $($case:ident)* })*) => {
        $(pub use super::$module::{$($case),*};)*
    };
}

// Modules of cases are private, so that the compiler tells of a case that is not in the list.
#[doc(hidden)]
pub mod cases {
    crate::each_conformance_case! { conformance_exports () }
}
