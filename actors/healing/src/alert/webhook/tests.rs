use super::*;
use crate::alert::samples::notice;

#[test]
fn the_signature_covers_timestamp_and_body() {
    // Checked with: printf '1700000002.{}' | openssl dgst -sha256 -hmac key
    let expected = "9f0bb3ec7bee2c298efdb2ec35b31091d239160ae6090ab86b0b745e6ff2bc00";
    assert_eq!(signature(&Secret::new("key"), "1700000002", "{}").unwrap(), expected);
}

#[test]
fn the_document_names_incident_container_and_change() {
    let document = document(&notice("web"));
    assert_eq!(document["id"], "inc-7.2");
    assert_eq!(document["change"], "escalated");
    assert_eq!(document["severity"], "critical");
    assert_eq!(document["at"], "2023-11-14T22:13:20Z");
    assert_eq!(document["incidents"][0]["container"]["project"], "shop");
    assert_eq!(document["incidents"][0]["fields"]["Reason"], "web");
}
