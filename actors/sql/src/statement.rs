//! What is taken of a query: one statement, and only what reads.

use std::any::Any;

use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::{TableProvider, source_as_provider};
use datafusion::logical_expr::{LogicalPlan, TableScan};
use perennial_sql_protocol::{Refusal, RefusalKind};

use crate::failure::unplanned;
use crate::guarded::is_guarded;

/// The schema under which the engine lists tables and columns: those of who asks.
const LISTS: &str = "information_schema";
/// What is listed of it; the rest is about the engine.
const LISTED: [&str; 2] = ["columns", "tables"];

/// What is to be answered.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// The rows of this plan.
    Rows(LogicalPlan),
    /// The plan itself.
    Plan(LogicalPlan),
}

/// What `plan` asks for, if it only reads, and only through guards.
///
/// # Errors
/// What of it is not taken.
pub(crate) fn wanted(plan: LogicalPlan) -> Result<Wanted, Refusal> {
    let wanted = if let LogicalPlan::Explain(explain) = plan {
        if explain.verbose {
            return Err(refused("EXPLAIN VERBOSE"));
        }
        Wanted::Plan(explain.plan.as_ref().clone())
    } else {
        Wanted::Rows(plan)
    };
    let (Wanted::Rows(plan) | Wanted::Plan(plan)) = &wanted;
    let mut found = Ok(());
    let walked = plan.apply_with_subqueries(|part| {
        found = reads(part);
        Ok(if found.is_ok() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walked.map_err(|error| unplanned(&error))?;
    found.map(|()| wanted)
}

/// Refuses a part of a plan that does anything but read.
fn reads(part: &LogicalPlan) -> Result<(), Refusal> {
    match part {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::DescribeTable(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::RecursiveQuery(_) => Ok(()),
        LogicalPlan::TableScan(scan) => scans(scan),
        LogicalPlan::Analyze(_) => Err(refused("EXPLAIN ANALYZE")),
        LogicalPlan::Explain(_) => Err(refused("EXPLAIN of EXPLAIN")),
        LogicalPlan::Statement(statement) => Err(refused(statement.name())),
        LogicalPlan::Dml(write) => Err(refused(&write.op.to_string())),
        LogicalPlan::Ddl(change) => Err(refused(change.name())),
        LogicalPlan::Copy(_) => Err(refused("COPY")),
        LogicalPlan::Extension(_) => Err(refused("an extension")),
    }
}

fn refused(what: &str) -> Refusal {
    let why =
        format!("{what} is not taken: only what reads is, such as SELECT, EXPLAIN and DESCRIBE");
    Refusal::new(RefusalKind::Invalid, why)
}

/// Refuses a table that is not read through a guard.
fn scans(scan: &TableScan) -> Result<(), Refusal> {
    let may = |table: &dyn TableProvider| is_guarded(table) || is_of_the_query(table);
    let readable = source_as_provider(&scan.source).is_ok_and(|table| may(table.as_ref()));
    if readable || lists(&scan.table_name) {
        return Ok(());
    }
    let why = format!("`{}` is no table that may be read", scan.table_name);
    Err(Refusal::new(RefusalKind::Denied, why))
}

/// Whether it holds what a recursive query itself has found so far.
fn is_of_the_query(table: &dyn TableProvider) -> bool {
    (table as &dyn Any).is::<CteWorkTable>()
}

/// Whether this is one of the engine's own lists of tables.
pub(crate) fn lists(table: &TableReference) -> bool {
    table.schema() == Some(LISTS) && LISTED.contains(&table.table())
}
