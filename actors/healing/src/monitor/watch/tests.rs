use super::*;

fn of(name: &str, labels: &[(&str, &str)]) -> Policy {
    let labels: Vec<_> = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    policy(&Config::default(), name, &labels)
}

#[test]
fn stars_and_question_marks_match_as_in_a_shell() {
    let cases = [
        ("*", "", true),
        ("web", "web", true),
        ("web", "web1", false),
        ("web?", "web1", true),
        ("web?", "web", false),
        ("perennial-*", "perennial-node", true),
        ("perennial-*", "my-perennial-node", false),
        ("*-db-*", "a-db-db-1", true),
        ("*a*b", "xaxxbxb", true),
        ("*a*b", "xaxxbx", false),
        ("**", "anything", true),
        ("", "x", false),
    ];
    for (pattern, name, matches) in cases {
        assert_eq!(glob(pattern, name), matches, "{pattern} {name}");
    }
}

#[test]
fn labels_decide_before_names() {
    assert!(of("web", &[]).watched);
    assert!(!of("perennial-node", &[]).watched);
    assert!(of("perennial-node", &[("perennial.enable", "true")]).watched);
    assert!(of("perennial-node", &[("autoheal", "true")]).watched);
    let off = of("web", &[("perennial.enable", "false"), ("autoheal", "true")]);
    assert!(!off.watched);
    assert_eq!(off.reason, "label perennial.enable=false");
    assert_eq!(off.mode, Mode::Observe);
}

#[test]
fn autoheal_labels_choose_the_mode_unless_ours_does() {
    assert_eq!(of("web", &[]).mode, Mode::Auto);
    assert_eq!(of("web", &[("autoheal", "false")]).mode, Mode::Observe);
    assert!(of("web", &[("autoheal", "false")]).watched);
    assert_eq!(
        of("web", &[("autoheal", "false"), ("perennial.mode", "propose")]).mode,
        Mode::Propose
    );
    assert!(of("web", &[("autoheal", "true")]).opted_in);
    assert!(of("web", &[("perennial.mode", "observe")]).opted_in);
    assert!(!of("web", &[("autoheal", "false")]).opted_in);
    assert_eq!(of("web", &[("autoheal.stop.timeout", "20")]).stop_timeout, Some(20));
}

#[test]
fn limits_are_percentages_and_nonsense_is_ignored_aloud() {
    let policy = of("web", &[("perennial.cpu", "50"), ("perennial.memory", "90%")]);
    assert!((policy.cpu - 0.5).abs() < 1e-9);
    assert!((policy.memory - 0.9).abs() < 1e-9);
    let odd = of("web", &[("perennial.cpu", "0"), ("perennial.restart.max", "many")]);
    assert!((odd.cpu - 0.85).abs() < 1e-9);
    assert_eq!(odd.restart_max, None);
    assert_eq!(odd.ignored.len(), 2, "{:?}", odd.ignored);
}
