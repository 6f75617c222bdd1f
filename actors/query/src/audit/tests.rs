use perennial_runtime::{Play, frozen};

use super::*;

fn deed(act: Act, result: Result<&str, &str>) -> Deed {
    Deed {
        act,
        object: "doc-1".to_owned(),
        name: "a.md".to_owned(),
        by: Identity { name: "ann".to_owned(), key: Some(7), ..Identity::default() },
        result: result.map(str::to_owned).map_err(str::to_owned),
    }
}

#[test]
fn who_did_what_and_what_came_of_it_is_kept_with_its_time() {
    let mut play = Play::<Audit>::new(AUDIT, ());
    play.handle(AuditMessage::Keep(deed(Act::DocumentAdded, Ok("added")))).unwrap();
    let now = play.now();
    play.handle(AuditMessage::Keep(deed(Act::DocumentRemoved, Err("no room")))).unwrap();
    let row = play.row(&DEEDS, &2_u64).unwrap().unwrap();
    assert_eq!((row.number, row.at, row.deed.by.key), (2, now, Some(7)));
    assert_eq!(row.deed.result, Err("no room".to_owned()));
}

#[test]
fn of_more_deeds_than_are_kept_the_oldest_go() {
    let mut play = Play::<Audit>::new(AUDIT, ());
    play.handle(AuditMessage::Keep(deed(Act::DocumentAdded, Ok("added")))).unwrap();
    play.state.count = KEPT;
    play.handle(AuditMessage::Keep(deed(Act::DocumentAdded, Ok("added")))).unwrap();
    assert_eq!(play.row(&DEEDS, &1_u64).unwrap(), None);
    assert!(play.row(&DEEDS, &(KEPT + 1)).unwrap().is_some());
}

#[test]
fn the_format_of_deeds_is_frozen() {
    let acts = [Act::DocumentAdded, Act::DocumentRemoval, Act::DocumentRemoved];
    let mut all: Vec<Deed> = acts.into_iter().map(|act| deed(act, Ok("done"))).collect();
    all.push(deed(Act::DocumentAdded, Err("refused")));
    let at = Timestamp::from_micros(1_000_000);
    let row = |(number, deed)| DeedRow { number, at, deed };
    let all: Vec<DeedRow> = (1..).zip(all).map(row).collect();
    frozen("query/deed", DEEDS.version(), &all);
    frozen("query/audit", Audit::VERSION, &Audit { count: 5 });
    frozen("query/audit-message", Audit::VERSION, &AuditMessage::Keep(deed(acts[0], Ok("added"))));
}
