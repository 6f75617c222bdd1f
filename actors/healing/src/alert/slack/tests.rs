use super::*;
use crate::alert::samples::notice;

#[test]
fn an_escalation_is_a_red_attachment_with_the_time_of_the_event() {
    let body = message(&notice("web"));
    let attachment = &body["attachments"][0];
    assert_eq!(attachment["color"], "#ff0000");
    assert_eq!(attachment["ts"], 1_700_000_000);
    assert_eq!(attachment["title"], "A person is needed: web");
    assert_eq!(attachment["fields"][0]["title"], "Container");
    assert_eq!(attachment["fields"][0]["value"], "web");
    assert_eq!(attachment["fields"][0]["short"], true);
    assert_eq!(attachment["footer"], "Perennial \u{2022} alert \u{2022} test");
}

#[test]
fn a_container_cannot_mention_people_or_make_links() {
    let body = message(&notice("<!channel> <http://evil|click> \u{1b}[31m")).to_string();
    assert!(!body.contains("<!channel>") && !body.contains("<http"), "{body}");
    assert!(body.contains("&lt;!channel&gt;"));
    assert!(!body.contains("\\u001b"));
}

#[test]
fn long_text_is_cut() {
    let body = message(&notice(&"x".repeat(100_000))).to_string();
    assert!(body.len() < 8_000, "{}", body.len());
}
