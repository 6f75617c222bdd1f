//! Every expression and template of a plan, and which names are known to it.

use serde_json::Value;

use super::place::Place;
use crate::expression::{self, ExpressionError, References};
use crate::plan::{OnFailure, Plan, Repeat, Step, Work};

/// An expression or template.
pub(super) struct Site<'p> {
    pub(super) place: Place,
    pub(super) text: &'p str,
    form: Form,
    /// What it knows beside the inputs, the steps, `now` and `query`.
    pub(super) known: Known,
}

enum Form {
    Expression,
    Template,
}

/// Names that only parts of a step know.
#[derive(Clone, Copy, Default)]
pub(super) struct Known {
    /// `item`, of an `each`.
    pub(super) item: bool,
    /// `last`, of a `while`.
    pub(super) last: bool,
    /// The state of the step itself, which has failed.
    pub(super) itself: bool,
}

impl Known {
    /// Whether it knows `loop`.
    pub(super) fn repeats(self) -> bool {
        self.item || self.last
    }
}

impl Site<'_> {
    pub(super) fn references(&self) -> Result<References, ExpressionError> {
        match self.form {
            Form::Expression => expression::of_expression(self.text),
            Form::Template => expression::of_template(self.text),
        }
    }

    pub(super) fn is_expression(&self) -> bool {
        matches!(self.form, Form::Expression)
    }
}

/// All of them.
pub(super) fn of(plan: &Plan) -> Vec<Site<'_>> {
    let mut sites = Sites(Vec::new());
    for (at, step) in plan.steps.iter().enumerate() {
        sites.of_step(&Place::of_step(at, step), step);
    }
    let nothing = Known::default();
    for (name, value) in &plan.outputs {
        sites.templates(Place::of_plan("outputs").field(name), &value.0, nothing);
    }
    if let Some(answer) = &plan.answer {
        sites.template(Place::of_plan("answer"), answer, nothing);
    }
    sites.0
}

struct Sites<'p>(Vec<Site<'p>>);

impl<'p> Sites<'p> {
    fn of_step(&mut self, place: &Place, step: &'p Step) {
        // Both are evaluated once, before the first element.
        let nothing = Known::default();
        if let Some(condition) = &step.condition {
            self.expression(place.field("if"), condition, nothing);
        }
        let known = match &step.repeat {
            Repeat::Once => nothing,
            Repeat::Each { items, .. } => {
                self.templates(place.field("each"), &items.0, nothing);
                Known { item: true, ..nothing }
            }
            Repeat::While { condition, .. } => {
                let known = Known { last: true, ..nothing };
                self.expression(place.field("while"), condition, known);
                known
            }
        };
        self.work(place, &step.work, known);
        if let OnFailure::Fallback(calls) = &step.on_failure {
            let (fallback, known) =
                (place.field("on_failure.fallback"), Known { itself: true, ..known });
            for (at, call) in calls.iter().enumerate() {
                self.templates(fallback.item(at).field("arguments"), &call.arguments.0, known);
            }
        }
    }

    fn work(&mut self, place: &Place, work: &'p Work, known: Known) {
        match work {
            Work::Call(call) => {
                self.templates(place.field("arguments"), &call.arguments.0, known);
            }
            Work::Value(value) => self.templates(place.field("value"), &value.0, known),
            Work::Gate { that, reason } => {
                self.expression(place.field("gate.that"), that, known);
                self.template(place.field("gate.reason"), reason, known);
            }
            Work::Approval { prompt, .. } => {
                self.template(place.field("approval.prompt"), prompt, known);
            }
        }
    }

    fn templates(&mut self, place: Place, value: &'p Value, known: Known) {
        match value {
            Value::String(text) => self.template(place, text, known),
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.templates(place.item(at), item, known);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    self.templates(place.field(name), field, known);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn expression(&mut self, place: Place, text: &'p str, known: Known) {
        self.0.push(Site { place, text, form: Form::Expression, known });
    }

    fn template(&mut self, place: Place, text: &'p str, known: Known) {
        self.0.push(Site { place, text, form: Form::Template, known });
    }
}
