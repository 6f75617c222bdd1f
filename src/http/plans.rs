//! The node's pipelines and rules.

use axum::Json;
use axum::extract::State;
use perennial_query::explain::explain;
use perennial_query::pipeline::{self, Compiled};
use perennial_query::rules::rule::Rule;
use serde_json::{Value, json};

use super::error::ApiError;
use super::extract::Path;
use super::model::List;
use super::{App, aside};
use crate::documents::{self, DocumentError, Kind};

/// Every pipeline, with what is wrong with it.
pub(super) async fn list(State(app): State<App>) -> Result<Json<List<Value>>, ApiError> {
    aside(move || {
        let names = documents::names(Kind::Pipelines, &app.queries.pipelines).map_err(not_found)?;
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
    let document = documents::read(Kind::Pipelines, &app.queries.pipelines, name);
    Ok(match pipeline::read(&document.map_err(not_found)?.text, catalogue) {
        Ok(compiled) => {
            let explanation = explain(&compiled, catalogue, &app.queries.bounds);
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

/// Every set of rules, with what is wrong with it.
pub(super) async fn list_rules(State(app): State<App>) -> Result<Json<List<Value>>, ApiError> {
    aside(move || {
        let names = documents::names(Kind::Rules, &app.queries.rules).map_err(not_found)?;
        let described = names.into_iter().map(|name| {
            let document = documents::read(Kind::Rules, &app.queries.rules, &name);
            Ok(match documents::read_rules(&document.map_err(not_found)?, &app.queries.catalogue) {
                Ok(read) => {
                    let rules: Vec<Value> = read.set.rules.iter().map(summary).collect();
                    json!({"name": name, "valid": true, "findings": read.warnings, "rules": rules})
                }
                Err(findings) => json!({"name": name, "valid": false, "findings": findings}),
            })
        });
        Ok(Json(described.collect::<Result<List<Value>, ApiError>>()?))
    })
    .await
}

fn summary(rule: &Rule) -> Value {
    let actions: Vec<&str> = rule.actions.iter().map(|action| action.call.tool.as_str()).collect();
    json!({
        "id": rule.id.as_str(),
        "name": rule.name,
        "description": rule.description,
        "priority": rule.priority.0,
        "enabled": rule.enabled,
        "actions": actions,
    })
}

fn not_found(error: DocumentError) -> ApiError {
    ApiError::NotFound(error.to_string())
}
