//! What follows the writes of each tenant: the calls that are kept of its traces, and the dictionary of its values.

use std::sync::Arc;

use larder_core::observers::{Forgotten, Several};
use larder_dictionary::Keeper;
use larder_model::dictionary::{Bounds, Dictionaries};
use larder_model::storage::Observers;

use super::graphs::KeptGraphs;

/// The observers of all tenants. The dictionaries of those that are open are in `dictionaries`, also while nothing is listed: what was listed
/// before is searched for.
pub(super) fn observers(
    graphs: Option<&KeptGraphs>,
    dictionaries: &Dictionaries,
) -> Arc<dyn Observers> {
    let graphs = graphs.map_or_else(
        || Arc::new(Forgotten) as Arc<dyn Observers>,
        KeptGraphs::observers,
    );
    let keeper = Keeper::new(dictionaries.clone(), Bounds::default());
    Arc::new(Several(vec![
        ("graph/", graphs),
        ("dictionary/", Arc::new(keeper)),
    ]))
}
