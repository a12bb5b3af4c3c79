//! What `cargo xtask checks` asks of the tree, asked by the tests too.

use e2e::root;

#[test]
fn the_tree_is_tidy() {
    let found = xtask::tidy::findings(&root()).expect("the tree can be read");
    assert!(found.is_empty(), "untidy:\n{}", found.join("\n"));
}
