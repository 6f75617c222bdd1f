//! Monitor, Analyzer and Responder together, with what they are told arriving in any order that the
//! runtime may deliver: messages between two of them keep theirs, and nothing else does.

use std::collections::VecDeque;
use std::time::Duration;

use perennial_runtime::{Durable, Finished, Play, Recorded, Timestamp};

use crate::analyzer::{self, Analyzer, AnalyzerMessage};
use crate::model::{ActionOutcome, ContainerId, Facts, RestartPolicy, Status, Subject};
use crate::monitor::confirm::Confirm;
use crate::monitor::{self, ContainerEvent, EventKind, Inspection, Monitor, MonitorMessage};
use crate::responder::audit::{ACTIONS, Stage};
use crate::responder::effect::EngineAction;
use crate::responder::{self, RESPONDER, Responder, ResponderMessage};

const ID: &str = "c0ffee";
/// How long each run takes to use up its memory.
const LIFE: Duration = Duration::from_millis(700);
const STEP: Duration = Duration::from_millis(250);

/// Whose messages keep their order.
const FROM: usize = 4;
const MONITOR: usize = 0;
const ANALYZER: usize = 1;
const THE_RESPONDER: usize = 2;
const ENGINE: usize = 3;

/// The generator SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }
}

/// The agents of one node, a container that runs out of memory in each run, and what is on its way.
struct World {
    monitor: Play<Monitor>,
    analyzer: Play<Analyzer>,
    responder: Play<Responder>,
    /// The starts of its runs; all but the last have ended.
    runs: Vec<Timestamp>,
    /// Events on their way to the Monitor.
    events: VecDeque<ContainerEvent>,
    to_monitor: VecDeque<MonitorMessage>,
    to_analyzer: [VecDeque<AnalyzerMessage>; FROM],
    to_responder: [VecDeque<ResponderMessage>; FROM],
}

fn text(time: Timestamp) -> String {
    let micros = i64::try_from(time.as_micros()).unwrap();
    jiff::Timestamp::from_microsecond(micros).unwrap().to_string()
}

impl World {
    fn new() -> Self {
        let quick = responder::Config {
            stabilisation: Duration::from_secs(2),
            backoff: Duration::from_millis(500),
            ..responder::Config::default()
        };
        let stabilisation = Duration::from_secs(2);
        let watchful = analyzer::Config { stabilisation, ..analyzer::Config::default() };
        let mut world = Self {
            monitor: Play::new(ID, monitor::Config::default()),
            analyzer: Play::new(ID, watchful),
            responder: Play::new(RESPONDER, quick),
            runs: Vec::new(),
            events: VecDeque::new(),
            to_monitor: VecDeque::new(),
            to_analyzer: Default::default(),
            to_responder: Default::default(),
        };
        world.start();
        world
    }

    fn now(&self) -> Timestamp {
        self.monitor.now()
    }

    /// A run begins, and what will come of it is known.
    fn start(&mut self) {
        let began = self.now();
        self.runs.push(began);
        let ends = [(began, EventKind::Start), (began + LIFE, EventKind::Oom)];
        let ends = ends.into_iter().chain([(began + LIFE, EventKind::Die(137))]);
        self.events.extend(ends.map(|(at, kind)| ContainerEvent { at, kind }));
    }

    /// What the engine shows now.
    fn inspection(&self) -> Inspection {
        let began = *self.runs.last().unwrap();
        let over = self.now() >= began + LIFE;
        let facts = Facts {
            status: if over { Status::Exited } else { Status::Running },
            exit_code: over.then_some(137),
            oom_killed: over,
            restart_policy: RestartPolicy::No,
            memory_limit: Some(16 << 20),
            started_at: text(began),
            finished_at: if over { text(began + LIFE) } else { String::new() },
            ..Facts::default()
        };
        let subject = Subject { id: ContainerId(ID.to_owned()), ..Subject::default() };
        let labels = vec![("perennial.mode".to_owned(), "auto".to_owned())];
        Inspection { at: self.now(), subject, facts, labels, ..Inspection::default() }
    }

