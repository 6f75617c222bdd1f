use super::*;

fn entry(reason: &str) -> AuditEntry {
    AuditEntry {
        number: 0,
        at: Timestamp::from_micros(1_000_000),
        incident: IncidentId("inc-1".to_owned()),
        subject: Subject { name: "web".to_owned(), ..Subject::default() },
        action: Action::Restart,
        stage: Stage::Finished,
        gates: vec![GateRecord {
            gate: "mode".to_owned(),
            passed: true,
            reason: "auto".to_owned(),
            until: None,
        }],
        outcome: Some(ActionOutcome::Done("restarted".to_owned())),
        reason: reason.to_owned(),
        confidence: 0.9,
        previous: String::new(),
        hash: String::new(),
    }
}

fn chain(length: u64) -> Vec<AuditEntry> {
    let mut head = Head::default();
    let chained = |number: u64| {
        let mut entry = entry(&format!("entry {number}"));
        head.append(&mut entry);
        entry
    };
    (1..=length).map(chained).collect()
}

#[test]
fn an_untouched_chain_verifies() {
    assert_eq!(verify_chain(&chain(5)), Ok(()));
    assert_eq!(verify_chain(&[]), Ok(()));
}

#[test]
fn any_change_to_an_entry_shows_at_its_number() {
    let changes: [fn(&mut AuditEntry); 8] = [
        |entry| entry.at = Timestamp::from_micros(1_000_001),
        |entry| entry.incident = IncidentId("inc-2".to_owned()),
        |entry| entry.subject.project = Some(String::new()),
        |entry| entry.action = Action::Exec(Vec::new()),
        |entry| entry.stage = Stage::Refused,
        |entry| entry.gates[0].passed = false,
        |entry| entry.outcome = Some(ActionOutcome::Reconciled("restarted".to_owned())),
        |entry| entry.confidence = 0.91,
    ];
    for change in changes {
        let mut entries = chain(4);
        change(&mut entries[2]);
        assert_eq!(verify_chain(&entries), Err(3));
    }
}

#[test]
fn an_entry_that_was_taken_out_shows() {
    let mut entries = chain(4);
    entries.remove(1);
    assert_eq!(verify_chain(&entries), Err(2));
}

#[test]
fn an_entry_that_was_changed_and_hashed_again_breaks_the_next_link() {
    let mut entries = chain(4);
    entries[1].reason = "nothing to see here".to_owned();
    entries[1].hash = entries[1].hashed();
    assert_eq!(verify_chain(&entries), Err(3));
}

#[test]
fn texts_cannot_be_moved_from_one_field_to_the_next() {
    let (mut one, mut two) = (entry("x"), entry("x"));
    (one.subject.name, one.subject.image) = ("ab".to_owned(), "c".to_owned());
    (two.subject.name, two.subject.image) = ("a".to_owned(), "bc".to_owned());
    assert_ne!(one.hashed(), two.hashed());
}

#[test]
fn the_canonical_form_is_frozen() {
    let mut frozen = entry("frozen");
    Head::default().append(&mut frozen);
    assert_eq!(frozen.hash, "2a708214bb1374d73e9fd8021be9658654803fa5cdc99f030d4c509a49564894");
}
