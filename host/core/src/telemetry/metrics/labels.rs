//! The label sets of series.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
#[expect(clippy::struct_field_names, reason = "the labels of OpenTelemetry")]
pub(super) struct RpcLabels {
    pub(super) rpc_system_name: &'static str,
    pub(super) rpc_method: String,
    pub(super) rpc_response_status_code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabels {
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ListLabels {
    pub(super) list: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SettingLabels {
    pub(super) setting: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ErrorLabels {
    pub(super) tenant: Arc<str>,
    pub(super) plugin: Arc<str>,
    pub(super) error_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeLabels {
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RuleLabels {
    pub(super) tenant: Arc<str>,
    pub(super) plugin: Arc<str>,
    pub(super) rule: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ConnectionLabels {
    pub(super) tenant: Arc<str>,
    pub(super) plugin: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RefusedLabels {
    pub(super) tenant: Arc<str>,
    pub(super) plugin: Arc<str>,
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DirectionLabels {
    pub(super) tenant: Arc<str>,
    pub(super) plugin: Arc<str>,
    pub(super) network_io_direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TenantLabels {
    pub(super) tenant: Arc<str>,
}

/// Labels of a series about one tenant's plugin. Such series exist only for tenants whose plugin has failed, or was granted
/// connections or refused them, so the maximum number of
/// tenants bounds them until an operator purges tenants and new ones come.
#[derive(Clone, Debug)]
pub struct PluginLabels {
    /// The name of the tenant.
    pub tenant: Arc<str>,
    /// The plugin's own name.
    pub plugin: Arc<str>,
}