    /// Sends on what a turn of `from` sent, and has the engine do what it asked for.
    fn route(&mut self, from: usize, turn: &Recorded) {
        self.to_monitor.extend(turn.sent::<Monitor>().into_iter().map(|(_, message)| message));
        let analyzer = turn.sent::<Analyzer>().into_iter();
        self.to_analyzer[from].extend(analyzer.map(|(_, message)| message));
        let responder = turn.sent::<Responder>().into_iter();
        self.to_responder[from].extend(responder.map(|(_, message)| message));
        for effect in turn.effects::<Confirm>() {
            let key = serde_json::from_str("\"00\"").unwrap();
            let result = Ok(Some(self.inspection()));
            let finished = Finished { effect, key, attempts: 1, result };
            self.to_monitor.push_back(MonitorMessage::Confirmed(finished));
        }
        for effect in turn.effects::<EngineAction>() {
            self.start();
            let key = serde_json::from_str("\"00\"").unwrap();
            let result = Ok(ActionOutcome::Done("restarted".to_owned()));
            let finished = Finished { effect, key, attempts: 1, result };
            self.to_responder[ENGINE].push_back(ResponderMessage::Finished(finished));
        }
    }

    /// One thing happens of those that can: something arrives, a list is made, or time goes by.
    fn step(&mut self, dice: &mut Dice) {
        match dice.below(2 * FROM + 5) {
            0 => self.pass(),
            1 => {
                let listed = MonitorMessage::Listed(self.inspection());
                let turn = self.monitor.handle(listed).unwrap();
                self.route(MONITOR, &turn);
            }
            2 | 3 => self.next_event(),
            4 => {
                let Some(message) = self.to_monitor.pop_front() else { return };
                let turn = self.monitor.handle(message).unwrap();
                self.route(MONITOR, &turn);
            }
            n if n < 5 + FROM => {
                let Some(message) = self.to_analyzer[n - 5].pop_front() else { return };
                let turn = self.analyzer.handle(message).unwrap();
                self.route(ANALYZER, &turn);
            }
            n => {
                let Some(message) = self.to_responder[n - 5 - FROM].pop_front() else { return };
                let turn = self.responder.handle(message).unwrap();
                self.route(THE_RESPONDER, &turn);
            }
        }
    }

    /// The sensor inspects the container when it handles its event.
    fn next_event(&mut self) {
        let now = self.now();
        let Some(event) = self.events.pop_front_if(|event| event.at <= now) else { return };
        let message = MonitorMessage::Event(event, Some(self.inspection()));
        let turn = self.monitor.handle(message).unwrap();
        self.route(MONITOR, &turn);
    }

    fn pass(&mut self) {
        self.monitor.advance(STEP);
        self.analyzer.advance(STEP);
        self.responder.advance(STEP);
        for turn in due(&mut self.monitor) {
            self.route(MONITOR, &turn);
        }
        for turn in due(&mut self.analyzer) {
            self.route(ANALYZER, &turn);
        }
        for turn in due(&mut self.responder) {
            self.route(THE_RESPONDER, &turn);
        }
    }
}

/// Fires what has come due.
fn due<A: Durable>(play: &mut Play<A>) -> Vec<Recorded> {
    let mut turns = Vec::new();
    while play.timers().iter().any(|(_, due)| *due <= play.now()) {
        turns.push(play.fire_next_timer().unwrap());
    }
    turns
}

#[test]
fn a_second_end_for_memory_is_judged_before_another_restart_in_whatever_order_things_arrive() {
    for seed in 0..200 {
        let (mut world, mut dice) = (World::new(), Dice(seed));
        let over = world.now() + Duration::from_secs(60);
        while world.now() < over {
            world.step(&mut dice);
        }
        let audit = world.responder.rows(&ACTIONS).unwrap();
        let stages: Vec<_> = audit.iter().map(|entry| entry.stage).collect();
        let acted = stages.iter().filter(|stage| **stage == Stage::Intended).count();
        assert_eq!(acted, 1, "seed {seed}: {stages:?}");
    }
}
