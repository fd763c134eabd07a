//! `POST /reload`: authorization and answers.

use larder_runtime::tenants::{NotReplaced, Reloaded};

use super::*;
use crate::reload::{NeedsRestart, Outcome, PluginChange, Refused, Report};

/// `purged` records the callers; `failure` is the error of the reload.
#[async_trait::async_trait]
impl Reloads for FakeBackend {
    async fn reload(&self, by: &str) -> Result<Report, Refused> {
        self.purged.lock().unwrap().push(by.to_owned());
        match self.failure {
            Some(ErrorKind::Internal) => Err(Refused("unknown config key `x`".to_owned())),
            failure => Ok(report(failure.is_some())),
        }
    }
}

fn report(failed: bool) -> Report {
    let failed = failed.then(|| NotReplaced {
        tenant: "a".parse().unwrap(),
        reason: "it trapped".to_owned(),
    });
    Report {
        outcome: Outcome::Partial,
        taken: vec!["limits.memory".to_owned()],
        files: vec!["grpc.tls"],
        needs_restart: vec![NeedsRestart {
            setting: "data_dir".to_owned(),
            reason: "why".to_owned(),
        }],
        plugin: PluginChange {
            was: "x 1".to_owned(),
            is: "x 2".to_owned(),
        },
        tenants: Reloaded {
            failed: failed.into_iter().collect(),
            ..Reloaded::default()
        },
    }
}

#[tokio::test]
async fn a_reload_answers_what_came_of_it_in_json() {
    let admin = TestAdmin::new(None);
    let answer = admin.send(Method::POST, "/reload").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let report: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(report["outcome"], "partial");
    assert_eq!(report["taken"][0], "limits.memory");
    assert_eq!(report["files"][0], "grpc.tls");
    assert_eq!(report["needs_restart"][0]["setting"], "data_dir");
    assert_eq!(report["plugin"]["is"], "x 2");
    assert_eq!(
        *admin.plugin.purged.lock().unwrap(),
        ["POST /reload, token -"]
    );
}

#[tokio::test]
async fn a_tenant_that_goes_on_as_it_was_is_a_conflict() {
    let admin = TestAdmin::new(Some(ErrorKind::Unavailable));
    let answer = admin.send(Method::POST, "/reload").await;
    assert_eq!(answer.status, 409, "{}", answer.body);
    let report: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(report["tenants"]["failed"][0]["tenant"], "a");
    assert_eq!(report["tenants"]["failed"][0]["reason"], "it trapped");
}

#[tokio::test]
async fn an_unusable_configuration_is_answered_with_its_error() {
    let admin = TestAdmin::new(Some(ErrorKind::Internal));
    let answer = admin.send(Method::POST, "/reload").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (422, "nothing has changed: unknown config key `x`\n")
    );
}

#[tokio::test]
async fn a_reload_is_of_the_whole_server_and_by_post() {
    let admin = TestAdmin::new(None);
    let answer = admin.send(Method::POST, "/reload?tenant=a").await;
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert_eq!(admin.get("/reload").await.status, 405);
    assert!(admin.plugin.purged.lock().unwrap().is_empty());
}
