//! What a service does by itself with what is stored in it.

/// The rules of a bucket by which objects go, or cannot go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovalRules {
    /// The names of the bucket's own lifecycle rules that remove objects of the repository.
    pub removing: Vec<String>,
    /// Whether the bucket can lock objects.
    pub lockable: bool,
}
