//! Servers that fail, and what stands in for them.

use super::*;

/// The answer of `m2`, after `m1` did what it was told.
async fn stood_in(act: Act, change: impl FnOnce(&mut Config)) -> ToolAnswer {
    let bench = Bench::new([vec![act], vec![]], change).await;
    let answer = bench.ask().await.unwrap();
    assert_eq!(bench.asked(), [1, 1]);
    assert_eq!(answer.value.0["model"], "m2");
    assert_eq!(answer.value.0["fallback_from"], "m1");
    assert_eq!(answer.value.0["attempts"], 2);
    answer
}

#[tokio::test]
async fn the_next_model_answers_for_one_whose_server_fails() {
    let body = |text: &str| Act::Body(text.to_owned());
    for (act, why) in [
        (Act::refuse(500), "answered 500: no"),
        (Act::refuse(429), "answered 429: no"),
        (Act::refuse(400), "answered 400: no"),
        (Act::refuse(401), "answered 401: no"),
        (Act::refuse(403), "answered 403: no"),
        (Act::Refuse(302, "location: /v1/models", String::new()), "answered 302"),
        (body("<html>"), "answered with what is no JSON"),
        (body("{}"), "answered with no text"),
        (Act::say(" "), "answered with no text"),
    ] {
        let answer = stood_in(act, |_| {}).await;
        let expected = format!("`m2` answered in place of `m1`, which {why}");
        assert!(answer.warnings[0].starts_with(&expected), "{:?}", answer.warnings);
    }
}

#[tokio::test]
async fn the_next_model_answers_for_one_that_breaks_off_in_the_middle() {
    for stream in [false, true] {
        let cut = Act::Cut(vec!["Once upon", " a time"]);
        let answer = stood_in(cut, |config| config.models[0].stream = stream).await;
        let expected =
            "which ended in the middle of its answer; until then it had written: Once upon a time";
        assert!(answer.warnings[0].ends_with(expected), "{:?}", answer.warnings);
    }
}

#[tokio::test]
async fn the_next_model_answers_for_one_that_is_too_slow() {
    let short = |config: &mut Config| config.models[0].timeout = Duration::from_millis(100);
    let answer = stood_in(Act::Sleep, short).await;
    assert!(answer.warnings[0].contains("had not answered wholly after 100"), "{answer:?}");
}

#[tokio::test]
async fn the_next_model_answers_for_one_whose_server_is_gone() {
    let nowhere = ModelServer::dead().await;
    let bench = Bench::new([vec![], vec![]], |config| config.models[0].base_url = nowhere).await;
    let answer = bench.ask().await.unwrap();
    assert_eq!(bench.asked(), [0, 1]);
    assert!(answer.warnings[0].contains("which could not be reached"), "{:?}", answer.warnings);
}

#[tokio::test]
async fn what_a_slow_model_has_written_until_the_deadline_is_told() {
    for provider in [Provider::OpenAi, Provider::Anthropic] {
        let bench = Bench::new([vec![Act::Stall(vec!["Once upon", " a time"])]], |config| {
            (config.models[0].provider, config.models[0].stream) = (provider, true);
        })
        .await;
        let call = call("llm", json!({"prompt": "x"}));
        let call = Call { timeout: Duration::from_secs(3), ..call };
        let error = bench.make(call).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Timeout);
        assert!(error.message.contains("until then it had written: Once upon a time"), "{error}");
    }
}

#[tokio::test]
async fn no_call_makes_more_than_three_requests() {
    let bench = Bench::new((0..5).map(|_| vec![Act::refuse(503)]), |_| {}).await;
    let error = bench.ask().await.unwrap_err();
    assert_eq!(bench.asked(), [1, 1, 1, 0, 0]);
    assert_eq!(error.kind, ErrorKind::Unavailable);
    let told = "`m1` answered 503: no; `m2` answered 503: no; `m3` answered 503: no";
    assert_eq!(error.message, format!("no model answered, asked 3 times: {told}"));
}

