//! What an exit code says about why a container ended.

/// What kind of end it was; decides whether starting it again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitClass {
    /// It ended by itself and reported success.
    Success,
    /// The program reported an error of its own.
    Failed,
    /// What it was told to run cannot be run: the same again gives the same again.
    Misconfigured,
    /// The program broke and the kernel ended it.
    Crashed,
    /// Somebody or something ended it with a signal.
    Killed,
    /// The kernel ended it for memory.
    OutOfMemory,
}

/// An exit code read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// What kind of end it was.
    pub class: ExitClass,
    /// For people: completes the sentence "exit code N: ...".
    pub text: String,
}

/// Codes with a meaning of their own: those of the container engines (125 to 127) and of shells.
const CODES: &[(i64, ExitClass, &str)] = &[
    (0, ExitClass::Success, "it ended by itself, without an error"),
    (1, ExitClass::Failed, "the program reported a general error"),
    (2, ExitClass::Failed, "the program was called wrongly, or reported an error of its own"),
    (125, ExitClass::Misconfigured, "the engine itself could not run the container"),
    (126, ExitClass::Misconfigured, "the command was found and is not executable"),
    (127, ExitClass::Misconfigured, "the command was not found"),
    (128, ExitClass::Misconfigured, "the engine could not start the command"),
    (255, ExitClass::Failed, "the program ended with a status out of range, often -1"),
];

/// Signals of Linux (`signal(7)`) by number; a shell or engine reports 128 plus the number.
const SIGNALS: &[(i64, ExitClass, &str)] = &[
    (1, ExitClass::Killed, "SIGHUP: its terminal or its manager went away"),
    (2, ExitClass::Killed, "SIGINT: it was interrupted"),
    (3, ExitClass::Killed, "SIGQUIT: it was told to quit"),
    (4, ExitClass::Crashed, "SIGILL: illegal instruction, often an image for another processor"),
    (6, ExitClass::Crashed, "SIGABRT: it aborted itself after an error"),
    (7, ExitClass::Crashed, "SIGBUS: bad memory access"),
    (8, ExitClass::Crashed, "SIGFPE: arithmetic error"),
    (9, ExitClass::Killed, "SIGKILL: it was killed, and not by the kernel for memory"),
    (11, ExitClass::Crashed, "SIGSEGV: segmentation fault"),
    (13, ExitClass::Killed, "SIGPIPE: nobody read its output any more"),
    (15, ExitClass::Killed, "SIGTERM: it was asked to stop"),
    (24, ExitClass::Killed, "SIGXCPU: over its CPU time limit"),
    (25, ExitClass::Killed, "SIGXFSZ: over its file size limit"),
    (31, ExitClass::Crashed, "SIGSYS: a system call that its security profile forbids"),
];

/// Reads `code`; `oom_killed` is the engine's flag of the same run.
#[must_use]
pub fn meaning(code: i64, oom_killed: bool) -> Meaning {
    // The engine sets the flag also when a child was killed and the main process then ended with a
    // code of its own, so the flag counts more than the code.
    if oom_killed {
        let text = "the kernel killed it, or a process of it, for memory".to_owned();
        return Meaning { class: ExitClass::OutOfMemory, text };
    }
    if let Some((_, class, text)) = CODES.iter().find(|known| known.0 == code) {
        return Meaning { class: *class, text: (*text).to_owned() };
    }
    if let Some((_, class, text)) = SIGNALS.iter().find(|signal| signal.0 + 128 == code) {
        return Meaning { class: *class, text: (*text).to_owned() };
    }
    if (129..=192).contains(&code) {
        let text = format!("signal {}", code - 128);
        return Meaning { class: ExitClass::Killed, text };
    }
    let text = "the program reported an error of its own".to_owned();
    Meaning { class: ExitClass::Failed, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_has_its_class_and_words() {
        let table = [
            (0, false, ExitClass::Success, "without an error"),
            (1, false, ExitClass::Failed, "general error"),
            (2, false, ExitClass::Failed, "called wrongly"),
            (3, false, ExitClass::Failed, "error of its own"),
            (125, false, ExitClass::Misconfigured, "engine itself"),
            (126, false, ExitClass::Misconfigured, "not executable"),
            (127, false, ExitClass::Misconfigured, "not found"),
            (128, false, ExitClass::Misconfigured, "could not start"),
            (130, false, ExitClass::Killed, "SIGINT"),
            (134, false, ExitClass::Crashed, "SIGABRT"),
            (137, false, ExitClass::Killed, "not by the kernel for memory"),
            (137, true, ExitClass::OutOfMemory, "for memory"),
            (1, true, ExitClass::OutOfMemory, "a process of it"),
            (139, false, ExitClass::Crashed, "segmentation fault"),
            (143, false, ExitClass::Killed, "SIGTERM"),
            (159, false, ExitClass::Crashed, "security profile"),
            (162, false, ExitClass::Killed, "signal 34"),
            (255, false, ExitClass::Failed, "out of range"),
            (-1, false, ExitClass::Failed, "error of its own"),
        ];
        for (code, oom, class, words) in table {
            let meaning = meaning(code, oom);
            assert_eq!(meaning.class, class, "exit code {code}, oom {oom}");
            assert!(meaning.text.contains(words), "exit code {code}: {}", meaning.text);
        }
    }
}
