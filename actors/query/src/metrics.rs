//! Names of the figures this crate contributes, and the values that their labels are known to have; the node
//! exports them.

use crate::record::{Origin, Outcome, Purpose};

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
/// Counter, labels `model`, `direction` (`read`, `written`): tokens of language models, of calls that were answered.
pub const TOKENS: &str = "perennial_query_tokens_total";
/// The directions of [`TOKENS`].
pub const DIRECTIONS: [&str; 2] = ["read", "written"];
/// Counter, labels `purpose` (`plan`, `answer`), `outcome` (`used`, `refused`, `failed`): times that a model was
/// asked to plan or to answer.
pub const MODEL_CALLS: &str = "perennial_query_model_calls_total";
/// Counter of what was written to the journals of queries.
pub const EVENTS: &str = "perennial_query_events_total";
/// Not exported: something has happened in a query with this [`bell`]. Who waits for such a query looks again.
pub const RUNG: &str = "query-bell";
/// So many bells there are.
pub const BELLS: usize = 1024;

/// The bell of a query, which it shares with few others. A hash: FNV-1a of 32 bits.
#[must_use]
pub fn bell(id: &str) -> usize {
    let add = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    id.bytes().fold(0x811c_9dc5, add) as usize % BELLS
}

/// Counter, label `result`: what became of the times of schedules: `fired`, `missed`, `overlapped`, `refused`.
pub const SCHEDULED: &str = "perennial_schedule_times_total";

/// Counter, label `result`: turns of conversations that were `begun` or `refused`, and how those begun ended.
pub const TURNS: &str = "perennial_conversation_turns_total";

/// One line of a counter: its name, and each label with its value.
pub type Series = (&'static str, Vec<(&'static str, &'static str)>);

/// Lines that counters of this crate are sure to have. Exported as 0 before anything was counted, the first
/// event of a kind is seen as an increase.
#[must_use]
pub fn known_series() -> Vec<Series> {
    let mut all = vec![(REFUSED, Vec::new()), (EVENTS, Vec::new())];
    let results = ["fired", "missed", "overlapped", "refused"];
    all.extend(results.map(|result| (SCHEDULED, vec![("result", result)])));
    let results = ["begun", "refused"].into_iter().chain(Outcome::ALL.map(Outcome::as_str));
    all.extend(results.map(|result| (TURNS, vec![("result", result)])));
    all.extend(["hit", "joined", "miss"].map(|result| (CACHE, vec![("result", result)])));
    for purpose in Purpose::ALL.map(Purpose::as_str) {
        all.extend(
            ["failed", "refused", "used"]
                .map(|outcome| (MODEL_CALLS, vec![("purpose", purpose), ("outcome", outcome)])),
        );
    }
    let types = [
        Origin::Plan,
        Origin::Pipeline(String::new()),
        Origin::Rules(String::new()),
        Origin::Question(String::new()),
        Origin::Schedule(String::new()),
    ];
    for kind in types.map(|origin| origin.as_str()) {
        all.extend(Outcome::ALL.map(|outcome| {
            let labels = vec![("role", "admin"), ("type", kind), ("outcome", outcome.as_str())];
            (QUERIES, labels)
        }));
    }
    all
}
