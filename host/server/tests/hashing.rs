//! Maps with keys that a client chooses have hashes with a random key, so that the client cannot compute collisions. `.clippy.toml`
//! forbids hashers without one.

use std::hash::BuildHasher as _;

/// The default hashers of `HashMap`, of `hashbrown` and of the tables of a request.
#[test]
fn each_map_has_a_key_of_its_own() {
    let (one, other) = <(hashbrown::DefaultHashBuilder, hashbrown::DefaultHashBuilder)>::default();
    assert_ne!(one.hash_one("a name"), other.hash_one("a name"));
    let (one, other) = <(std::hash::RandomState, std::hash::RandomState)>::default();
    assert_ne!(one.hash_one("a name"), other.hash_one("a name"));
}
