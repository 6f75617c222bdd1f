//! Whether the node lives, and whether it does its work.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;

use super::App;

/// 200 while the process answers at all.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// 200 while every check passes, 503 otherwise; `?verbose` lists them all.
pub(super) async fn ready(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> (StatusCode, String) {
    let checks = app.checks();
    let failed = checks.iter().any(|check| !check.ok);
    let verbose =
        query.is_some_and(|query| query.split('&').any(|part| part.starts_with("verbose")));
    let shown = checks.iter().filter(|check| verbose || !check.ok);
    let mut text: String = shown.map(|check| format!("{}\n", line(check))).collect();
    // A node without a fresh backup still does its work.
    text.extend(app.trouble.get().map(|trouble| format!("[!]backup: {trouble}\n")));
    text.push_str(if failed { "not ready\n" } else { "ready\n" });
    let status = if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, text)
}

fn line(check: &perennial_runtime::Check) -> String {
    let perennial_runtime::Check { name, ok, detail } = check;
    match (ok, detail.is_empty()) {
        (true, true) => format!("[+]{name} ok"),
        (true, false) => format!("[+]{name} ok: {detail}"),
        (false, _) => format!("[-]{name} failed: {detail}"),
    }
}
