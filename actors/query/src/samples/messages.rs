//! What the actors of a query, and those that give out keys, are told.

use super::*;

#[test]
fn the_format_of_messages_to_orchestrators_is_frozen() {
    let orders = [
        QueryOrder::Cancel { reason: "enough".to_owned() },
        QueryOrder::Pause,
        QueryOrder::Resume,
        QueryOrder::Decide { step: "s1".into(), approved: false, note: "no".to_owned() },
        QueryOrder::Retry,
        QueryOrder::Discard,
    ];
    let mut all = vec![
        OrchestratorMessage::Accept(Box::new(submission(Origin::Plan))),
        OrchestratorMessage::Begin,
        OrchestratorMessage::Answered { call: call_id(), result: Ok(answer()) },
        OrchestratorMessage::Answered { call: call_id(), result: Err(error(ErrorKind::Failed)) },
        OrchestratorMessage::AttemptDue(call_id()),
        OrchestratorMessage::ApprovalOver(3),
        OrchestratorMessage::DeadlineOver,
        OrchestratorMessage::Forget,
    ];
    all.extend(orders.map(|order| OrchestratorMessage::Order { by: "ann".to_owned(), order }));
    frozen("query/orchestrator-message", Orchestrator::VERSION, &all);
    let order = QueryOrder::RetryAll;
    let later =
        vec![OrchestratorMessage::GoOn, OrchestratorMessage::Order { by: "ann".to_owned(), order }];
    frozen("query/orchestrator-message-halting", Orchestrator::VERSION, &later);
    let ordered = vec![Ordered::Done, Ordered::Unknown, Ordered::Conflict("over".to_owned())];
    frozen("query/ordered", Orchestrator::VERSION, &ordered);
}

#[test]
fn the_format_of_messages_to_the_admission_is_frozen() {
    let id = || "q-1".to_owned();
    let mut all = vec![
        AdmissionMessage::Submit(Box::new(submission(Origin::Plan))),
        AdmissionMessage::Return { id: id(), key: Some(7) },
        AdmissionMessage::Release { id: id(), result: Some(Outcome::Succeeded) },
        AdmissionMessage::Expired("key".to_owned()),
        AdmissionMessage::Unnamed("name".to_owned()),
    ];
    frozen("query/admission-message", 3, &all);
    all.push(AdmissionMessage::Readmit { id: id(), key: Some(7) });
    frozen("query/admission-message", Admission::VERSION, &all);
    let admitted = vec![
        Admitted::Accepted { id: id(), ahead: 2 },
        Admitted::Shared { id: id() },
        Admitted::Full { waiting: 9 },
        Admitted::KeyFull { waiting: 4 },
    ];
    for version in [3, Admission::VERSION] {
        frozen("query/admitted", version, &admitted);
    }
}

#[test]
fn what_version_2_told_the_admission_is_read() {
    let old: Vec<AdmissionMessage2> = stored("query/admission-message", 2);
    frozen("query/admission-message", 2, &old);
    assert_eq!(old.len(), 5);
    let returned = AdmissionMessage::Return { id: "q-1".to_owned(), key: None };
    assert_eq!(old.into_iter().map(AdmissionMessage::from).nth(1), Some(returned));
    let one: AdmissionMessage2 = stored("query/admission-message-for", 2);
    frozen("query/admission-message-for", 2, &one);
    let admitted: Vec<Admitted> = stored("query/admitted", 2);
    frozen("query/admitted", 2, &admitted);
}

#[test]
fn the_format_of_calls_is_frozen() {
    let messages = vec![WorkerMessage::Call(order()), WorkerMessage::Cancel(call_id())];
    frozen("query/worker-message", ToolWorker::VERSION, &messages);
    let invoke = Invoke { order: order(), timeout: Duration::from_secs(5) };
    frozen("query/invoke", Invoke::VERSION, &invoke);
    let outcomes: Vec<<Invoke as Effect>::Outcome> =
        vec![Ok(answer()), Err(error(ErrorKind::Denied))];
    frozen("query/invoke-outcome", Invoke::VERSION, &outcomes);
    frozen("query/halt", Halt::VERSION, &Halt { id: call_id(), until: at(60) });
}

#[test]
fn the_format_of_keys_is_frozen() {
    let teams = || vec!["blues".to_owned()];
    let row = KeyRow {
        number: 7,
        name: "ann".to_owned(),
        role: "analyst".to_owned(),
        teams: teams(),
        hash: SecretHash([3; 32]),
        created_at: at(1),
        revoked_at: Some(at(2)),
    };
    frozen("query/api-key", API_KEYS.version(), &row);
    let new = NewKey {
        name: "ann".to_owned(),
        role: "analyst".to_owned(),
        teams: teams().into_iter().collect(),
        hash: SecretHash([3; 32]),
    };
    let old = vec![KeysMessage1::Create(new.clone()), KeysMessage1::Revoke(7)];
    frozen("query/keys-message", 1, &old);
    let by = identity();
    let messages = vec![
        KeysMessage::Create { new: new.clone(), by: by.clone() },
        KeysMessage::Revoke { number: 7, by },
    ];
    frozen("query/keys-message", Keys::VERSION, &messages);
    let by = Identity::default();
    let read = Keys::migrate_message(1, &encode(&old[0]).unwrap()).unwrap();
    assert_eq!(read, KeysMessage::Create { new, by: by.clone() });
    let read = Keys::migrate_message(1, &encode(&old[1]).unwrap()).unwrap();
    assert_eq!(read, KeysMessage::Revoke { number: 7, by });
    let state = Keys::sample(3, 2);
    frozen("query/keys", Keys::VERSION, &state);
    assert_eq!(Keys::migrate(1, &encode(&state).unwrap()).unwrap(), state);
}
