//! The metrics, with what is a state rather than an event looked up now.

use std::ops::ControlFlow;

use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use perennial_healing::alert::INCIDENTS;
use perennial_healing::monitor::CONTAINERS;

use super::error::ApiError;
use super::model::label_of;
use super::{App, aside};
use crate::metrics::Levels;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn show(
    State(app): State<App>,
) -> Result<([(HeaderName, &'static str); 1], String), ApiError> {
    let text = aside(move || {
        let levels = levels(&app)?;
        app.metrics.encode(&levels).map_err(|error| ApiError::Internal(error.to_string()))
    });
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text.await?))
}

fn levels(app: &App) -> Result<Levels, ApiError> {
    let tables = app.runtime.tables();
    let mut levels = Levels::default();
    tables.visit(&CONTAINERS, b"", |container| {
        *levels.containers.entry(label_of(&container.facts.status)).or_default() += 1;
        ControlFlow::Continue(())
    })?;
    tables.visit(&INCIDENTS, b"", |incident| {
        if incident.known && !incident.status.is_closed() {
            *levels.open_incidents.entry(label_of(&incident.severity)).or_default() += 1;
        }
        ControlFlow::Continue(())
    })?;
    levels.checks = app.checks().into_iter().map(|check| (check.name, check.ok)).collect();
    Ok(levels)
}
