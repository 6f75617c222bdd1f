use super::*;
use crate::alert::samples::{second, subject};

const WAIT: Duration = Duration::from_secs(30);

fn news(incident: &str, change: Change) -> News {
    News { incident: IncidentId(incident.to_owned()), change, at: second(1) }
}

fn gap(name: &str) -> Gap {
    Gap { subject: subject(name, Some("shop")), gaps: vec!["no_memory_limit".to_owned()] }
}

#[test]
fn the_first_news_of_a_quiet_group_set_its_timer_and_further_ones_do_not() {
    let mut groups = Groups::default();
    assert_eq!(groups.collect("shop", news("a", Change::Opened), WAIT), Some(WAIT));
    assert_eq!(groups.collect("shop", news("b", Change::Opened), WAIT), None);
    assert_eq!(groups.collect("blog", news("c", Change::Opened), WAIT), Some(WAIT));
    assert_eq!(groups.cover(gap("web"), WAIT), None);
}

#[test]
fn of_one_incident_the_latest_change_is_told_and_no_other_incident_is_dropped() {
    let mut groups = Groups::default();
    groups.collect("shop", news("a", Change::Opened), WAIT);
    groups.collect("shop", news("b", Change::Opened), WAIT);
    groups.collect("shop", news("a", Change::Resolved), WAIT);
    groups.collect("shop", news("a", Change::Reminder), WAIT);
    let taken = groups.take("shop").news;
    assert_eq!(taken, [news("a", Change::Resolved), news("b", Change::Opened)]);
}

#[test]
fn a_group_that_told_something_rests_for_an_interval_and_is_then_forgotten() {
    let mut groups = Groups::default();
    groups.collect("shop", news("a", Change::Opened), WAIT);
    assert!(!groups.take("shop").is_empty());
    assert_eq!(groups.collect("shop", news("b", Change::Opened), WAIT), None, "timer is set");
    assert!(!groups.take("shop").is_empty());
    assert!(groups.take("shop").is_empty());
    assert_eq!(groups, Groups::default());
}

#[test]
fn coverage_reports_beyond_the_limit_are_counted() {
    let mut groups = Groups::default();
    for n in 0..COVERAGE_LIMIT + 3 {
        groups.cover(gap(&format!("c{n}-")), WAIT);
    }
    groups.cover(gap("c0-"), WAIT);
    let taken = groups.take("shop");
    assert_eq!((taken.coverage.len(), taken.more_coverage), (COVERAGE_LIMIT, 3));
}

#[test]
fn containers_without_a_project_share_a_group() {
    assert_eq!(group_of(&subject("web", None)), UNGROUPED);
    assert_eq!(group_of(&subject("web", Some(""))), UNGROUPED);
    assert_eq!(group_of(&subject("web", Some("shop"))), "shop");
}
