//! Which containers are watched, and what their labels ask for.

use crate::model::Mode;
use crate::monitor::Config;

/// Whether a container is watched, and by what its limits are judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Whether symptoms are looked for.
    pub watched: bool,
    /// Why, or why not.
    pub reason: String,
    /// What may be done about it.
    pub mode: Mode,
    /// Its labels ask for it to be kept running, whatever its restart policy.
    pub opted_in: bool,
    /// Share of CPU that is too much.
    pub cpu: f64,
    /// Share of the memory limit that is too much.
    pub memory: f64,
    /// Restarts per hour that its label allows.
    pub restart_max: Option<u32>,
    /// Seconds that its label gives it to stop.
    pub stop_timeout: Option<u32>,
    /// Labels that were not understood and had no effect.
    pub ignored: Vec<String>,
}

/// Reads name and labels against the configuration. Labels decide before globs, `perennial.` labels
/// before `autoheal` ones.
#[must_use]
pub fn policy(config: &Config, name: &str, labels: &[(String, String)]) -> Policy {
    let mut reader = Reader { labels, ignored: Vec::new() };
    let enable = reader.flag("perennial.enable");
    let autoheal = reader.flag("autoheal");
    let mode = reader.mode();
    let cpu = reader.percent("perennial.cpu").unwrap_or(config.cpu_percent);
    let memory = reader.percent("perennial.memory").unwrap_or(config.memory_percent);
    let restart_max = reader.number("perennial.restart.max");
    let stop_timeout = reader.number("autoheal.stop.timeout");
    let (watched, reason) = watched(config, name, enable, autoheal);
    Policy {
        watched,
        reason,
        mode: effective_mode(config, watched, mode, autoheal),
        opted_in: enable == Some(true) || autoheal == Some(true) || mode.is_some(),
        cpu: cpu / 100.0,
        memory: memory / 100.0,
        restart_max,
        stop_timeout,
        ignored: reader.ignored,
    }
}

fn effective_mode(
    config: &Config,
    watched: bool,
    label: Option<Mode>,
    autoheal: Option<bool>,
) -> Mode {
    if !watched {
        return Mode::Observe;
    }
    label.unwrap_or(match autoheal {
        Some(true) => Mode::Auto,
        Some(false) => Mode::Observe,
        None => config.mode,
    })
}

fn watched(
    config: &Config,
    name: &str,
    enable: Option<bool>,
    autoheal: Option<bool>,
) -> (bool, String) {
    if let Some(enable) = enable {
        return (enable, format!("label perennial.enable={enable}"));
    }
    if autoheal == Some(true) {
        return (true, "label autoheal=true".to_owned());
    }
    if let Some(pattern) = config.exclude.iter().find(|pattern| glob(pattern, name)) {
        return (false, format!("name matches exclude {pattern:?}"));
    }
    match config.include.iter().find(|pattern| glob(pattern, name)) {
        Some(pattern) => (true, format!("name matches include {pattern:?}")),
        None => (false, "name matches no include".to_owned()),
    }
}

struct Reader<'a> {
    labels: &'a [(String, String)],
    ignored: Vec<String>,
}

impl Reader<'_> {
    fn read<T>(&mut self, name: &str, expected: &str, parse: fn(&str) -> Option<T>) -> Option<T> {
        let (_, value) = self.labels.iter().find(|(label, _)| label == name)?;
        let value = value.trim();
        let parsed = parse(value);
        if parsed.is_none() {
            self.ignored.push(format!("label {name}={value} is ignored: expected {expected}"));
        }
        parsed
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        self.read(name, "true or false", |value| match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        })
    }

    fn mode(&mut self) -> Option<Mode> {
        self.read("perennial.mode", "observe, propose or auto", |value| match value {
            "observe" => Some(Mode::Observe),
            "propose" => Some(Mode::Propose),
            "auto" => Some(Mode::Auto),
            _ => None,
        })
    }

    fn percent(&mut self, name: &str) -> Option<f64> {
        self.read(name, "a percentage over 0, at most 100", |value| {
            let number: f64 = value.trim_end_matches('%').trim().parse().ok()?;
            (number > 0.0 && number <= 100.0).then_some(number)
        })
    }

    fn number(&mut self, name: &str) -> Option<u32> {
        self.read(name, "a whole number", |value| value.parse().ok())
    }
}

/// Whether `name` matches `pattern`, in which `*` is any text and `?` any one character.
#[must_use]
pub fn glob(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Where the last star was, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == name.get(n) => {
                p += 1;
                n += 1;
            }
            Some(_) | None => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                n = taken + 1;
            }
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests;
