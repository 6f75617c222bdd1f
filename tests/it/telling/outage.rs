//! A channel that is down for a while.

use super::{LONG, Post, email, failing, fated, node, posts, slack, taken, told};
use crate::support::engine::{Container, Engine};
use crate::support::sink::{Answer, Sink};
use crate::support::smtp::Smtp;
use crate::support::wait::eventually;

fn changes<'a>(all: &'a [Post], container: &Container) -> Vec<&'a str> {
    let of = all.iter().filter(|post| post.container.starts_with(container.name()));
    of.map(|post| post.change.as_str()).collect()
}

/// X14. The outage lasts as long as it takes to see each kind of it, not ten minutes: the waits
/// between attempts are bounded by the channel's breaker (30 s), which is reached within one.
#[tokio::test]
async fn everything_is_told_after_an_outage_in_order_and_once_and_mail_stands_in_meanwhile() {
    let (engine, smtp, mut sink) = (Engine::connect(), Smtp::start(), Sink::start());
    sink.answer(Answer::Status(500));
    let alert = format!(
        "fallback_after = \"2s\"\n{}\n{}",
        slack(&sink),
        email(&smtp, "fallback_only = true")
    );
    let mut node = node(&engine, &alert).start().await;
    let mut sick = Vec::new();

    // It answers 500.
    sick.push(engine.run(failing("one")));
    smtp.wait_for(2, LONG).await;
    assert!(!sink.received().is_empty(), "Slack was tried first");

    // It takes requests and answers nothing.
    sink.answer(Answer::Silence);
    sick.push(engine.run(failing("two")));
    smtp.wait_for(4, LONG).await;
    eventually("a request that hangs", LONG, async || {
        let all = sink.received();
        let hung = all.iter().any(|request| request.answer == Answer::Silence);
        if hung { Ok(()) } else { Err(all.len()) }
    })
    .await;

    // Nothing listens, and the node itself dies too.
    sink.stop().await;
    sick.push(engine.run(failing("three")));
    fated(&node, &sick[2], ("email", "suppressed", "delivered")).await;
    node.kill9();
    node.restart().await;
    assert!(taken(&sink).is_empty());

    sink.answer(Answer::Status(200));
    sink.resume();
    told(&sink, 6).await;
    sick.push(engine.run(failing("last")));
    fated(&node, &sick[3], ("slack", "suppressed", "delivered")).await;
    let all = posts(&taken(&sink));
    assert_eq!(all.len(), 8, "{all:?}");
    for container in &sick {
        assert_eq!(changes(&all, container), ["opened", "suppressed"], "{all:?}");
        fated(&node, container, ("slack", "opened", "delivered")).await;
    }
    let found = fated(&node, &sick[0], ("email", "opened", "delivered")).await;
    assert!(super::fates(&found).contains(&("email", "opened", "fallback")), "{found}");
    let mails = smtp.received();
    for container in &sick[..3] {
        let named = mails
            .iter()
            .filter(|mail| mail.text.as_ref().is_some_and(|text| text.contains(container.name())));
        assert_eq!(named.count(), 2, "each critical change once by mail");
    }
}
