#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use tokio::net::TcpListener;

use super::*;
use crate::config::{Endpoint, Sources};

fn config(data_dir: &Path) -> Config {
    let mut config = Config {
        data_dir: data_dir.to_owned(),
        ..Config::default()
    };
    config.grpc.endpoint = Endpoint::loopback(0);
    config.admin.endpoint = Endpoint::loopback(0);
    config
}

async fn refused(config: Config) -> Error {
    match StartingServer::bind(config, Sources::default()).await {
        Ok(_) => panic!("the server must not start"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_setting() {
    let data = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let mut config = config(data.path());
    config.admin.endpoint = Endpoint::loopback(address.port());
    let error = refused(config).await.to_string();
    assert!(error.contains(&address.to_string()), "{error}");
    assert!(error.contains("`admin.endpoint`"), "{error}");
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_made_is_named() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("file");
    fs::write(&file, "").unwrap();
    let error = refused(config(&file.join("data"))).await;
    assert!(matches!(error, Error::DataDir { .. }), "{error:?}");
    let error = error.to_string();
    assert!(
        error.contains("file/data") && error.contains("`data_dir`"),
        "{error}"
    );
}

#[tokio::test]
async fn an_unknown_plugin_is_refused_before_anything_is_served() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config(data.path());
    config.plugin.r#use = "memroy".to_owned();
    assert!(matches!(refused(config).await, Error::Plugin(_)));
}

#[test]
fn the_data_directory_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("larder-data");
    make_data_dir(&path).unwrap();
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}
