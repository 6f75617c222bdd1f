//! API keys: given out, and taken back.

use perennial_query::audit::{Act, DEEDS, Deed};
use perennial_query::config::Config;
use perennial_query::keys::{
    API_KEYS, Created, KEYS, KeyRow, Keys, KeysMessage, NewKey, Revoked, SecretHash,
};
use perennial_query::tool::Identity;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::world::{Node, PATIENCE};

async fn ask<T: Serialize + DeserializeOwned + Send + 'static>(
    node: &Node,
    message: KeysMessage,
) -> T {
    node.runtime.ask::<Keys, T>(KEYS, &message, PATIENCE).await.unwrap()
}

fn wanted(name: &str, role: &str) -> KeysMessage {
    let teams = ["reds".to_owned(), "blues".to_owned()].into();
    let hash = SecretHash([7; 32]);
    let new = NewKey { name: name.to_owned(), role: role.to_owned(), teams, hash };
    KeysMessage::Create { new, by: boss() }
}

fn boss() -> Identity {
    Identity { name: "boss".to_owned(), role: "admin".to_owned(), ..Identity::default() }
}

fn revoke(number: u64) -> KeysMessage {
    KeysMessage::Revoke { number, by: boss() }
}

/// What the audit has, in its order.
fn deeds(node: &Node) -> Vec<Deed> {
    let rows = node.runtime.tables().scan(&DEEDS, b"", 100).unwrap();
    rows.into_iter().map(|row| row.deed).collect()
}

async fn created(node: &Node, name: &str) -> KeyRow {
    let created: Created = ask(node, wanted(name, "insider")).await;
    let Created::Key(row) = created else { panic!("{created:?}") };
    row
}

fn row(node: &Node, number: u64) -> Option<KeyRow> {
    node.runtime.tables().get(&API_KEYS, &number).unwrap()
}

#[tokio::test]
async fn a_key_that_is_given_out_says_on_whose_behalf_its_holder_asks() {
    let node = Node::start().await;
    let key = created(&node, "ann").await;
    assert_eq!(row(&node, key.number), Some(key.clone()));
    let expected = Identity {
        name: "ann".to_owned(),
        role: "insider".to_owned(),
        teams: vec!["blues".to_owned(), "reds".to_owned()],
        key: Some(key.number),
    };
    assert_eq!(key.identity(), expected);
    assert_eq!((key.hash, key.revoked_at), (SecretHash([7; 32]), None));
}

#[tokio::test]
async fn a_key_of_a_role_that_is_not_there_is_not_given_out() {
    let node = Node::start().await;
    let refused: Created = ask(&node, wanted("ann", "insidr")).await;
    assert_eq!(refused, Created::UnknownRole(vec!["insider".to_owned()]));
    assert_eq!(row(&node, 1), None);
}

#[tokio::test]
async fn a_key_is_revoked_once_and_for_all() {
    let node = Node::start().await;
    let number = created(&node, "ann").await.number;
    assert_eq!(ask::<Revoked>(&node, revoke(number)).await, Revoked::Done);
    let revoked = row(&node, number);
    assert!(revoked.as_ref().is_some_and(|row| row.revoked_at.is_some()));
    assert_eq!(ask::<Revoked>(&node, revoke(number)).await, Revoked::Done);
    assert_eq!(row(&node, number), revoked, "since when it is revoked does not change");
    assert_eq!(ask::<Revoked>(&node, revoke(99)).await, Revoked::Unknown);
}

#[tokio::test]
async fn keys_that_are_given_out_and_revoked_are_in_the_audit_once_each_with_who_did_it() {
    let node = Node::start().await;
    let number = created(&node, "ann").await.number;
    for _ in 0..2 {
        assert_eq!(ask::<Revoked>(&node, revoke(number)).await, Revoked::Done);
    }
    ask::<Created>(&node, wanted("bob", "insidr")).await;
    ask::<Revoked>(&node, revoke(99)).await;
    created(&node, "bob").await;
    let all = node.until("all of it is kept", |node| {
        let deeds = deeds(node);
        (deeds.len() >= 3).then_some(deeds)
    });
    let all = all.await;
    let deed = |act, object: &str, name: &str, result: &str| Deed {
        act,
        object: object.to_owned(),
        name: name.to_owned(),
        by: boss(),
        result: Ok(result.to_owned()),
    };
    let expected = [
        deed(Act::KeyCreated, "1", "ann", "created"),
        deed(Act::KeyRevoked, "1", "ann", "revoked"),
        deed(Act::KeyCreated, "2", "bob", "created"),
    ];
    assert_eq!(all, expected);
}

#[tokio::test]
async fn a_number_is_given_once_whatever_was_revoked_and_restarted_meanwhile() {
    let node = Node::start().await;
    let first = created(&node, "ann").await.number;
    ask::<Revoked>(&node, revoke(first)).await;
    let again = node.again(Config::default()).await;
    let second = created(&again, "ann").await.number;
    assert!(second > first, "{second} after {first}");
}

#[test]
fn what_is_kept_of_a_secret_is_not_shown() {
    assert_eq!(format!("{:?}", SecretHash([7; 32])), "SecretHash(..)");
}
