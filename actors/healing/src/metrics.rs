//! Names of the figures this crate contributes; the node exports them.

/// Counter, label `event`.
pub const DOCKER_EVENTS: &str = "perennial_docker_events_total";
/// Counter: times the event stream may have skipped events, so that a re-list had to fill in.
pub const DOCKER_EVENT_GAPS: &str = "perennial_docker_event_gaps_total";
/// Histogram, seconds from the engine's event (or the deciding sample) to the incident's turn.
pub const DETECTION_DELAY: &str = "perennial_detection_delay_seconds";
/// Counter, labels `severity`, `symptom` (the first one).
pub const INCIDENTS: &str = "perennial_incidents_total";
/// Counter, label `rule`.
pub const DIAGNOSES: &str = "perennial_diagnoses_total";
/// Counter, labels `action`, `outcome`.
pub const ACTIONS: &str = "perennial_actions_total";
/// Histogram, label `action`: seconds from intent to the engine's answer.
pub const ACTION_DURATION: &str = "perennial_action_duration_seconds";
/// Counter, label `gate`.
pub const GATE_REFUSALS: &str = "perennial_gate_refusals_total";
/// Counter, label `result`: `resolved`, `not_resolved`, `escalated`.
pub const VERIFICATIONS: &str = "perennial_verifications_total";
/// Counter, labels `channel`, `result`.
pub const NOTIFICATIONS: &str = "perennial_notifications_total";
