//! E-mail, over real STARTTLS.

use super::{curable, email, fated, node};
use crate::support::engine::Engine;
use crate::support::smtp::Smtp;

#[tokio::test]
async fn an_incident_is_one_thread_of_mails_with_text_and_html_over_starttls() {
    let (engine, smtp) = (Engine::connect(), Smtp::start());
    let node = node(&engine, &email(&smtp, "")).start().await;
    let container = engine.run(curable("web"));
    let found = fated(&node, &container, ("email", "resolved", "delivered")).await;

    let mails = smtp.wait_for(2, super::LONG).await;
    assert_eq!(mails.len(), 2, "{mails:?}");
    for (mail, words) in mails.iter().zip(["Incident opened", "Resolved"]) {
        assert_eq!((mail.tls, mail.login.as_deref()), (true, Some("perennial")));
        assert_eq!((mail.from.as_str(), mail.to.len()), ("node@example.org", 1));
        assert_eq!(mail.to[0], "ops@example.org");
        for part in [&mail.text, &mail.html] {
            let part = part.as_ref().expect("both forms");
            assert!(part.contains(words) && part.contains(container.name()), "{part}");
        }
        assert!(mail.html.as_ref().is_some_and(|html| html.contains("<table>")));
        let id = found["id"].as_str().expect("an id");
        assert!(mail.header("Subject").expect("a subject").contains(id), "{mail:?}");
    }
    let root = mails[0].header("Message-ID").expect("an id");
    assert_eq!(mails[0].header("References"), None, "{:?}", mails[0]);
    assert_eq!(mails[1].header("References"), Some(root));
    assert_eq!(mails[1].header("In-Reply-To"), Some(root));
    assert_ne!(mails[1].header("Message-ID"), Some(root));
    let subject = mails[0].header("Subject").expect("a subject");
    assert_eq!(mails[1].header("Subject"), Some(format!("Re: {subject}").as_str()));
}

#[tokio::test]
async fn a_mail_server_that_is_busy_gets_the_mails_later_in_order_and_once() {
    let (engine, smtp) = (Engine::connect(), Smtp::start());
    smtp.refuse_messages("451 4.3.2 busy");
    let node = node(&engine, &email(&smtp, "")).start().await;
    let container = engine.run(curable("web"));
    super::incident(&node, &container, "over", |found| found["status"] == "resolved").await;
    assert!(smtp.received().is_empty());
    smtp.accept();
    let found = fated(&node, &container, ("email", "resolved", "delivered")).await;
    let journal = found["journal"].as_array().expect("a journal");
    let first = journal.iter().find(|step| step["state"] == "delivered").expect("a delivery");
    assert!(first["attempts"].as_u64() > Some(1), "{first}");
    let subjects: Vec<_> =
        smtp.received().iter().map(|mail| mail.header("References").is_some()).collect();
    assert_eq!(subjects, [false, true], "the thread's first mail first");
}
