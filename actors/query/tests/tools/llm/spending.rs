//! What models cost, and what happens when nothing is left to spend.

use super::*;

fn of_query(query: &str) -> Call {
    let label = format!("{query}/step-1");
    Call { label, ..call("llm", json!({"prompt": "x"})) }
}

#[tokio::test]
async fn a_query_that_has_spent_its_tokens_is_refused_and_others_are_not() {
    let bench = Bench::new([vec![]], |config| {
        config.budget = Budget { tokens_per_query: 50, cost_per_day: 0.0 };
    })
    .await;
    bench.make(of_query("q1")).await.unwrap();
    bench.make(of_query("q1")).await.unwrap();
    let error = bench.make(of_query("q1")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.message.contains("the query's budget of 50 tokens is spent"), "{error}");
    bench.make(of_query("q2")).await.unwrap();
    assert_eq!(bench.asked(), [3]);
    let most: Vec<Value> =
        bench.servers[0].asked().iter().map(|seen| seen.body["max_tokens"].clone()).collect();
    assert_eq!(most, [50, 8, 50], "no more is asked for than is left");
}

#[tokio::test]
async fn when_the_cost_of_a_day_is_spent_nobody_is_answered_until_the_next() {
    let bench = Bench::new([vec![]], |config| config.budget.cost_per_day = 0.0001).await;
    bench.make(of_query("q1")).await.unwrap();
    let error = bench.make(of_query("q2")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.message.contains("budget of 0.0001 a day is spent"), "{error}");
    assert!(error.message.contains("midnight UTC"), "{error}");
    bench.clock.advance(Duration::from_secs(24 * 60 * 60));
    bench.make(of_query("q3")).await.unwrap();
}

#[tokio::test]
async fn what_was_written_before_an_answer_broke_off_is_counted() {
    let acts = vec![Act::Cut(vec!["Once upon a time there was a king"]), Act::say("Hello.")];
    let bench = Bench::new([acts, vec![Act::say("Hi.")]], |config| {
        config.models[0].stream = true;
    })
    .await;
    let tokens = bench.ask().await.unwrap().value.0["tokens"].clone();
    assert_eq!(tokens, json!({"input": 32, "output": 21}), "two and nine more than were told");
}

#[tokio::test]
async fn a_request_that_was_refused_costs_nothing() {
    let bench = Bench::new([vec![Act::refuse(500)], vec![]], |_| {}).await;
    let answer = bench.ask().await.unwrap().value.0;
    assert_eq!(answer["tokens"], json!({"input": 30, "output": 12}));
}

#[tokio::test]
async fn tokens_that_are_not_told_are_estimated_with_a_warning() {
    for stream in [false, true] {
        let bench = Bench::new([vec![Act::Mumble("12345678".to_owned())]], |config| {
            config.models[0].stream = stream;
        })
        .await;
        let answer = bench.ask().await.unwrap();
        assert_eq!(answer.value.0["tokens"], json!({"input": 2, "output": 2}));
        assert_eq!(answer.warnings, ["`m1` did not tell its tokens; they are estimated"]);
    }
}

#[tokio::test]
async fn an_answer_that_was_cut_short_by_its_limit_is_given_with_a_warning() {
    for provider in [Provider::OpenAi, Provider::Anthropic] {
        let bench = Bench::new([vec![Act::Stop("Once upon".to_owned())]], |config| {
            config.models[0].provider = provider;
        })
        .await;
        let answer = bench.ask().await.unwrap();
        assert_eq!(answer.value.0["text"], "Once upon");
        assert_eq!(answer.warnings, ["`m1` was cut short at the most tokens it may write"]);
    }
}

#[tokio::test]
async fn requests_come_no_faster_than_their_server_bears() {
    let bench = Bench::new([vec![]], |config| config.models[0].requests_per_second = 0.01).await;
    bench.ask().await.unwrap();
    let error = bench.ask().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Overloaded);
    assert!(error.message.contains("0.01 times a second"), "{error}");
    assert_eq!(bench.asked(), [1]);
}
