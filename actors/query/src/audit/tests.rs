use perennial_runtime::{Play, Timestamp, frozen};
use perennial_store::encode;

use super::older::Audit1;
use super::*;
use crate::tool::Identity;

fn deed(act: Act, result: Result<&str, &str>) -> Deed {
    Deed {
        act,
        object: "doc-1".to_owned(),
        name: "a.md".to_owned(),
        by: Identity { name: "ann".to_owned(), key: Some(7), ..Identity::default() },
        result: result.map(str::to_owned).map_err(str::to_owned),
    }
}

fn added() -> AuditMessage {
    AuditMessage::Keep(deed(Act::DocumentAdded, Ok("added")))
}

fn tried() -> AuditMessage {
    AuditMessage::Tried(deed(Act::DocumentRemoved, Ok("not_there")))
}

fn is_kept(play: &Play<Audit>, number: u64) -> bool {
    play.row(&DEEDS, &number).unwrap().is_some()
}

#[test]
fn who_did_what_and_what_came_of_it_is_kept_with_its_time() {
    let mut play = Play::<Audit>::new(AUDIT, ());
    play.handle(added()).unwrap();
    let now = play.now();
    play.handle(AuditMessage::Keep(deed(Act::DocumentRemoved, Err("no room")))).unwrap();
    let row = play.row(&DEEDS, &2_u64).unwrap().unwrap();
    assert_eq!((row.number, row.at, row.deed.by.key), (2, now, Some(7)));
    assert_eq!(row.deed.result, Err("no room".to_owned()));
}

#[test]
fn of_more_deeds_than_are_kept_the_oldest_go() {
    let mut play = Play::<Audit>::new(AUDIT, ());
    play.handle(added()).unwrap();
    // As version 1 left it.
    play.state = Audit1 { count: KEPT }.into();
    play.handle(added()).unwrap();
    assert_eq!(play.row(&DEEDS, &1_u64).unwrap(), None);
    assert!(play.row(&DEEDS, &(KEPT + 1)).unwrap().is_some());
}

#[test]
fn what_changes_nothing_has_nothing_forgotten_but_its_like() {
    let mut play = Play::<Audit>::new(AUDIT, ());
    for message in [added(), tried(), tried(), added()] {
        play.handle(message).unwrap();
    }
    play.state.parts[Part::Tries as usize] = FEWER_KEPT;
    play.handle(tried()).unwrap();
    assert_eq!(
        [1, 2, 3, 4, 5].map(|number| is_kept(&play, number)),
        [true, false, true, true, true]
    );
    play.handle(tried()).unwrap();
    assert_eq!([1, 3, 4, 6].map(|number| is_kept(&play, number)), [true, false, true, true]);
    play.state.parts[Part::Documents as usize] = KEPT + 1;
    play.handle(added()).unwrap();
    assert!(!is_kept(&play, 4), "the second document, which is the fourth deed");
    assert!(is_kept(&play, 1) && is_kept(&play, 7));
}

#[test]
fn what_is_done_to_keys_is_not_forgotten_for_what_is_done_to_documents_or_conversations() {
    let mut play = Play::<Audit>::new(AUDIT, ());
    let deleted = || AuditMessage::Keep(deed(Act::ConversationDeleted, Ok("deleted")));
    let created = AuditMessage::Keep(deed(Act::KeyCreated, Ok("created")));
    for message in [created, added(), deleted(), tried()] {
        play.handle(message).unwrap();
    }
    for part in [Part::Documents, Part::Conversations, Part::Tries] {
        play.state.parts[part as usize] = part.kept();
    }
    for message in [added(), deleted(), tried()] {
        play.handle(message).unwrap();
    }
    let kept = [1, 2, 3, 4, 5, 6, 7].map(|number| is_kept(&play, number));
    assert_eq!(kept, [true, false, false, false, true, true, true]);
}

/// A row of each of `acts`, and of one that was refused.
fn rows(acts: &[Act]) -> Vec<DeedRow> {
    let mut all: Vec<Deed> = acts.iter().map(|act| deed(*act, Ok("done"))).collect();
    all.push(deed(Act::DocumentAdded, Err("refused")));
    let at = Timestamp::from_micros(1_000_000);
    let row = |(number, deed)| DeedRow { number, at, deed };
    (1..).zip(all).map(row).collect()
}

#[test]
fn the_format_of_deeds_is_frozen() {
    frozen("query/deed", DEEDS.version(), &rows(&Act::ALL));
    frozen("query/deed-place", PLACES.version(), &7_u64);
    frozen("query/audit", Audit::VERSION, &Audit { count: 5, parts: [1, 2, 3, 4] });
    frozen("query/audit-message", Audit::VERSION, &vec![added(), tried()]);
}

#[test]
fn what_version_1_kept_and_was_told_is_read() {
    frozen("query/audit", 1, &Audit1 { count: 5 });
    let state = Audit::migrate(1, &encode(&Audit1 { count: 5 }).unwrap()).unwrap();
    assert_eq!((state.count, state.parts), (5, [5, 0, 0, 0]));
    frozen("query/audit-message", 1, &added());
    assert_eq!(Audit::migrate_message(1, &encode(&added()).unwrap()).unwrap(), added());
    let rows = rows(&[Act::DocumentAdded, Act::DocumentRemoval, Act::DocumentRemoved]);
    frozen("query/deed", 1, &rows);
    for row in rows {
        assert_eq!(older::deed(1, &encode(&row).unwrap()).unwrap(), row);
    }
    assert!(Audit::migrate(3, &[]).is_err());
}
