//! Answers queries.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::{CatalogProvider, CatalogProviderList};
use datafusion::catalog::{MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider};
use datafusion::common::{ScalarValue, TableReference};
use datafusion::dataframe::DataFrame;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use perennial_sql_protocol::{Answer, Ask, Grant, Refusal, RefusalKind, Setup, Table, Who};
use serde_json::Value;

use crate::failure::{unplanned, unread};
use crate::guarded::Guarded;
use crate::limits;
use crate::rows::Gathered;
use crate::sources::Sources;
use crate::statement::{Wanted, lists, wanted};

/// Those who take most memory, named where there is none left.
const NAMED: NonZeroUsize = NonZeroUsize::MIN;

/// Tables that may be read, by name, and what of each.
type Named<'a> = BTreeMap<&'a str, (&'a Table, &'a Grant)>;

/// The engine with its tables.
pub(crate) struct Engine {
    sources: Sources,
    /// What every query begins with: functions and bounds, and no table.
    base: SessionState,
}

impl Engine {
    /// Makes ready for what a node has.
    ///
    /// # Errors
    /// The engine cannot be set up, which is a defect.
    pub(crate) fn new(setup: Setup) -> datafusion::error::Result<Self> {
        let pool = GreedyMemoryPool::new(limits::pool(setup.memory_bytes));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, NAMED)))
            // What does not fit into memory is refused rather than written to a disk that is not its own.
            .with_disk_manager_builder(
                DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
            )
            // Files are looked for anew by each query.
            .with_object_list_cache_limit(0)
            .build_arc()?;
        let base = SessionStateBuilder::new_with_default_features()
            .with_config(SessionConfig::new().with_information_schema(true))
            .with_runtime_env(runtime)
            // Of those that come with the engine none is needed, and what is added to it later may read files.
            .with_table_functions(Default::default())
            .build();
        Ok(Self { sources: Sources::new(setup.directory, setup.tables), base })
    }

    /// Answers a query with what `ask.who` may read.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn answer(&self, ask: &Ask) -> Result<Answer, Refusal> {
        let state = SessionStateBuilder::new_from_existing(self.base.clone())
            .with_catalog_list(Arc::new(self.catalogs().map_err(|error| unplanned(&error))?))
            .build();
        let context = SessionContext::new_with_state(state);
        let state = context.state();
        let dialect = state.config_options().sql_parser.dialect;
        let statement = state.sql_to_statement(&ask.sql, &dialect);
        let statement = statement.map_err(|error| unplanned(&error))?;
        let references = state.resolve_table_references(&statement);
        let references = references.map_err(|error| unplanned(&error))?;
        let named = self.named(&references, &ask.who)?;
        for (name, granted) in &named {
            let guarded = self.guarded(*granted, &ask.who, &state).await?;
            context
                .register_table(TableReference::bare(*name), Arc::new(guarded))
                .map_err(|error| unplanned(&error))?;
        }
        let tables = named.into_keys().map(str::to_owned).collect();
        // Only now: the time by which `now()` is told, and the tables.
        let state = context.state();
        let plan = state.statement_to_plan(statement).await.map_err(|error| unplanned(&error))?;
        // Looked at as it was asked: filling in takes a plan out of a PREPARE.
        match wanted(plan)? {
            Wanted::Rows(plan) => {
                let plan = filled_in(plan, &ask.parameters)?;
                gather(DataFrame::new(state, plan), ask, tables).await
            }
            Wanted::Plan(plan) => {
                let plan = filled_in(plan, &ask.parameters)?;
                let plan = state.optimize(&plan).map_err(|error| unplanned(&error))?;
                Ok(explained(&plan.display_indent().to_string(), ask, tables))
            }
        }
    }

    /// A place for the tables of one query, under the usual names.
    fn catalogs(&self) -> datafusion::error::Result<MemoryCatalogProviderList> {
        let names = &self.base.config_options().catalog;
        let catalog = MemoryCatalogProvider::new();
        let schema = Arc::new(MemorySchemaProvider::new());
        catalog.register_schema(&names.default_schema, schema)?;
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(names.default_catalog.clone(), Arc::new(catalog));
        Ok(catalogs)
    }

    /// The tables that a statement names, by name, with what `who` may read of each, if they may read of all.
    fn named(&self, references: &[TableReference], who: &Who) -> Result<Named<'_>, Refusal> {
        let readable = || {
            let all = self.sources.tables();
            all.filter_map(|table| Some((table.name.as_str(), (table, table.grant(&who.role)?))))
        };
        if references.iter().any(lists) {
            return Ok(readable().collect());
        }
        let mut named = Named::new();
        for reference in references {
            let name = reference.table();
            let table = self.sources.get(name).ok_or_else(|| {
                let known: Vec<&str> = readable().map(|(name, _)| name).collect();
                Refusal::new(RefusalKind::Invalid, unknown(name, &known))
            })?;
            let grant = table.grant(&who.role).ok_or_else(|| {
                let why = format!("the role `{}` may not read the table `{name}`", who.role);
                Refusal::new(RefusalKind::Denied, why)
            })?;
            named.insert(&table.name, (table, grant));
        }
        Ok(named)
    }

    async fn guarded(
        &self,
        (table, grant): (&Table, &Grant),
        who: &Who,
        state: &SessionState,
    ) -> Result<Guarded, Refusal> {
        let name = &table.name;
        let inner = self.sources.open(name, state).await?;
        Guarded::new(inner, table, grant, who).map_err(|why| {
            let why = format!("the table `{name}` may not be read: {why}");
            Refusal::new(RefusalKind::Denied, why)
        })
    }
}

