#![allow(clippy::indexing_slicing, reason = "tests")]

use larder_model::storage::TraceId;

use super::{v0_1, v0_2};
use crate::test_support::batch;

const TRACE: u128 = 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10;

/// Runs the block once for each version, with the version's `BatchLists`.
macro_rules! for_each_version {
    ($lists:ident => $block:block) => {{
        {
            use v0_1::BatchLists as $lists;
            $block
        }
        {
            use v0_2::BatchLists as $lists;
            $block
        }
    }};
}

#[test]
fn large_lists_are_lent_as_they_are() {
    let batch = batch(TRACE, b"spans");
    for_each_version!(BatchLists => {
        let lists = BatchLists::new(&batch);
        let lent = lists.batch();
        assert_eq!(lent.otlp.as_ptr(), batch.otlp().as_ptr());
        assert_eq!(lent.terms.as_ptr(), batch.terms().as_ptr());
        assert_eq!(lent.digests.as_ptr(), batch.digests().as_ptr());
        assert_eq!(lent.services, ["service"]);
        assert_eq!(lent.fragments[0].otlp_end, 5);
    });
}

#[test]
fn operations_have_their_names() {
    let batch = batch(TRACE, b"spans");
    let lists = v0_1::BatchLists::new(&batch);
    let lent = lists.batch();
    assert_eq!((lent.names, lent.operations[0].name_end), ("name", 4));
    let lists = v0_2::BatchLists::new(&batch);
    assert_eq!(lists.batch().operations[0].name, "name");
}

#[test]
fn a_trace_id_comes_back_as_it_went() {
    let batch = batch(TRACE, b"spans");
    for_each_version!(BatchLists => {
        let lists = BatchLists::new(&batch);
        let id = lists.batch().fragments[0].trace_id;
        assert_eq!(id.high, 0x0102_0304_0506_0708);
        assert_eq!(id.low, 0x090a_0b0c_0d0e_0f10);
        assert_eq!(TraceId::from(id), TraceId(TRACE));
    });
}
