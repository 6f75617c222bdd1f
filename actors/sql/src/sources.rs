//! The files of tables, opened. What is known of them is kept as long as they stay as they are.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::TableProvider;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::execution::SessionState;
use perennial_sql_protocol::{Format, Listed, Refusal, RefusalKind, Table, list};
use tokio::sync::Mutex;

use crate::failure::unread;

/// Lines of a CSV file that are looked at for the types of its columns.
const LINES: usize = 10_000;

/// All tables.
pub(crate) struct Sources {
    directory: PathBuf,
    tables: BTreeMap<String, Source>,
}

/// A table, and its files as they were found last.
struct Source {
    table: Table,
    opened: Mutex<Option<(Listed, Arc<ListingTable>)>>,
}

impl Sources {
    pub(crate) fn new(directory: PathBuf, tables: Vec<Table>) -> Self {
        let source =
            |table: Table| (table.name.clone(), Source { table, opened: Mutex::default() });
        Self { directory, tables: tables.into_iter().map(source).collect() }
    }

    /// All of them, by name.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.values().map(|source| &source.table)
    }

    /// The table of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Table> {
        self.tables.get(name).map(|source| &source.table)
    }

    /// The table of this name with its files as they are now.
    ///
    /// # Errors
    /// It has none, or they cannot be read.
    pub(crate) async fn open(
        &self,
        name: &str,
        state: &SessionState,
    ) -> Result<Arc<dyn TableProvider>, Refusal> {
        let unknown = || Refusal::new(RefusalKind::Invalid, format!("there is no table `{name}`"));
        let source = self.tables.get(name).ok_or_else(unknown)?;
        let mut opened = source.opened.lock().await;
        let listed = list(&self.directory, &source.table)
            .map_err(|error| Refusal::new(RefusalKind::Failed, error.to_string()))?;
        if let Some((before, table)) = opened.as_ref()
            && *before == listed
        {
            return Ok(Arc::clone(table) as _);
        }
        // The engine takes a file of the same length and time for the same.
        state.runtime_env().cache_manager.get_file_metadata_cache().clear();
        if let Some(cache) = state.runtime_env().cache_manager.get_file_statistic_cache() {
            cache.clear();
        }
        let table = Arc::new(read(&listed, state).await.map_err(|refusal| {
            Refusal::new(refusal.kind, format!("table `{name}`: {}", refusal.message))
        })?);
        *opened = Some((listed, Arc::clone(&table)));
        Ok(table)
    }
}

async fn read(listed: &Listed, state: &SessionState) -> Result<ListingTable, Refusal> {
    let format: Arc<dyn FileFormat> = match listed.format {
        Format::Parquet => Arc::new(ParquetFormat::default()),
        Format::Csv => {
            Arc::new(CsvFormat::default().with_has_header(true).with_schema_infer_max_rec(LINES))
        }
    };
    let options = ListingOptions::new(format).with_file_extension("");
    let (mut urls, mut schemas) = (Vec::new(), Vec::new());
    for file in &listed.files {
        let path = file.path.to_string_lossy();
        let url = ListingTableUrl::parse(&path).map_err(|error| unread(&error))?;
        let schema = options.infer_schema(state, &url).await;
        let schema = schema.map_err(|error| {
            let error = unread(&error);
            Refusal::new(RefusalKind::Failed, format!("{path} cannot be read: {}", error.message))
        })?;
        schemas.push((path.into_owned(), schema));
        urls.push(url);
    }
    let schema =
        merged(listed.format, &schemas).map_err(|why| Refusal::new(RefusalKind::Failed, why))?;
    let config = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(options)
        .with_schema(schema);
    ListingTable::try_new(config).map_err(|error| unread(&error))
}

/// The columns of all files: what one of Parquet does not have is missing in its rows. Those of CSV are read by their
/// order, so all of them must have the same.
fn merged(format: Format, schemas: &[(String, SchemaRef)]) -> Result<SchemaRef, String> {
    let names = |schema: &SchemaRef| -> Vec<String> {
        schema.fields().iter().map(|field| field.name().clone()).collect()
    };
    if let (Format::Csv, Some((first, one))) = (format, schemas.first())
        && let Some((path, _)) = schemas.iter().find(|(_, other)| names(other) != names(one))
    {
        return Err(format!("{path} has other columns, or in another order, than {first}"));
    }
    let mut fields: Vec<Field> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (path, schema) in schemas {
        for field in schema.fields() {
            let Some(place) = places.get(field.name()) else {
                places.insert(field.name().clone(), fields.len());
                fields.push(field.as_ref().clone().with_nullable(true));
                continue;
            };
            let (known, own) = (fields[*place].data_type(), field.data_type());
            let common = common(format, known, own).ok_or_else(|| {
                format!("{path} has `{}` as {own}, and another file as {known}", field.name())
            })?;
            fields[*place] = fields[*place].clone().with_data_type(common);
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// What both can be read as.
fn common(format: Format, one: &DataType, other: &DataType) -> Option<DataType> {
    match (format, one, other) {
        (_, one, other) if one == other => Some(one.clone()),
        (_, DataType::Null, known) | (_, known, DataType::Null) => Some(known.clone()),
        // Types of CSV are guesses; of Parquet they are said.
        (Format::Csv, DataType::Int64, DataType::Float64)
        | (Format::Csv, DataType::Float64, DataType::Int64) => Some(DataType::Float64),
        (Format::Csv, _, _) => Some(DataType::Utf8),
        (Format::Parquet, _, _) => None,
    }
}
