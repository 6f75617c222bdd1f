//! Promise 4: one writer. A stale owner cannot commit.

use crate::world::{Account, Node, Told};

#[tokio::test]
async fn an_owner_that_was_superseded_cannot_commit_and_ends() {
    let (stale, backend) = Node::on_memory().await;
    stale.tell("a", Told::Add(1)).await;
    let owner = stale.again(&backend).await;
    let refused = stale.runtime.send::<Account>("a", &Told::Add(10)).await;
    assert!(refused.is_err());
    let failed = stale.runtime.failed().await;
    assert!(failed.to_string().contains("store failed"), "{failed}");
    assert_eq!(owner.state("a").await.balance, 1);
}
