//! From a condition on rows to what the engine evaluates, bound to who asks.

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::Column;
use datafusion::logical_expr::{Expr, Operator, binary_expr, cast, lit, not, try_cast};
use perennial_sql_protocol::condition::{Comparison, Condition, Operand};
use perennial_sql_protocol::{EVERY_TEAM, Who};

/// The condition for `who`, on rows of `schema`. What is known of them becomes values of the plan.
///
/// # Errors
/// It names a column that there is none of.
pub(crate) fn bind(condition: &Condition, who: &Who, schema: &Schema) -> Result<Expr, String> {
    let columns = condition.columns();
    if let Some(unknown) = columns.into_iter().find(|name| schema.field_with_name(name).is_err()) {
        return Err(format!("its condition on rows names `{unknown}`, which is no column of it"));
    }
    Ok(Binder { who, schema }.condition(condition))
}

struct Binder<'a> {
    who: &'a Who,
    schema: &'a Schema,
}

/// What values are compared as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum As {
    Text,
    Number,
    Itself,
}

impl Binder<'_> {
    fn condition(&self, condition: &Condition) -> Expr {
        let all = |parts: &[Condition], join: fn(Expr, Expr) -> Expr, none: bool| {
            let parts = parts.iter().map(|part| self.condition(part));
            parts.reduce(join).unwrap_or_else(|| lit(none))
        };
        match condition {
            Condition::Always(holds) => lit(*holds),
            Condition::Compare(left, how, right) => self.compare(left, *how, right),
            Condition::OneOf(operand, others) => {
                let equal = |other| self.compare(operand, Comparison::Equal, other);
                others.iter().map(equal).reduce(Expr::or).unwrap_or_else(|| lit(false))
            }
            Condition::OfTeams(operand) => self.of_teams(operand),
            Condition::Missing(operand) => self.operand(operand, As::Itself).is_null(),
            Condition::Not(inner) => not(self.condition(inner)),
            Condition::All(parts) => all(parts, Expr::and, true),
            Condition::Any(parts) => all(parts, Expr::or, false),
        }
    }

    fn of_teams(&self, operand: &Operand) -> Expr {
        let teams = &self.who.teams;
        if teams.iter().any(|team| team == EVERY_TEAM) {
            return lit(true);
        }
        let team = self.operand(operand, As::Text);
        if teams.is_empty() {
            // Of nobody's team, and unknown where there is none, so that what is turned round does not hold either.
            return team.clone().not_eq(team);
        }
        team.in_list(teams.iter().map(lit).collect(), false)
    }

    fn compare(&self, left: &Operand, how: Comparison, right: &Operand) -> Expr {
        let kind = match (kind(left), kind(right)) {
            (As::Text, _) | (_, As::Text) => As::Text,
            (As::Number, _) | (_, As::Number) => As::Number,
            (As::Itself, As::Itself) => As::Itself,
        };
        let operator = match how {
            Comparison::Equal => Operator::Eq,
            Comparison::Unequal => Operator::NotEq,
            Comparison::Less => Operator::Lt,
            Comparison::AtMost => Operator::LtEq,
            Comparison::Greater => Operator::Gt,
            Comparison::AtLeast => Operator::GtEq,
        };
        binary_expr(self.operand(left, kind), operator, self.operand(right, kind))
    }

    fn operand(&self, operand: &Operand, kind: As) -> Expr {
        match operand {
            Operand::Column(name) => self.column(name, kind),
            Operand::Name => lit(&self.who.name),
            Operand::Role => lit(&self.who.role),
            Operand::Text(text) => lit(text),
            Operand::Integer(number) if kind == As::Text => lit(number.to_string()),
            Operand::Integer(number) => lit(*number),
            Operand::Number(number) if kind == As::Text => lit(number.to_string()),
            Operand::Number(number) => lit(*number),
            Operand::Boolean(holds) if kind == As::Text => lit(holds.to_string()),
            Operand::Boolean(holds) => lit(*holds),
        }
    }

    /// A column, made comparable. What cannot be made so is missing, and then the condition does not hold.
    fn column(&self, name: &str, kind: As) -> Expr {
        let column = Expr::Column(Column::from_name(name));
        let held = self.schema.field_with_name(name).map(|field| field.data_type());
        let is_text = held.is_ok_and(is_text);
        match kind {
            As::Text if !is_text => cast(column, DataType::Utf8),
            As::Number if is_text => try_cast(column, DataType::Float64),
            As::Text | As::Number | As::Itself => column,
        }
    }
}

fn kind(operand: &Operand) -> As {
    match operand {
        Operand::Name | Operand::Role | Operand::Text(_) => As::Text,
        Operand::Integer(_) | Operand::Number(_) => As::Number,
        Operand::Column(_) | Operand::Boolean(_) => As::Itself,
    }
}

fn is_text(held: &DataType) -> bool {
    if let DataType::Dictionary(_, value) = held {
        return is_text(value);
    }
    matches!(held, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}