#[tokio::test]
async fn the_last_model_is_asked_again_when_its_server_says() {
    let busy = || Act::Refuse(429, "retry-after: 0", String::new());
    let bench = Bench::new([vec![busy(), busy(), Act::say("Now.")]], |_| {}).await;
    let answer = bench.ask().await.unwrap().value.0;
    assert_eq!((&answer["text"], &answer["attempts"]), (&json!("Now."), &json!(3)));
    assert_eq!(answer["fallback_from"], Value::Null);
}

#[tokio::test]
async fn a_wait_that_is_longer_than_the_call_has_is_left_to_the_query() {
    let busy = Act::Refuse(429, "retry-after: 900", String::new());
    let bench = Bench::new([vec![busy]], |_| {}).await;
    let error = bench.ask().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Overloaded);
    assert_eq!(error.retry_after, Some(Duration::from_secs(900)));
    assert_eq!(bench.asked(), [1]);
}

#[tokio::test]
async fn a_failure_that_may_pass_is_told_rather_than_one_that_does_not() {
    let busy = Act::Refuse(429, "retry-after: 9", String::new());
    let bench = Bench::new([vec![busy], vec![Act::refuse(401)]], |_| {}).await;
    let error = bench.ask().await.unwrap_err();
    assert_eq!(
        (error.kind, error.retry_after),
        (ErrorKind::Overloaded, Some(Duration::from_secs(9)))
    );
    let refused = Bench::new([vec![Act::refuse(401)]], |_| {}).await.ask().await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied);
}

#[tokio::test]
async fn a_model_that_refuses_comes_last_until_a_look_at_its_server_goes_well() {
    let bench = Bench::new([vec![Act::refuse(401)], vec![]], |_| {}).await;
    bench.ask().await.unwrap();
    let answer = bench.ask().await.unwrap();
    assert_eq!(bench.asked(), [1, 2], "it is not asked a second time");
    assert_eq!(answer.value.0["fallback_from"], "m1");
    assert!(answer.warnings[0].ends_with("in place of `m1`, which answered 401: no"));
    let states = bench.tool.states();
    assert_eq!((states[0].healthy, states[1].healthy), (false, true));
    assert_eq!(states[0].reason, "answered 401: no");

    bench.servers[0].then(Act::refuse(401));
    bench.clock.advance(Duration::from_secs(300));
    bench.ask().await.unwrap();
    assert_eq!((bench.servers[0].looked_at(), bench.asked()), (1, vec![1, 3]));

    bench.clock.advance(Duration::from_secs(300));
    let answer = bench.ask().await.unwrap();
    assert_eq!((bench.servers[0].looked_at(), bench.asked()), (2, vec![2, 3]));
    assert_eq!(answer.value.0["model"], "m1");
}

#[tokio::test]
async fn a_model_that_refuses_is_asked_if_there_is_no_other() {
    let bench = Bench::new([vec![Act::refuse(400)]], |_| {}).await;
    assert_eq!(bench.ask().await.unwrap_err().kind, ErrorKind::Failed);
    bench.ask().await.unwrap();
    assert!(bench.tool.states()[0].healthy);
}

#[tokio::test]
async fn a_look_tells_of_every_model_whether_it_takes_requests() {
    let nowhere = ModelServer::dead().await;
    let acts = [vec![], vec![Act::refuse(401)], vec![Act::refuse(404)], vec![]];
    let bench = Bench::new(acts, |config| config.models[3].base_url = nowhere).await;
    let states = bench.tool.check().await;
    let healthy: Vec<bool> = states.iter().map(|state| state.healthy).collect();
    assert_eq!(healthy, [true, false, true, false], "a server may have no list of models");
    assert_eq!(states[1].reason, "answered 401 when asked for its models");
    assert!(states[3].reason.starts_with("could not be reached"), "{}", states[3].reason);
}

#[tokio::test]
async fn a_model_that_was_named_alone_has_nothing_stand_in_for_it() {
    let bench = Bench::new([vec![Act::refuse(400)], vec![]], |_| {}).await;
    bench.run(json!({"prompt": "x", "model": "m1"})).await.unwrap_err();
    assert_eq!(bench.asked(), [1, 0]);
}
