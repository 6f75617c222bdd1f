//! The node's pipelines.

use axum::Json;
use axum::extract::{Path, State};
use perennial_query::explain::explain;
use perennial_query::pipeline::{self, Compiled};
use serde_json::{Value, json};

use super::error::ApiError;
use super::model::List;
use super::{App, aside};
use crate::pipelines;

/// Every pipeline, with what is wrong with it.
pub(super) async fn list(State(app): State<App>) -> Result<Json<List<Value>>, ApiError> {
    aside(move || {
        let names = pipelines::names(&app.queries.pipelines).map_err(not_found)?;
        let described = names.into_iter().map(|name| describe(&app, &name));
        Ok(Json(described.collect::<Result<List<Value>, ApiError>>()?))
    })
    .await
}

/// One pipeline, and what it will do.
pub(super) async fn show(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    aside(move || Ok(Json(describe(&app, &name)?))).await
}

fn describe(app: &App, name: &str) -> Result<Value, ApiError> {
    let catalogue = &app.queries.catalogue;
    let text = pipelines::text(&app.queries.pipelines, name).map_err(not_found)?;
    Ok(match pipeline::read(&text, catalogue) {
        Ok(compiled) => {
            let explanation = explain(&compiled, catalogue);
            let Compiled { warnings, version, .. } = compiled;
            json!({
                "name": name,
                "valid": true,
                "version": version,
                "findings": warnings,
                "plan": explanation,
            })
        }
        Err(findings) => json!({"name": name, "valid": false, "findings": findings}),
    })
}

fn not_found(error: pipelines::PipelineError) -> ApiError {
    ApiError::NotFound(error.to_string())
}
