//! The actor tree.

use axum::Json;
use axum::extract::State;

use super::App;
use super::model::TreeNode;

pub(super) async fn show(State(app): State<App>) -> Json<TreeNode> {
    Json(app.runtime.tree().into())
}
