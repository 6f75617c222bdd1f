use super::*;
use crate::message::StoredMessage;
use crate::turn::TraceId;

fn envelope(unit: u64) -> Envelope {
    let message = StoredMessage {
        accepted_at: Timestamp::from_micros(unit),
        trace: TraceId::default(),
        expires: None,
        token: None,
        asked: false,
        version: 1,
        payload: payload_of(unit),
    };
    Envelope::new(Origin::Inbox(MessageId { unit, index: 1 }), message)
}

const WINDOW: (usize, usize) = (2, 10_000);

fn units(next: Next) -> Vec<u64> {
    let Next::Run(Taken { due, batch, .. }) = next else { panic!("{next:?}") };
    let messages = batch.with_payloads().map(|(waiting, payload)| {
        assert_eq!(payload, payload_of(waiting.id().unit), "its own");
        waiting.id().unit
    });
    due.iter().map(|_| 0).chain(messages).collect()
}

const NOW: Timestamp = Timestamp::from_micros(1_000);

/// As long as its number.
fn payload_of(unit: u64) -> Vec<u8> {
    vec![unit as u8; unit as usize]
}

fn tell(inbox: &mut Inbox, unit: u64) {
    let payload = payload_of(unit);
    let told = Told { unit, expires: None, asker: None, bytes: payload.len() as u32, version: 1 };
    inbox.tell(told, &payload, || NOW);
}

fn unread(inbox: &Inbox) -> u64 {
    inbox.unread_from().unwrap().unit
}

#[test]
fn a_scan_begins_before_a_message_that_came_while_it_was_waited_for_with_a_lower_number() {
    let mut inbox = Inbox::default();
    inbox.offer_durable(&envelope(7), 1);
    assert!(matches!(inbox.next(10, || NOW), Next::Load { position: 1 }));
    inbox.offer_durable(&envelope(5), 2);
    assert_eq!(unread(&inbox), 5);
    inbox.load(vec![envelope(5), envelope(7)], true, 2);
    assert_eq!(units(inbox.next(10, || NOW)), [5, 7]);
}

#[test]
fn what_fits_the_window_comes_out_in_order_and_the_rest_is_read_from_the_store() {
    let mut inbox = Inbox::default();
    (1..=5).for_each(|unit| inbox.offer(envelope(unit), unit, WINDOW));
    assert_eq!(inbox.depth(), 5);
    assert_eq!(units(inbox.next(10, || NOW)), [1, 2]);
    let Next::Load { position } = inbox.next(10, || NOW) else { panic!() };
    assert_eq!((unread(&inbox), position), (3, 5));
    inbox.load(vec![envelope(3), envelope(4)], false, 5);
    assert_eq!(units(inbox.next(10, || NOW)), [3, 4]);
    inbox.load(vec![envelope(5)], true, 5);
    assert_eq!(units(inbox.next(10, || NOW)), [5]);
    assert!(inbox.is_empty());
}

#[test]
fn once_it_spills_everything_spills_until_the_store_was_read_to_its_end() {
    let mut inbox = Inbox::default();
    (1..=3).for_each(|unit| inbox.offer(envelope(unit), unit, WINDOW));
    assert_eq!(units(inbox.next(10, || NOW)), [1, 2]);
    inbox.offer(envelope(4), 4, WINDOW);
    assert!(matches!(inbox.next(10, || NOW), Next::Load { .. }), "4 must not overtake 3");
    inbox.load(vec![envelope(3), envelope(4)], true, 4);
    inbox.offer(envelope(5), 5, WINDOW);
    assert_eq!(units(inbox.next(2, || NOW)), [3, 4]);
}

