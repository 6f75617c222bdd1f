use super::*;

fn event(json: &str) -> Option<(String, i64, Notice)> {
    notice(&serde_json::from_str(json).unwrap())
}

fn kind(action: &str, attributes: &str) -> Option<EventKind> {
    let json = format!(
        r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"abc","Attributes":{attributes}}},
        "time":1700000000,"timeNano":1700000000000000042}}"#
    );
    match event(&json)?.2 {
        Notice::Event(event) => Some(event.kind),
        Notice::LookAgain => None,
    }
}

#[test]
fn events_are_read_with_their_attributes() {
    assert_eq!(kind("die", r#"{"exitCode":"137"}"#), Some(EventKind::Die(137)));
    assert_eq!(kind("kill", r#"{"signal":"15"}"#), Some(EventKind::Kill(15)));
    assert_eq!(kind("kill", r#"{"signal":"SIGHUP"}"#), Some(EventKind::Kill(1)));
    assert_eq!(
        kind("health_status: unhealthy", "{}"),
        Some(EventKind::HealthStatus("unhealthy".into()))
    );
    assert_eq!(kind("rename", r#"{"name":"new"}"#), Some(EventKind::Rename("new".into())));
    assert_eq!(kind("exec_start: true", "{}"), None);
}

#[test]
fn an_event_keeps_the_engines_nanoseconds() {
    let json = r#"{"Action":"update","Actor":{"ID":"abc"},"timeNano":1700000000000000042}"#;
    let found = event(json).unwrap();
    assert_eq!(found, ("abc".into(), 1_700_000_000_000_000_042, Notice::LookAgain));
}

#[test]
fn signals_have_numbers_and_names() {
    let cases = [
        ("9", Some(9)),
        ("SIGTERM", Some(15)),
        ("QUIT", Some(3)),
        ("SIGRTMIN+3", Some(37)),
        ("SIGNONSENSE", None),
        ("", None),
    ];
    for (text, number) in cases {
        assert_eq!(signal(text), number, "{text}");
    }
}

fn seen(json: &str) -> Inspection {
    inspection(Timestamp::from_micros(7), &serde_json::from_str(json).unwrap(), 4)
}

#[test]
fn an_inspection_gives_identity_run_limits_and_policy() {
    let seen = seen(
        r#"{"Id":"abc","Name":"/web","RestartCount":2,"Created":"2026-01-01T00:00:00.5Z",
        "State":{"Status":"exited","OOMKilled":true,"ExitCode":137,
          "StartedAt":"2026-01-01T00:00:01Z","FinishedAt":"2026-01-01T00:00:02Z"},
        "HostConfig":{"Memory":1048576,"CpuQuota":50000,"CpuPeriod":100000,
          "RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3}},
        "Config":{"Image":"img:1","StopSignal":"SIGQUIT","StopTimeout":20,
          "Labels":{"com.docker.compose.project":"p","com.docker.compose.service":"s",
            "autoheal":"true","perennial.cpu":"50","other":"x"},
          "Healthcheck":{"Test":["CMD","true"]}}}"#,
    );
    assert_eq!(seen.subject.name, "web");
    assert_eq!(seen.subject.image, "img:1");
    assert_eq!(seen.subject.project.as_deref(), Some("p"));
    assert_eq!(seen.labels.len(), 2);
    assert_eq!(seen.stop_signal, Some(3));
    assert!(seen.has_health_check);
    let facts = seen.facts;
    assert_eq!(
        (facts.status, facts.exit_code, facts.oom_killed),
        (Status::Exited, Some(137), true)
    );
    assert_eq!(facts.restart_policy, RestartPolicy::OnFailure(3));
    assert_eq!(facts.memory_limit, Some(1 << 20));
    assert_eq!(facts.cpus, Some(0.5));
    assert_eq!((facts.stop_timeout, facts.restart_count), (Some(20), 2));
}

#[test]
fn what_is_not_limited_or_checked_is_said_to_be_so() {
    let seen = seen(
        r#"{"Id":"abc","State":{"Status":"running","ExitCode":0},"HostConfig":{"Memory":0},
        "Config":{"Healthcheck":{"Test":["NONE"]}}}"#,
    );
    assert!(!seen.has_health_check);
    assert_eq!(seen.facts.memory_limit, None);
    assert_eq!(seen.facts.cpus, Some(4.0));
    assert_eq!(seen.facts.exit_code, None);
    assert_eq!(seen.facts.restart_policy, RestartPolicy::No);
}

#[test]
fn a_summary_changes_with_state_code_and_health_but_not_with_age() {
    let line = |state: &str, status: &str| {
        let json = format!(r#"{{"Id":"a","Names":["/n"],"State":"{state}","Status":"{status}"}}"#);
        serde_json::from_str::<ContainerSummary>(&json).unwrap()
    };
    let of = |state, status| summary(&line(state, status));
    assert_eq!(of("running", "Up 2 hours (healthy)"), of("running", "Up 3 hours (healthy)"));
    assert_ne!(of("running", "Up 2 hours (healthy)"), of("running", "Up 2 hours (unhealthy)"));
    assert_ne!(of("exited", "Exited (0) 1 hour ago"), of("exited", "Exited (1) 1 hour ago"));
    assert!(is_young(&line("running", "Up 12 seconds")));
    assert!(!is_young(&line("running", "Up 12 minutes")));
}

fn taken(memory: &str) -> Sample {
    let json = format!(
        r#"{{"read":"2026-01-01T00:00:00Z","cpu_stats":{{"cpu_usage":{{"total_usage":77}}}},
        "memory_stats":{memory},
        "networks":{{"eth0":{{"rx_bytes":1,"tx_bytes":2}},"eth1":{{"rx_bytes":3,"tx_bytes":4}}}},
        "blkio_stats":{{"io_service_bytes_recursive":[{{"op":"Read","value":5}},
          {{"op":"write","value":6}},{{"op":"Total","value":11}}]}}}}"#
    );
    let target = Target { id: "a".into(), started_at: "s".into() };
    let host = Host { cpus: 4, memory: 1000 };
    sample(&serde_json::from_str(&json).unwrap(), &target, host, Timestamp::EPOCH).unwrap()
}

#[test]
fn droppable_page_cache_is_no_use_of_memory_under_either_cgroup_version() {
    let one = r#"{"usage":300,"limit":500,"stats":{"total_inactive_file":100,"inactive_file":10}}"#;
    let two = r#"{"usage":300,"limit":500,"stats":{"inactive_file":100}}"#;
    for memory in [one, two] {
        let sample = taken(memory);
        assert_eq!((sample.memory_bytes, sample.memory_limit), (200, Some(500)), "{memory}");
        assert_eq!(sample.network_bytes, (4, 6));
        assert_eq!(sample.block_bytes, (5, 6));
        assert_eq!(sample.cpu_total_ns, 77);
    }
}

#[test]
fn the_machines_own_memory_is_no_limit() {
    assert_eq!(taken(r#"{"usage":300,"limit":1000}"#).memory_limit, None);
}

#[test]
fn a_container_that_does_not_run_has_no_sample() {
    let stats = r#"{"read":"0001-01-01T00:00:00Z","cpu_stats":{"cpu_usage":{"total_usage":0}},
        "memory_stats":{}}"#;
    let target = Target { id: "a".into(), started_at: "s".into() };
    let stats = serde_json::from_str(stats).unwrap();
    assert_eq!(sample(&stats, &target, Host::default(), Timestamp::EPOCH), None);
}
