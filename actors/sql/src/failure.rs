//! What errors of the engine mean for who asked.

use datafusion::error::DataFusionError;
use perennial_sql_protocol::{Refusal, RefusalKind};

/// What is said of an error that planning met: the query is at fault.
pub(crate) fn unplanned(error: &DataFusionError) -> Refusal {
    told(error, RefusalKind::Invalid)
}

/// What is said of an error that reading met.
pub(crate) fn unread(error: &DataFusionError) -> Refusal {
    told(error, RefusalKind::Failed)
}

fn told(error: &DataFusionError, otherwise: RefusalKind) -> Refusal {
    let root = error.find_root();
    if let DataFusionError::ResourcesExhausted(why) = root {
        let why = why.lines().next().unwrap_or_default();
        let what = format!(
            "out of memory: {why}; ask for less, or raise query.sql.memory_bytes of the node"
        );
        return Refusal::new(RefusalKind::Memory, what);
    }
    let of_the_query = matches!(
        root,
        DataFusionError::SQL(..)
            | DataFusionError::Plan(_)
            | DataFusionError::SchemaError(..)
            | DataFusionError::NotImplemented(_)
            | DataFusionError::Configuration(_)
    );
    let kind = if of_the_query { RefusalKind::Invalid } else { otherwise };
    Refusal::new(kind, error.strip_backtrace())
}