#[test]
fn after_a_scan_that_may_have_missed_a_spilled_message_another_begins_at_the_same_place() {
    let mut inbox = Inbox::default();
    (1..=3).for_each(|unit| inbox.offer(envelope(unit), unit, WINDOW));
    assert_eq!(units(inbox.next(10, || NOW)), [1, 2]);
    assert!(matches!(inbox.next(10, || NOW), Next::Load { .. }));
    let from = inbox.unread_from().unwrap();
    inbox.load(vec![envelope(4)], true, 2);
    assert_eq!(
        units(inbox.next(10, || NOW)),
        [4],
        "what was found is handled, however busy the inbox"
    );
    assert!(matches!(inbox.next(10, || NOW), Next::Load { position: 3 }));
    let again = inbox.unread_from().unwrap();
    assert_eq!(again, from);
}

#[test]
fn what_a_slice_did_not_reach_goes_back_in_front() {
    let mut inbox = Inbox::default();
    (1..=2).for_each(|unit| inbox.offer(envelope(unit), unit, WINDOW));
    let Next::Run(Taken { mut batch, .. }) = inbox.next(10, || NOW) else { panic!() };
    inbox.offer(envelope(3), 3, WINDOW);
    batch.messages.remove(0);
    inbox.put_back(batch.into_envelopes(0, NOW));
    assert_eq!(units(inbox.next(10, || NOW)), [2, 3]);
}

#[test]
fn a_timer_that_falls_due_twice_is_one_and_comes_before_messages() {
    let mut inbox = Inbox::default();
    let due = Timestamp::from_micros(9);
    inbox.offer(envelope(1), 1, WINDOW);
    inbox.offer_timer("t".to_owned(), due);
    inbox.offer_timer("t".to_owned(), due);
    assert_eq!(units(inbox.next(10, || NOW)), [0, 1]);
}

#[test]
fn a_rebuilt_inbox_reads_everything_again_from_the_store() {
    let mut inbox = Inbox::default();
    (1..=2).for_each(|unit| inbox.offer(envelope(unit), unit + 10, WINDOW));
    inbox.rebuild();
    let Next::Load { position } = inbox.next(10, || NOW) else { panic!() };
    let from = inbox.unread_from().unwrap();
    assert_eq!((from.unit, position), (0, 12));
    assert_eq!(inbox.depth(), 2);
}

#[test]
fn the_window_is_bounded_in_bytes_but_always_takes_one() {
    let mut inbox = Inbox::default();
    (1..=2).for_each(|unit| inbox.offer(envelope(unit), unit, (10, 50)));
    assert_eq!(units(inbox.next(10, || NOW)), [1]);
    assert!(matches!(inbox.next(10, || NOW), Next::Load { .. }));
}

#[test]
fn what_was_told_stands_in_order_among_stored_messages_also_when_the_inbox_is_rebuilt() {
    let mut inbox = Inbox::default();
    for unit in [1, 3, 6] {
        inbox.offer(envelope(unit), unit, (10, 10_000));
        tell(&mut inbox, unit + 1);
    }
    tell(&mut inbox, 8);
    assert_eq!(units(inbox.next(2, || NOW)), [1, 2]);
    inbox.rebuild();
    assert!(inbox.has_spilled(), "nothing is told before the rows were read");
    assert_eq!(inbox.depth(), 5);
    inbox.offer(envelope(9), 9, (10, 10_000));
    assert!(matches!(inbox.next(10, || NOW), Next::Load { .. }));
    inbox.load(vec![envelope(3)], false, 6);
    assert_eq!(units(inbox.next(10, || NOW)), [3]);
    inbox.load(vec![envelope(6), envelope(9)], true, 9);
    assert_eq!(units(inbox.next(10, || NOW)), [4, 6, 7, 8, 9]);
    assert!(inbox.is_empty());
}

#[test]
fn what_was_told_and_not_reached_is_kept_and_can_be_taken_out() {
    let mut inbox = Inbox::default();
    (1..=3).for_each(|unit| tell(&mut inbox, unit));
    let Next::Run(Taken { mut batch, .. }) = inbox.next(2, || NOW) else { panic!() };
    let rest = batch.split_off(1);
    assert_eq!((batch.payloads.len(), rest.payloads.len()), (1, 2));
    inbox.put_back(rest.into_envelopes(0, NOW));
    inbox.rebuild();
    let told = inbox.take_told().into_envelopes(0, NOW);
    let told: Vec<_> = told.iter().map(|told| (told.origin.id().unit, told.bytes())).collect();
    assert_eq!(told, [(2, 130), (3, 131)]);
    assert_eq!(inbox.bytes, 0);
}

