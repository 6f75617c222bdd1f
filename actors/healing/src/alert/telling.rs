//! Turns news into notices, notices into effects, and their fates into steps of the journal.

use std::collections::BTreeMap;

use perennial_runtime::{Failure, Finished, Table, Turn, Undone};
use serde::{Deserialize, Serialize};

use crate::alert::deliver::Deliver;
use crate::alert::journal::{excerpt, load, save};
use crate::alert::{
    Alert, AlertMessage, Change, Entry, Gap, Incident, Item, News, Notice, group_of,
};
use crate::metrics::NOTIFICATIONS;
use crate::model::{IncidentId, Severity};

/// Critical notices that not every channel has taken yet; the key is the notice's id.
pub(super) const WAITING: Table<Waiting> = Table::new("alert-waiting", 1);
/// How the telling of a notice by one channel ends, as documents and figures call it.
const DELIVERED: &str = "delivered";
const FAILED: &str = "failed";
const EXPIRED: &str = "expired";
/// Each of them.
pub(crate) const RESULTS: [&str; 3] = [DELIVERED, FAILED, EXPIRED];
/// Incidents that one notice tells of; more become further notices.
const ITEMS_PER_NOTICE: usize = 20;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Waiting {
    notice: Notice,
    channels: Vec<String>,
}

pub(super) fn repeat_timer(incident: &IncidentId) -> String {
    format!("repeat/{incident}")
}

fn group_timer(group: &str) -> String {
    format!("group/{group}")
}

fn fallback_timer(notice: &str) -> String {
    format!("fallback/{notice}")
}

impl Alert {
    /// Has people told `news`, at once or with their group; each change once per opening.
    pub(super) fn tell(
        &mut self,
        mut news: News,
        incident: &mut Incident,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        // A rise in severity is a change of its own each time; reminders repeat by their nature.
        if !matches!(news.change, Change::Reminder | Change::Worsened) {
            if incident.told.contains(&news.change) {
                return Ok(());
            }
            incident.told.push(news.change);
            save(incident, turn);
        }
        let (config, group) = (turn.settings(), group_of(&incident.subject));
        let untold = incident.thread.is_none();
        if untold && news.change == Change::Withdrawn {
            self.groups.drop_news(group, &incident.id);
            return Ok(());
        }
        if config.routes_for(incident.severity).is_empty() {
            return Ok(());
        }
        if untold && news.change == Change::Worsened {
            news.change = Change::Opened;
        }
        if incident.severity == Severity::Critical {
            self.groups.drop_news(group, &incident.id);
            return self.publish(vec![news], turn);
        }
        if let Some(wait) = self.groups.collect(group, news, config.group_wait) {
            set_group_timer(group, wait, turn);
        }
        Ok(())
    }

    /// Collects a coverage report, if anybody is told such things.
    pub(super) fn cover(&mut self, gap: Gap, turn: &mut Turn<'_, Self>) {
        let config = turn.settings();
        if config.routes_for(Severity::Info).is_empty() {
            return;
        }
        let group = group_of(&gap.subject).to_owned();
        if let Some(wait) = self.groups.cover(gap, config.group_wait) {
            set_group_timer(&group, wait, turn);
        }
    }

    /// Tells what has been collected for `group`.
    pub(super) fn group_due(
        &mut self,
        group: &str,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let config = turn.settings();
        let collected = self.groups.take(group);
        if collected.is_empty() {
            return Ok(());
        }
        set_group_timer(group, config.group_interval, turn);
        if !collected.coverage.is_empty() {
            let digest = Notice::digest(group, &collected, &config.environment, turn.now());
            self.send(&digest, turn)?;
        }
        self.publish(collected.news, turn)
    }

    /// Reminds people of an incident that nobody has taken on.
    pub(super) fn repeat(
        &mut self,
        id: &IncidentId,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let Some(mut incident) = load(id, turn)?.filter(Incident::wants_a_person) else {
            return Ok(());
        };
        let news = News { incident: id.clone(), change: Change::Reminder, at: turn.now() };
        self.tell(news, &mut incident, turn)
    }

    /// Tells `news` now: incidents that were told together stay together, the others form a new
    /// thread.
    fn publish(&mut self, news: Vec<News>, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        let mut threads: BTreeMap<Option<IncidentId>, Vec<(News, Incident)>> = BTreeMap::new();
        for news in news {
            let Some(incident) = load(&news.incident, turn)? else {
                continue;
            };
            if news.change == Change::Reminder && !incident.wants_a_person() {
                continue;
            }
            let thread = match &incident.thread {
                Some(leader) => load(leader, turn)?.map(|leader| leader.id),
                None => None,
            };
            threads.entry(thread).or_default().push((news, incident));
        }
        for (thread, members) in threads {
            for part in members.chunks(ITEMS_PER_NOTICE) {
                self.publish_together(thread.as_ref(), part, turn)?;
            }
        }
        Ok(())
    }