/// A plan with its parameters as values of it.
fn filled_in(plan: LogicalPlan, parameters: &[Value]) -> Result<LogicalPlan, Refusal> {
    let value = |(at, given): (usize, &Value)| match given {
        Value::Null => Ok(ScalarValue::Null),
        Value::Bool(holds) => Ok(ScalarValue::from(*holds)),
        Value::String(text) => Ok(ScalarValue::from(text.as_str())),
        Value::Number(number) => Ok(match number.as_i64() {
            Some(whole) => ScalarValue::from(whole),
            None => ScalarValue::from(number.as_f64()),
        }),
        Value::Array(_) | Value::Object(_) => {
            let why = format!("parameter ${} must be a text, a number or a boolean", at + 1);
            Err(Refusal::new(RefusalKind::Invalid, why))
        }
    };
    let values: Vec<ScalarValue> =
        parameters.iter().enumerate().map(value).collect::<Result<_, _>>()?;
    plan.with_param_values(values).map_err(|error| unplanned(&error))
}

/// What is said of a table that is not there.
fn unknown(name: &str, known: &[&str]) -> String {
    let near = known.iter().map(|known| (strsim::jaro_winkler(name, known), known));
    let near = near.max_by(|one, other| one.0.total_cmp(&other.0)).filter(|near| near.0 > 0.8);
    match near {
        Some((_, near)) => format!("there is no table `{name}`; did you mean `{near}`?"),
        None if known.is_empty() => {
            format!("there is no table `{name}`, nor any that you may read")
        }
        None => format!("there is no table `{name}`; there are {}", known.join(", ")),
    }
}

/// The rows of a plan, as many as are wanted.
async fn gather(frame: DataFrame, ask: &Ask, tables: Vec<String>) -> Result<Answer, Refusal> {
    // One more tells whether there are more.
    let frame = if matches!(frame.logical_plan(), LogicalPlan::DescribeTable(_)) {
        frame
    } else {
        let limited = frame.limit(0, Some(ask.rows.saturating_add(1)));
        limited.map_err(|error| unplanned(&error))?
    };
    let schema = Arc::clone(frame.schema().inner());
    let mut gathered = Gathered::new(&schema, ask.rows, ask.bytes);
    let mut stream = frame.execute_stream().await.map_err(|error| unread(&error))?;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|error| unread(&error))?;
        let more = gathered.add(&batch).map_err(|error| unread(&error.into()))?;
        if !more {
            break;
        }
    }
    Ok(gathered.answer(tables))
}

/// The plan of a query, a row a line. It ends at what the guards of tables show.
fn explained(text: &str, ask: &Ask, tables: Vec<String>) -> Answer {
    let schema = Schema::new(vec![Field::new("plan", DataType::Utf8, false)]);
    let mut gathered = Gathered::new(&schema, ask.rows, ask.bytes);
    for line in text.lines() {
        if !gathered.push(vec![line.into()]) {
            break;
        }
    }
    gathered.answer(tables)
}

#[cfg(test)]
mod tests {
    use perennial_sql_protocol::{Column, Cut};

    use super::*;

    fn ask(rows: usize, bytes: usize) -> Ask {
        let (sql, parameters) = (String::new(), Vec::new());
        Ask { id: 1, sql, parameters, rows, bytes, who: Who::default() }
    }

    #[test]
    fn a_plan_is_cut_like_rows_are_and_says_for_what() {
        let plan = "Limit\n  Filter\n    Scan\n";
        let answer = explained(plan, &ask(3, 1_000), vec!["games".to_owned()]);
        assert_eq!((answer.rows.len(), answer.cut), (3, None));
        assert_eq!(answer.columns[0], Column { name: "plan".into(), r#type: "string".into() });
        assert_eq!(answer.tables, ["games"]);
        assert_eq!(explained(plan, &ask(2, 1_000), Vec::new()).cut, Some(Cut::Rows));
        let answer = explained(plan, &ask(3, 24), Vec::new());
        assert_eq!((answer.rows.len(), answer.cut), (2, Some(Cut::Bytes)));
    }

    #[test]
    fn a_plan_is_no_longer_than_wanted_though_its_characters_are_longer_as_json() {
        let plan = "\u{1}".repeat(100);
        let answer = explained(&plan, &ask(10, 300), Vec::new());
        assert_eq!((answer.rows.len(), answer.cut), (0, Some(Cut::Bytes)));
    }
}
