//! A table as somebody may read it.

use std::any::Any;
use std::fmt;
use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::Column;
use datafusion::datasource::{TableProvider, TableType, provider_as_source};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{
    BinaryExpr, Expr, LogicalPlanBuilder, Operator, TableProviderFilterPushDown,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::TryStreamExt;
use perennial_sql_protocol::{Grant, Table, Who, condition};

use crate::condition::bind;

/// A table with the columns that may be read and no others, and the rows that may be read and no others.
///
/// Where rows are left out, the plan of that is made apart and its end is all that a query sees: nothing of the
/// query is moved below the condition but comparisons that cannot fail, so that not even an error tells what is in
/// a row that may not be read.
pub(crate) struct Guarded {
    name: String,
    inner: Arc<dyn TableProvider>,
    /// Of what may be read.
    schema: SchemaRef,
    /// Where each column that may be read is in the files.
    places: Vec<usize>,
    /// The only rows, by the columns of the files.
    rows: Option<Expr>,
}

impl fmt::Debug for Guarded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Guarded").field(&self.name).finish()
    }
}

impl Guarded {
    /// `inner` as `who` may read it by `grant`.
    ///
    /// # Errors
    /// What `grant` says cannot be done. Then nothing may be read.
    pub(crate) fn new(
        inner: Arc<dyn TableProvider>,
        table: &Table,
        grant: &Grant,
        who: &Who,
    ) -> Result<Self, String> {
        let whole = inner.schema();
        let named = grant.columns.iter().chain(&grant.hidden);
        if let Some(unknown) = named.into_iter().find(|name| whole.field_with_name(name).is_err()) {
            return Err(format!("its access names `{unknown}`, which is no column of it"));
        }
        let readable = |name: &String| {
            !grant.hidden.contains(name)
                && (grant.columns.is_empty() || grant.columns.contains(name))
        };
        let fields = whole.fields().iter().enumerate();
        let places: Vec<usize> =
            fields.filter(|(_, field)| readable(field.name())).map(|(place, _)| place).collect();
        if places.is_empty() {
            return Err("no column of it may be read".to_owned());
        }
        let rows = if grant.rows.is_empty() {
            None
        } else {
            let condition = condition::parse(&grant.rows).map_err(|error| error.to_string())?;
            Some(bind(&condition, who, &whole)?)
        };
        let schema = whole.project(&places).map_err(|error| error.to_string())?;
        Ok(Self { name: table.name.clone(), inner, schema: Arc::new(schema), places, rows })
    }

    /// A plan of its own for the rows that may be read, of which a query sees the end.
    async fn behind(
        &self,
        rows: &Expr,
        state: &dyn Session,
        wanted: &[usize],
        filters: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let whole = self.inner.schema();
        // A plan has a column, also where only the number of rows is wanted.
        let read = if wanted.is_empty() { &self.places[..1] } else { wanted };
        let column = |place: &usize| Expr::Column(Column::from_name(whole.field(*place).name()));
        let source = provider_as_source(Arc::clone(&self.inner));
        let mut plan = LogicalPlanBuilder::scan(self.name.as_str(), source, None)?;
        plan = plan.filter(rows.clone())?;
        for filter in filters {
            plan = plan.filter(filter.clone())?;
        }
        let plan = plan.project(read.iter().map(column))?.build()?;
        let plan = state.create_physical_plan(&plan).await?;
        let partitions = (0..plan.output_partitioning().partition_count()).map(|partition| {
            let (name, plan) = (self.name.clone(), Arc::clone(&plan));
            let schema = plan.schema();
            Arc::new(Behind { name, plan, schema, partition }) as Arc<dyn PartitionStream>
        });
        let none = Vec::new();
        let projection = wanted.is_empty().then_some(&none);
        let end = StreamingTableExec::try_new(
            plan.schema(),
            partitions.collect(),
            projection,
            None,
            false,
            None,
        );
        Ok(Arc::new(end?))
    }
}

#[async_trait]
impl TableProvider for Guarded {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted: Vec<usize> = match projection {
            Some(wanted) => wanted.iter().map(|at| self.places[*at]).collect(),
            None => self.places.clone(),
        };
        match &self.rows {
            None => self.inner.scan(state, Some(&wanted), filters, limit).await,
            Some(rows) => self.behind(rows, state, &wanted, filters).await,
        }
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        if self.rows.is_none() {
            return self.inner.supports_filters_pushdown(filters);
        }
        let moved = |filter: &&Expr| match cannot_fail(filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(moved).collect())
    }
}

/// Whether a filter compares columns with values and does nothing else.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not named here may fail")]
fn cannot_fail(filter: &Expr) -> bool {
    let value = |expr: &Expr| matches!(expr, Expr::Literal(..));
    let column = |expr: &Expr| matches!(expr, Expr::Column(_));
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And | Operator::Or => cannot_fail(left) && cannot_fail(right),
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq => column(left) && value(right) || value(left) && column(right),
            _ => false,
        },
        Expr::InList(list) => column(&list.expr) && list.list.iter().all(value),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => column(inner),
        _ => false,
    }
}

/// One part of the rows that may be read.
struct Behind {
    name: String,
    plan: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    partition: usize,
}

impl fmt::Debug for Behind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Behind").field(&self.name).finish()
    }
}

impl PartitionStream for Behind {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let name = self.name.clone();
        let rows = futures::stream::once(futures::future::ready(
            self.plan.execute(self.partition, context),
        ));
        let rows = rows.try_flatten().map_err(move |error| hidden(&name, error));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}

/// An error without what it may tell of rows that may not be read. The operator finds it in the node's log.
fn hidden(table: &str, error: DataFusionError) -> DataFusionError {
    if matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)) {
        return error;
    }
    // Where nobody reads it, nobody can be told.
    drop(writeln!(std::io::stderr(), "table `{table}`: {}", error.strip_backtrace()));
    let why = format!("table `{table}` cannot be read as it is; the log of the node says why");
    DataFusionError::Execution(why)
}

/// Whether a plan reads this table through a guard.
pub(crate) fn is_guarded(table: &dyn TableProvider) -> bool {
    (table as &dyn Any).is::<Guarded>()
}
