//! What a query may take, and how it ends.

use std::os::unix::process::ExitStatusExt;

use perennial_sql_protocol::{FromWorker, RefusalKind, ToWorker, Who};
use serde_json::json;
use tokio::time::timeout;

use crate::process::{ENDLESS, PATIENCE, Worker, numbers, table};

#[tokio::test]
async fn a_query_that_needs_more_memory_than_there_is_fails_and_the_next_one_is_answered() {
    let data = numbers();
    let least = 256 * 1024 * 1024;
    let mut worker = Worker::within(least, &data, vec![table("n", "n.csv")]).await;
    let sql = "SELECT count(DISTINCT concat(a.n, '-', b.n, '-', repeat('x', 100))) FROM n a, n b";
    let (kind, why) = worker.refused(&Who::default(), sql).await;
    assert_eq!(kind, RefusalKind::Memory, "{why}");
    assert!(why.starts_with("out of memory: ") && why.contains("memory_bytes"), "{why}");
    assert_eq!(json!(worker.rows("SELECT count(*) FROM n").await), json!([[2_000]]));
}

#[tokio::test]
async fn memory_that_the_engine_does_not_count_is_bound_by_the_kernel() {
    let data = numbers();
    let mut worker = Worker::start(&data, vec![table("n", "n.csv")]).await;
    let sql = "SELECT length(repeat('x', 1900000000)) FROM n LIMIT 1";
    worker.begin(&Who::default(), sql, 10).await;
    assert_eq!(worker.hear().await, None);
    let status = timeout(PATIENCE, worker.child.wait()).await.unwrap().unwrap();
    // Aborted, as a program that got no memory is, and without an image of its memory.
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
}

#[tokio::test]
async fn a_query_that_is_taken_back_ends_while_others_go_on() {
    let data = numbers();
    let mut worker = Worker::start(&data, vec![table("n", "n.csv")]).await;
    let id = worker.begin(&Who::default(), ENDLESS, 10).await;
    // It is at work when another one has been answered.
    assert_eq!(json!(worker.rows("SELECT max(n) FROM n").await), json!([[1_999]]));
    worker.say(&ToWorker::Cancel { id }).await;
    assert_eq!(worker.hear().await, Some(FromWorker::Cancelled { id }));
    assert_eq!(json!(worker.rows("SELECT min(n) FROM n").await), json!([[0]]));
    // What has ended, or never was, is taken back as well.
    for id in [id, 4_711] {
        worker.say(&ToWorker::Cancel { id }).await;
        assert_eq!(worker.hear().await, Some(FromWorker::Cancelled { id }));
    }
}

#[tokio::test]
async fn the_process_ends_with_the_node_though_a_query_has_no_end() {
    let data = numbers();
    let mut worker = Worker::start(&data, vec![table("n", "n.csv")]).await;
    worker.begin(&Who::default(), ENDLESS, 10).await;
    assert_eq!(json!(worker.rows("SELECT max(n) FROM n").await), json!([[1_999]]));
    drop(worker.input);
    let status = timeout(PATIENCE, worker.child.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
}
