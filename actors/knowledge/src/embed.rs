//! What turns texts into vectors.

mod endpoint;
mod hashed;

use futures::future::BoxFuture;
use perennial_query::tool::ToolError;

pub use endpoint::{Endpoint, EndpointConfig, EndpointError};
pub use hashed::HashedNgrams;

/// Turns texts into vectors, so that texts that are alike have vectors that point alike.
pub trait Embedder: Send + Sync + 'static {
    /// Names it. Vectors are kept under this name and never compared with those of another, so two embedders
    /// of one name must give the same vectors.
    fn name(&self) -> &str;

    /// The vectors of `texts`, in their order and all of one length. Dropped at the caller's timeout.
    fn embed<'a>(&'a self, texts: &'a [String]) -> BoxFuture<'a, Result<Vec<Vec<f32>>, ToolError>>;
}

/// Scales a vector to length 1. One that has none, or a value that is no number, becomes all zero: it is like
/// nothing.
pub(crate) fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    let usable = length.is_finite() && length > 0.0;
    vector.iter_mut().for_each(|value| *value = if usable { *value / length } else { 0.0 });
}
