use super::*;

fn warnings(change: impl FnOnce(&mut Config)) -> String {
    let mut config = Config::default();
    change(&mut config);
    config.check().join("\n")
}

fn with_email(config: &mut Config) {
    config.email.host = "mail.example.org".to_owned();
    config.email.from = "node@example.org".to_owned();
    config.email.to = vec!["ops@example.org".to_owned()];
}

#[test]
fn the_defaults_and_a_whole_configuration_give_no_warning() {
    assert_eq!(warnings(|_| ()), "");
    let whole = |config: &mut Config| {
        with_email(config);
        config.slack.url = Secret::new("https://hooks.example.org/x");
        config.webhook.url = Secret::new("https://example.org/x");
        config.webhook.key = Secret::new("k");
    };
    assert_eq!(warnings(whole), "");
}

#[test]
fn receivers_that_do_not_exist_are_named() {
    assert!(warnings(|config| config.email.host = "mail".to_owned()).contains("email.to is empty"));
    let to_nobody = |config: &mut Config| config.email.to = vec!["a@b".to_owned()];
    assert!(warnings(to_nobody).contains("email.host is empty"));
    assert!(warnings(|config| config.fallback = "pager".to_owned()).contains("names no channel"));
    let only_slack = |config: &mut Config| config.slack.url = Secret::new("https://x");
    assert!(warnings(only_slack).contains("has no second way"));
    let unsigned = |config: &mut Config| config.webhook.url = Secret::new("https://x");
    assert!(warnings(unsigned).contains("not signed"));
    let clear = |config: &mut Config| {
        with_email(config);
        config.email.tls = Tls::None;
        config.email.user = "u".to_owned();
        config.email.password = Secret::new("p");
    };
    assert!(warnings(clear).contains("in clear"));
    let alone = |config: &mut Config| {
        with_email(config);
        config.email.fallback_only = true;
    };
    assert!(warnings(alone).contains("no other channel"));
}

#[test]
fn what_is_no_address_to_send_to_is_refused_without_being_shown() {
    let refused = |slack: &str, webhook: &str| {
        let mut config = Config::default();
        config.slack.url = Secret::new(slack);
        config.webhook.url = Secret::new(webhook);
        config.refusals()
    };
    assert_eq!(refused("https://a.example/x", "http://127.0.0.1:1/"), []);
    assert_eq!(refused("", ""), []);
    let both = refused("not a url", "ftp://s3cret.example/x");
    assert_eq!(both.iter().map(|(key, _)| *key).collect::<Vec<_>>(), URLS);
    assert!(both.iter().all(|(_, why)| !why.contains("s3cret") && !why.contains("not a url")));
    assert_eq!(refused("", "http://").len(), 1);
}

const URLS: [&str; 2] = ["alert.slack.url", "alert.webhook.url"];

#[test]
fn limits_that_can_never_trip_are_named() {
    let late = |config: &mut Config| config.fallback_after = config.expires;
    assert!(warnings(late).contains("fallback_after is not below"));
    let short = |config: &mut Config| config.retention = Duration::from_secs(1);
    assert!(warnings(short).contains("retention is below"));
    let wait = |config: &mut Config| config.group_wait = Duration::from_secs(9999);
    assert!(warnings(wait).contains("group_wait is above"));
}

#[test]
fn channels_are_told_what_is_severe_enough_and_a_fallback_nothing_at_first_hand() {
    let mut config = Config::default();
    assert_eq!(config.routes(), []);
    with_email(&mut config);
    config.slack.url = Secret::new("https://x");
    let names = |config: &Config, severity| {
        config.routes_for(severity).iter().map(|route| route.channel).collect::<Vec<_>>()
    };
    assert_eq!(names(&config, Severity::Info), [SLACK]);
    assert_eq!(names(&config, Severity::Warning), [SLACK, EMAIL]);
    config.email.fallback_only = true;
    assert_eq!(names(&config, Severity::Critical), [SLACK]);
    assert_eq!(config.fallback_route().map(|route| route.channel), Some(EMAIL));
    config.fallback_after = Duration::ZERO;
    assert_eq!(config.fallback_route(), None);
}

#[test]
fn secrets_do_not_show_in_a_dump() {
    let mut config = Config::default();
    config.slack.url = Secret::new("https://hooks.example.org/s3cret");
    config.email.password = Secret::new("s3cret");
    config.webhook.key = Secret::new("s3cret");
    assert!(!serde_json::to_string(&config).unwrap().contains("s3cret"));
    assert!(!format!("{config:?}").contains("s3cret"));
}
