//! Rows are written with the turn, read by it before they are durable, and by the facade after.

use crate::world::{Account, NOTES, Node, PATIENCE, Told};

#[tokio::test]
async fn a_turn_reads_rows_that_earlier_turns_have_not_committed_yet() {
    let (node, backend) = Node::on_memory().await;
    let puts = ["1", "2", "3"].map(|value| Told::Put("k".to_owned(), value.to_owned()));
    futures::future::join_all(puts.iter().map(|put| node.runtime.send::<Account>("a", put))).await;
    let ask = node.runtime.ask::<Account, Vec<String>>("a", &Told::Rows, PATIENCE);
    assert_eq!(ask.await.unwrap(), ["123"]);
    assert_eq!(node.runtime.tables().get(&NOTES, "k").unwrap().unwrap(), "123");
    node.runtime.shutdown().await.unwrap();
    let node = node.again(&backend).await;
    assert_eq!(node.runtime.tables().scan(&NOTES, b"k", 10).unwrap(), ["123"]);
    assert_eq!(node.runtime.tables().scan(&NOTES, b"z", 10).unwrap(), [""; 0]);
}
