//! Names of the figures this crate contributes; the node exports them.

/// Counter, labels `tool`, `outcome`.
pub const TOOL_CALLS: &str = "perennial_tool_calls_total";
/// Gauge of the most calls of a group that were under way at a time, label `group`.
pub const TOOL_CALLS_RUNNING: &str = "perennial_tool_calls_running_peak";
/// Counter, labels `role`, `type`, `outcome`.
pub const QUERIES: &str = "perennial_queries_total";
/// Histogram, label `type`: seconds from acceptance to the end.
pub const QUERY_SECONDS: &str = "perennial_query_seconds";
/// Gauge of the most queries that ran at a time.
pub const QUERIES_RUNNING: &str = "perennial_queries_running_peak";
/// Gauge of the most tools that one query had called at a time.
pub const QUERY_PARALLEL: &str = "perennial_query_tools_parallel_peak";
/// Counter, label `result`: `hit`, `miss`, `joined`.
pub const CACHE: &str = "perennial_query_cache_total";
/// Counter: queries that were turned away.
pub const REFUSED: &str = "perennial_queries_refused_total";
/// Counter of what was written to the journals of queries; who waits for one of them looks again.
pub const EVENTS: &str = "perennial_query_events_total";