#[test]
fn what_was_told_is_taken_out_with_its_own_payloads_also_while_the_store_is_read_again() {
    let mut inbox = Inbox::default();
    for unit in [1, 3, 5] {
        inbox.offer(envelope(unit), unit, (10, 10_000));
        tell(&mut inbox, unit + 1);
    }
    inbox.rebuild();
    inbox.load(vec![envelope(1), envelope(3)], false, 5);
    let batch = inbox.take_told();
    let told = batch.with_payloads().map(|(told, payload)| (told.id().unit, payload.len()));
    assert_eq!(told.collect::<Vec<_>>(), [(2, 2), (4, 4), (6, 6)]);
    assert_eq!(units(inbox.next(10, || NOW)), [1, 3]);
}

#[test]
fn the_room_to_tell_is_bounded_in_messages_and_bytes_but_there_is_always_room_for_one() {
    let mut inbox = Inbox::default();
    let bounds = (2, 200);
    assert!(inbox.has_room(1_000, bounds));
    tell(&mut inbox, 1);
    assert!(inbox.has_room(100, bounds) && !inbox.has_room(200, bounds));
    tell(&mut inbox, 2);
    assert!(!inbox.has_room(0, bounds) && !inbox.has_ample_room(bounds));
    assert_eq!(units(inbox.next(1, || NOW)), [1]);
    assert!(inbox.has_ample_room(bounds));
}

#[test]
fn what_an_earlier_run_left_comes_before_all_that_arrives_also_when_nobody_knows_of_it() {
    let mut inbox = Inbox::unseen();
    inbox.offer(envelope(7), 1, WINDOW);
    let Next::Load { position } = inbox.next(10, || NOW) else { panic!() };
    assert_eq!((unread(&inbox), position), (0, 1));
    inbox.load(vec![envelope(3), envelope(7)], true, 1);
    assert_eq!(units(inbox.next(10, || NOW)), [3, 7]);
    assert!(inbox.is_empty());
}

#[test]
fn what_an_earlier_run_left_is_counted_once_and_not_when_some_of_it_was_read_meanwhile() {
    let mut inbox = Inbox::unseen();
    let from = inbox.uncounted_from().unwrap();
    inbox.load(vec![envelope(1)], false, 0);
    inbox.note_counted(from, 9);
    let from = inbox.uncounted_from().unwrap();
    inbox.note_counted(from, 8);
    assert_eq!((inbox.depth(), inbox.uncounted_from()), (9, None), "one was read, eight are left");
    inbox.rebuild();
    assert_eq!((inbox.depth(), inbox.uncounted_from()), (9, None));
}

#[test]
fn a_backlog_is_over_when_it_was_read_and_what_comes_next_is_newer() {
    let is_own = |id: MessageId| id.unit >= 5;
    let mut inbox = Inbox::unseen();
    inbox.offer(envelope(5), 1, WINDOW);
    assert!(!inbox.is_past_backlog(is_own), "nothing was read");
    inbox.note_caught_up();
    inbox.load(vec![envelope(4), envelope(5)], false, 1);
    assert!(!inbox.is_past_backlog(is_own), "4 comes next");
    assert_eq!(units(inbox.next(1, || NOW)), [4]);
    assert!(inbox.is_past_backlog(is_own), "5 comes next");
    assert_eq!(units(inbox.next(1, || NOW)), [5]);
    assert!(inbox.is_past_backlog(is_own), "only newer ones are to be read");
    inbox.load(Vec::new(), true, 1);
    assert!(!inbox.is_past_backlog(is_own), "nothing is known to come next");
}
