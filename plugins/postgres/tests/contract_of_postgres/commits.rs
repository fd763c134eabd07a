//! Transactions: those that others stand in the way of, and what a commit promises.

use larder_plugin::testing::{batch, fragment};
use larder_plugin::{Error, Plugin as _, Search};

use super::common::{Store, admin};
use super::found;

/// Has the first transactions that write fail so, and counts all. Returns how to read that count.
fn stand_in_the_way(store: &Store, failures: u32, code: &str) -> impl Fn() -> String {
    let schema = store.tables();
    let number = admin(&format!("SELECT number FROM {schema}.partitions"));
    admin(&format!(
        "CREATE SEQUENCE {schema}.tries;
         CREATE FUNCTION {schema}.stand() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
             IF nextval('{schema}.tries') <= {failures} THEN
                 RAISE EXCEPTION 'another stands in the way' USING ERRCODE = '{code}';
             END IF;
             RETURN NULL;
         END $$;
         CREATE TRIGGER stand BEFORE INSERT ON {schema}.fragments_{number} EXECUTE FUNCTION {schema}.stand()"
    ));
    move || admin(&format!("SELECT last_value FROM {schema}.tries"))
}

#[test]
fn a_transaction_that_another_stood_in_the_way_of_is_run_again_and_stored_once() {
    // deadlock_detected, serialization_failure
    for code in ["40P01", "40001"] {
        let store = Store::new();
        let mut plugin = store.writer();
        plugin.write(1, vec![batch([fragment(1)])]).unwrap();
        let tries = stand_in_the_way(&store, 2, code);
        plugin.write(1, vec![batch([fragment(2)])]).unwrap();
        assert_eq!(tries(), "3");
        assert_eq!(found(&mut plugin, &Search::all(), 10).len(), 2);
    }
}

#[test]
fn after_three_tries_clients_are_told_to_send_it_again() {
    let store = Store::new();
    let mut plugin = store.writer();
    plugin.write(1, vec![batch([fragment(1)])]).unwrap();
    let tries = stand_in_the_way(&store, 3, "40P01");
    let failed = plugin.write(1, vec![batch([fragment(2)])]);
    assert!(
        matches!(&failed, Err(Error::Unavailable(text)) if text.contains("40P01")),
        "{failed:?}"
    );
    assert_eq!(tries(), "3");
    assert_eq!(found(&mut plugin, &Search::all(), 10).len(), 1);
    plugin.write(1, vec![batch([fragment(2)])]).unwrap();
    assert_eq!(found(&mut plugin, &Search::all(), 10).len(), 2);
}

#[test]
fn an_error_that_is_no_conflict_is_not_tried_again() {
    let store = Store::new();
    let mut plugin = store.writer();
    plugin.write(1, vec![batch([fragment(1)])]).unwrap();
    // disk_full
    let tries = stand_in_the_way(&store, 1, "53100");
    let failed = plugin.write(1, vec![batch([fragment(2)])]);
    assert!(
        matches!(failed, Err(Error::ResourceExhausted(_))),
        "{failed:?}"
    );
    assert_eq!(tries(), "1");
}

/// `crash_of_postgres` kills a server that has such a role; this looks at each transaction.
#[test]
fn a_role_whose_commits_may_be_lost_commits_durably_and_other_values_stay() {
    let password = std::env::var("PGPASSWORD").unwrap();
    admin(&format!(
        "CREATE ROLE hasty LOGIN PASSWORD '{password}'; GRANT CREATE ON DATABASE larder TO hasty"
    ));
    for (set, used) in [("off", "on"), ("local", "local"), ("on", "on")] {
        admin(&format!("ALTER ROLE hasty SET synchronous_commit = {set}"));
        let store = Store::new()
            .with("user", "hasty")
            .with("database", "larder")
            .with("schema", "hasty");
        let mut plugin = store.writer();
        plugin.write(1, vec![batch([fragment(1)])]).unwrap();
        let schema = store.tables();
        let number = admin(&format!("SELECT number FROM {schema}.partitions"));
        admin(&format!(
            "CREATE TABLE IF NOT EXISTS public.commits (tenant text, operation text, used text);
             CREATE OR REPLACE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
                 INSERT INTO public.commits VALUES (TG_ARGV[0], TG_OP, current_setting('synchronous_commit'));
                 RETURN NULL;
             END $$;
             CREATE TRIGGER note BEFORE INSERT ON {schema}.fragments_{number} EXECUTE FUNCTION public.note('{tenant}');
             CREATE OR REPLACE TRIGGER note BEFORE DELETE ON hasty.tenants EXECUTE FUNCTION public.note('{tenant}')",
            tenant = store.tenant
        ));
        plugin.write(1, vec![batch([fragment(2)])]).unwrap();
        plugin.purge().unwrap();
        let noted = admin(&format!(
            "SELECT string_agg(operation || ' ' || used, ', ' ORDER BY operation) FROM public.commits WHERE tenant = '{}'",
            store.tenant
        ));
        assert_eq!(noted, format!("DELETE {used}, INSERT {used}"), "{set}");
    }
}