    /// Tells of `members` in one notice, in the thread that `leader` began or the first one begins.
    fn publish_together(
        &mut self,
        leader: Option<&IncidentId>,
        members: &[(News, Incident)],
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let environment = &turn.settings().environment;
        let Some(leader) = leader.or(members.first().map(|(news, _)| &news.incident)) else {
            return Ok(());
        };
        let mut items = Vec::new();
        for (news, incident) in members {
            items.push(Item::new(news, incident, &excerpt(incident, turn)?, environment));
            let told = Incident { thread: Some(leader.clone()), ..incident.clone() };
            save(&told, turn);
            remind_later(&told, turn);
        }
        let Some(mut leader) = load(leader, turn)? else {
            return Ok(());
        };
        let notice = Notice::about(&mut leader, items, environment, turn.now());
        save(&leader, turn);
        self.send(&notice, turn)
    }

    /// Has `notice` delivered on every channel that is told such things.
    fn send(&mut self, notice: &Notice, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        let config = turn.settings();
        let mut channels = Vec::new();
        for route in config.routes_for(notice.severity) {
            if let Some(part) = notice.at_least(route.min_severity) {
                self.deliver(route.channel, part, "queued", turn)?;
                channels.push(route.channel.to_owned());
            }
        }
        let second_way = config.fallback_route().map(|route| route.channel);
        let has_both = second_way.is_none_or(|way| channels.iter().any(|channel| channel == way));
        if notice.severity == Severity::Critical && !channels.is_empty() && !has_both {
            let notice = notice.clone();
            let (id, timer) = (notice.id.clone(), fallback_timer(&notice.id));
            turn.put(&WAITING, &id, &Waiting { notice, channels });
            turn.send_after(config.fallback_after, &timer, &AlertMessage::FallbackDue(id));
        }
        Ok(())
    }

    fn deliver(
        &mut self,
        channel: &str,
        notice: Notice,
        state: &str,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let expires = turn.now() + turn.settings().expires;
        let effect = Deliver { channel: channel.to_owned(), notice, expires };
        turn.perform(&effect);
        self.note(&effect, Fate { state, attempts: 0, error: String::new() }, turn)
    }

    /// Writes a notification's fate into the journal of every incident it tells of.
    fn note(
        &mut self,
        effect: &Deliver,
        fate: Fate<'_>,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        for item in &effect.notice.items {
            let Some(mut incident) = load(&item.incident, turn)? else {
                continue;
            };
            let entry = Entry::Notification {
                channel: effect.channel.clone(),
                change: item.change.as_str().to_owned(),
                state: fate.state.to_owned(),
                attempts: fate.attempts,
                error: fate.error.clone(),
            };
            let now = turn.now();
            self.append(&mut incident, now, entry, turn);
        }
        Ok(())
    }

    /// A channel took a notification, or never will.
    pub(super) fn delivered(
        &mut self,
        finished: Finished<Deliver>,
        turn: &mut Turn<'_, Self>,
    ) -> Result<(), Failure> {
        let Finished { effect, attempts, result, .. } = finished;
        let (state, error) = match &result {
            Ok(_) => (DELIVERED, String::new()),
            Err(Undone::Failed(why)) => (FAILED, why.clone()),
            Err(Undone::Expired(why)) => (EXPIRED, why.clone()),
            Err(unknown @ Undone::Unknown(_)) => (FAILED, unknown.to_string()),
        };
        turn.count(NOTIFICATIONS, &[("channel", &effect.channel), ("result", state)]);
        self.note(&effect, Fate { state, attempts, error }, turn)?;
        let id = &effect.notice.id;
        let Some(mut waiting) = turn.get(&WAITING, id)? else {
            return Ok(());
        };
        if result.is_err() {
            return self.fall_back(id, turn);
        }
        waiting.channels.retain(|channel| *channel != effect.channel);
        if waiting.channels.is_empty() {
            turn.delete(&WAITING, id);
            turn.cancel(&fallback_timer(id));
        } else {
            turn.put(&WAITING, id, &waiting);
        }
        Ok(())
    }

    /// Sends a critical notice that a channel did not take in time, or refused, the second way.
    pub(super) fn fall_back(&mut self, id: &str, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        let Some(waiting) = turn.get(&WAITING, id)? else {
            return Ok(());
        };
        turn.delete(&WAITING, id);
        turn.cancel(&fallback_timer(id));
        match (turn.settings().fallback_route(), waiting.notice.at_least(Severity::Critical)) {
            (Some(route), Some(part)) => self.deliver(route.channel, part, "fallback", turn),
            (None, _) | (_, None) => Ok(()),
        }
    }
}

/// What became of a notification.
struct Fate<'a> {
    state: &'a str,
    attempts: u32,
    error: String,
}

fn set_group_timer(group: &str, wait: std::time::Duration, turn: &mut Turn<'_, Alert>) {
    turn.send_after(wait, &group_timer(group), &AlertMessage::GroupDue(group.to_owned()));
}

fn remind_later(incident: &Incident, turn: &mut Turn<'_, Alert>) {
    let wait = turn.settings().repeat_interval;
    if !wait.is_zero() && incident.wants_a_person() {
        let again = AlertMessage::RepeatDue(incident.id.clone());
        turn.send_after(wait, &repeat_timer(&incident.id), &again);
    }
}
