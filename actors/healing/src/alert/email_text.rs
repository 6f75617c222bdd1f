//! A notice as an e-mail's subject and its two bodies. Pure.

use crate::alert::text::{clean, html, line};
use crate::alert::{Item, Notice};

/// Characters of a subject.
const SUBJECT_LIMIT: usize = 150;
/// Characters of one value.
const VALUE_LIMIT: usize = 2000;

/// The same for all mails of a thread, but for the mark of an answer: mail programs need that to
/// show them together.
pub(super) fn subject(notice: &Notice) -> String {
    let answer = if notice.is_root() { "" } else { "Re: " };
    line(&format!("{answer}[Perennial] {}", notice.headline), SUBJECT_LIMIT)
}

/// The body for programs that show text.
pub(super) fn plain(notice: &Notice) -> String {
    let mut lines = vec![line(&notice.title, VALUE_LIMIT), String::new()];
    for item in &notice.items {
        if notice.items.len() > 1 {
            lines.push(format!("== {} ==", line(&item.title, VALUE_LIMIT)));
        }
        for field in &item.fields {
            lines.push(format!("{}: {}", field.title, line(&field.value, VALUE_LIMIT)));
        }
        lines.push(String::new());
        lines.extend(item.excerpt.iter().map(|step| line(step, VALUE_LIMIT)));
        lines.push(String::new());
    }
    lines.extend(gaps(notice));
    lines.push("-- ".to_owned());
    lines.push(footer(notice));
    lines.join("\r\n")
}

/// The body for programs that show HTML.
pub(super) fn rich(notice: &Notice) -> String {
    let items: String = notice.items.iter().map(rich_item).collect();
    let gaps: String = gaps(notice).iter().map(|gap| format!("<li>{}</li>", html(gap))).collect();
    let gaps = if gaps.is_empty() { gaps } else { format!("<ul>{gaps}</ul>") };
    format!(
        "<!doctype html><html><body style=\"font-family:sans-serif\"><h2>{}</h2>{items}{gaps}\
         <p style=\"color:#777\">{}</p></body></html>",
        html(&line(&notice.title, VALUE_LIMIT)),
        html(&footer(notice)),
    )
}

fn rich_item(item: &Item) -> String {
    let fields = item.fields.iter().map(|field| {
        let value = html(&line(&field.value, VALUE_LIMIT));
        format!("<tr><th align=\"left\">{}</th><td>{value}</td></tr>", html(&field.title))
    });
    let steps = html(&clean(&item.excerpt.join("\n"), 4 * VALUE_LIMIT));
    format!(
        "<div style=\"border-left:4px solid {};padding-left:12px\"><h3>{}</h3>\
         <table>{}</table><pre>{steps}</pre></div>",
        item.change.colour(item.severity),
        html(&line(&item.title, VALUE_LIMIT)),
        fields.collect::<String>(),
    )
}

fn gaps(notice: &Notice) -> Vec<String> {
    let gaps = notice.coverage.iter().map(|gap| {
        let text = format!("{} ({}): {}", gap.subject.name, gap.subject.id, gap.gaps.join(", "));
        line(&text, VALUE_LIMIT)
    });
    let more = (notice.more_coverage > 0).then(|| format!("and {} more", notice.more_coverage));
    gaps.chain(more).collect()
}

fn footer(notice: &Notice) -> String {
    format!("Perennial alert, {}", line(&notice.environment, SUBJECT_LIMIT))
}
