//! Connections that end: while nothing is asked, and in the middle of a write.

use larder_plugin::testing::{batch, fragment};
use larder_plugin::{Error, Plugin as _, Search, SpanKind};

use super::common::{Store, admin};
use super::found;
use super::proxy::{Cut, Proxy};

/// Ends the connections of this name on the server, as an administrator or a restart does, and waits until they are gone.
fn terminate(name: &str) -> String {
    admin(&format!(
        "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 60000)) FROM pg_stat_activity WHERE application_name = '{name}'"
    ))
}

#[test]
fn a_connection_that_the_server_has_ended_meanwhile_is_replaced_before_it_is_used() {
    let store = Store::new().with("application_name", "ended meanwhile");
    let (mut writer, mut reader) = (store.writer(), store.reader());
    for id in 1..4 {
        writer.write(1, vec![batch([fragment(id)])]).unwrap();
        assert_eq!(found(&mut reader, &Search::all(), 10).len() as u128, id);
        assert_eq!(terminate("ended meanwhile"), "2");
    }
    assert_eq!(found(&mut writer, &Search::all(), 10).len(), 3);
}

#[test]
fn a_connection_that_was_closed_without_a_word_is_replaced_before_it_is_used() {
    let proxy = Proxy::start();
    let store = proxy.store();
    let (mut writer, mut reader) = (store.writer(), store.reader());
    for id in 1..4 {
        writer.write(1, vec![batch([fragment(id)])]).unwrap();
        assert_eq!(found(&mut reader, &Search::all(), 10).len() as u128, id);
        assert_eq!(proxy.connections() as u128, 2 * id);
        proxy.close();
    }
}

/// Whoever asked has to send it again: the plugin cannot know what came of it, and tries nothing twice.
#[test]
fn a_write_whose_answer_is_lost_is_told_as_such_and_stored_once() {
    let proxy = Proxy::start();
    let store = proxy.store();
    let mut plugin = store.writer();
    let one = |id, name: &str| vec![batch([fragment(id).operation("a", name, SpanKind::Client)])];
    plugin.write(1, one(1, "first")).unwrap();
    for (id, cut, is_stored) in [(2, Cut::BeforeCommit, false), (3, Cut::AfterCommit, true)] {
        let before = proxy.connections();
        proxy.cut(cut);
        let lost = plugin.write(1, one(id, "second"));
        assert!(
            matches!(&lost, Err(Error::Unavailable(text)) if text.contains("connects again")),
            "{cut:?}: {lost:?}"
        );
        assert_eq!(proxy.connections(), before, "{cut:?}");
        let stored = found(&mut plugin, &Search::all(), 10);
        let times = stored.iter().filter(|it| it.0 == id).count();
        assert_eq!(times, usize::from(is_stored), "{cut:?}");
        assert_eq!(proxy.connections(), before + 1, "{cut:?}");
        // What was not committed is written with the next try: its names are not taken as known.
        plugin.write(1, one(10 + id, "second")).unwrap();
        assert_eq!(plugin.operations("a").unwrap().len(), 2, "{cut:?}");
    }
    assert_eq!(found(&mut plugin, &Search::all(), 10).len(), 4);
}

#[test]
fn a_password_that_was_changed_is_unavailable_with_what_to_do_and_nothing_open_is_closed() {
    let password = std::env::var("PGPASSWORD").unwrap();
    let set = |password: &str| admin(&format!("ALTER ROLE rotated PASSWORD '{password}'"));
    admin("CREATE ROLE rotated LOGIN; GRANT CREATE ON DATABASE larder TO rotated");
    set(&password);
    let store = Store::new()
        .with("user", "rotated")
        .with("database", "larder")
        .with("schema", "rotated")
        .with("application_name", "rotated");
    let mut plugin = store.writer();
    set("another");
    plugin.write(1, vec![batch([fragment(1)])]).unwrap();
    assert_eq!(terminate("rotated"), "1");
    let refused = plugin.write(1, vec![batch([fragment(2)])]);
    let Err(Error::Unavailable(told)) = refused else {
        unreachable!("{refused:?}");
    };
    for part in ["28P01", "PGPASSWORD", "restart Larder", "rotated@"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!told.contains(&password), "{told}");
    // At a start it is an error of the configuration.
    let refused = store.try_writer();
    assert!(
        matches!(&refused, Err(Error::InvalidArgument(text)) if text.contains("restart Larder")),
        "{refused:?}"
    );
    set(&password);
    plugin.write(1, vec![batch([fragment(2)])]).unwrap();
    assert_eq!(found(&mut plugin, &Search::all(), 10).len(), 2);
}
