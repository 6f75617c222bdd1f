//! The steps of a query, a page at a time: there may be thousands, each with a result of its own.

use std::collections::BTreeMap;

use perennial_query::plan::{Plan, Repeat};
use perennial_query::record::{STEPS, StepRow, step_number};
use perennial_runtime::{TableReader, owner_prefix};

use crate::http::error::ApiError;
use crate::http::model::StepPage;

/// Rows that are read at a time.
const CHUNK: usize = 32;

/// Bytes of results on one page, about: the last one may exceed it.
const BYTES: usize = 4 * 1024 * 1024;

/// At most `limit` steps and repetitions of the query `id`, behind the one numbered `after`.
pub(super) fn page(
    tables: &TableReader,
    (id, plan): (&str, &Plan),
    after: Option<u64>,
    limit: usize,
) -> Result<StepPage, ApiError> {
    let instances = instances(tables, id, plan)?;
    let mut filling = Filling::new(plan, after, limit);
    let mut first = after.map_or(0, |after| after.saturating_add(1));
    while !filling.full {
        let rows = tables.scan_owned(&STEPS, id, first, CHUNK)?;
        let ended = rows.len() < CHUNK;
        for row in rows {
            first = number(&row).saturating_add(1);
            filling.take(row);
        }
        if ended {
            filling.take_the_rest();
            break;
        }
    }
    let Filling { mut rows, full, .. } = filling;
    let next = rows.last().filter(|_| full).map(number);
    if let Some(row) = rows.first().filter(|row| row.instance.is_some()) {
        let whole = tables.get(&STEPS, &(id, step_number(row.place as usize, None)))?;
        let whole = whole.unwrap_or_else(|| unwritten(plan, row.place as usize));
        rows.insert(0, whole);
    }
    let repeated: u64 = instances.values().copied().map(u64::from).sum();
    Ok(StepPage { rows, instances, total: plan.steps.len() as u64 + repeated, next })
}

/// How many repetitions of each step there are. They are written in order, so the last one tells.
fn instances(tables: &TableReader, id: &str, plan: &Plan) -> Result<BTreeMap<u32, u32>, ApiError> {
    let mut all = BTreeMap::new();
    for (place, step) in (0_u32..).zip(&plan.steps) {
        if step.repeat == Repeat::Once {
            continue;
        }
        let mut prefix = owner_prefix(id);
        // The upper half of the number of its rows.
        prefix.extend_from_slice(&place.to_be_bytes());
        let last = tables.scan_back(&STEPS, &prefix, 1)?.pop().and_then(|row| row.instance);
        all.extend(last.map(|last| (place, last + 1)));
    }
    Ok(all)
}

fn number(row: &StepRow) -> u64 {
    step_number(row.place as usize, row.instance)
}

/// A step of which nothing is written yet.
fn unwritten(plan: &Plan, place: usize) -> StepRow {
    let id = plan.steps.get(place).map(|step| step.id.clone()).unwrap_or_default();
    StepRow { id, place: u32::try_from(place).unwrap_or(u32::MAX), ..StepRow::default() }
}

/// A page while it is filled: with rows, and between them with steps of which there is none yet.
struct Filling<'a> {
    plan: &'a Plan,
    limit: usize,
    rows: Vec<StepRow>,
    bytes: usize,
    /// The place of the first step that is on no page yet.
    place: usize,
    /// Something did not fit.
    full: bool,
}

impl<'a> Filling<'a> {
    fn new(plan: &'a Plan, after: Option<u64>, limit: usize) -> Self {
        let place = after.map_or(0, |after| (after >> 32) as usize + 1);
        Self { plan, limit, rows: Vec::new(), bytes: 0, place, full: false }
    }

    fn take(&mut self, row: StepRow) {
        let place = row.place as usize;
        let missing = if row.instance.is_some() { place + 1 } else { place };
        self.fill_up_to(missing);
        if row.instance.is_none() {
            self.place = self.place.max(place + 1);
        }
        self.put(row);
    }

    fn take_the_rest(&mut self) {
        self.fill_up_to(self.plan.steps.len());
    }

    /// Puts steps before this place in that have no row.
    fn fill_up_to(&mut self, place: usize) {
        for missing in self.place..place {
            self.put(unwritten(self.plan, missing));
            self.place = missing + 1;
        }
    }

    fn put(&mut self, row: StepRow) {
        self.full |= self.rows.len() >= self.limit || self.bytes >= BYTES;
        if self.full {
            return;
        }
        self.bytes += row.result.as_ref().map_or(0, |result| result.bytes());
        self.rows.push(row);
    }
}

#[cfg(test)]
mod tests {
    use perennial_query::plan::{Step, Work};
    use serde_json::{Value, json};

    use super::*;

    fn plan(steps: usize) -> Plan {
        let step = |at: usize| Step::new(format!("s{at}"), Work::Value(json!(1).into()));
        Plan { steps: (0..steps).map(step).collect(), ..Plan::default() }
    }

    fn row(place: u32, instance: Option<u32>) -> StepRow {
        StepRow { id: format!("s{place}").as_str().into(), place, instance, ..StepRow::default() }
    }

    /// What stands on each page of these rows.
    fn pages(plan: &Plan, rows: &[StepRow], limit: usize) -> Vec<Vec<(u32, Option<u32>)>> {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let mut filling = Filling::new(plan, after, limit);
            let behind = rows.iter().filter(|row| after.is_none_or(|after| number(row) > after));
            behind.cloned().for_each(|row| filling.take(row));
            filling.take_the_rest();
            pages.push(filling.rows.iter().map(|row| (row.place, row.instance)).collect());
            if !filling.full {
                return pages;
            }
            after = filling.rows.last().map(number);
        }
    }

    #[test]
    fn every_step_stands_on_one_page_whether_there_is_a_row_of_it_or_not() {
        let rows = [row(1, None), row(1, Some(0)), row(1, Some(1)), row(1, Some(2)), row(3, None)];
        let instance = |instance| (1, Some(instance));
        let all = [(0, None), (1, None), instance(0), instance(1), instance(2)];
        let all: Vec<_> = all.into_iter().chain([(2, None), (3, None), (4, None)]).collect();
        for limit in 1..10 {
            let pages = pages(&plan(5), &rows, limit);
            assert!(pages.iter().all(|page| page.len() <= limit), "{pages:?}");
            assert_eq!(pages.concat(), all, "{limit} on a page");
        }
    }

    #[test]
    fn a_page_ends_where_its_results_come_to_much() {
        let result = Value::from("a".repeat(BYTES / 4));
        let large = |place| StepRow { result: Some(result.clone().into()), ..row(place, None) };
        let rows: Vec<StepRow> = (0..10).map(large).collect();
        let pages = pages(&plan(10), &rows, 1_000);
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
    }
}
