//! Conditions and templates: expressions over the inputs and the results of earlier steps. They have no
//! side effects, see neither clock nor chance, and are bounded. A name without a value is an error, never
//! nothing.

use std::collections::BTreeSet;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use serde_json::Value;

mod bounds;
mod effort;
mod growth;

use growth::Text;

/// What the results of steps are called in expressions.
const STEPS: &str = "steps";

/// Words by which an expression says that it looks after names without a value itself.
const CAREFUL: [&str; 4] = ["is defined", "is undefined", "is not defined", "default("];

/// Names that are known to every expression.
const BUILT_IN: [&str; 6] = ["range", "dict", "len", "true", "false", "none"];

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// It cannot be read.
    #[error("`{text}` is not an expression: {why}")]
    Malformed {
        /// As it was written.
        text: String,
        /// Where and why.
        why: String,
    },
    /// It refers to something that is not there.
    #[error("`{text}` refers to `{name}`, which has no value")]
    Undefined {
        /// As it was written.
        text: String,
        /// What is not there.
        name: String,
    },
    /// It cannot be evaluated.
    #[error("`{text}` has no value: {why}")]
    Failed {
        /// As it was written.
        text: String,
        /// Why.
        why: String,
    },
}

/// What an expression or template refers to: paths such as `steps.read.result.text`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References(pub BTreeSet<String>);

impl References {
    /// The steps it refers to, and of each whether it is for its result.
    pub fn steps(&self) -> impl Iterator<Item = (&str, bool)> {
        self.0.iter().filter_map(|path| {
            let mut parts = path.split('.');
            let step = parts.next().filter(|first| *first == STEPS).and_then(|_| parts.next())?;
            Some((step, parts.next() == Some("result")))
        })
    }

    /// Whether it refers to all steps at once, which says nothing about what must have ended before.
    #[must_use]
    pub fn to_all_steps(&self) -> bool {
        self.0.contains(STEPS)
    }

    /// The names at the beginning of its paths.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|path| path.split('.').next())
    }

    fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

/// Whether every expression knows `name`, whatever it is evaluated over.
#[must_use]
pub fn is_built_in(name: &str) -> bool {
    BUILT_IN.contains(&name)
}

/// What `text`, an expression, refers to.
///
/// # Errors
/// It is none.
pub fn of_expression(text: &str) -> Result<References, ExpressionError> {
    bounds::of_expression(text).map_err(|why| too_deep(text, why))?;
    let environment = environment();
    let expression = environment.compile_expression(text).map_err(|e| malformed(text, &e))?;
    Ok(References(expression.undeclared_variables(true).into_iter().collect()))
}

/// What the templates in `value` refer to.
///
/// # Errors
/// One is none.
pub fn of_templates(value: &Value) -> Result<References, ExpressionError> {
    let mut references = References::default();
    match value {
        Value::String(text) => references.add(of_template(text)?),
        Value::Array(items) => {
            for item in items {
                references.add(of_templates(item)?);
            }
        }
        Value::Object(fields) => {
            for field in fields.values() {
                references.add(of_templates(field)?);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(references)
}

/// What `text`, a template, refers to.
///
/// # Errors
/// It is none.
pub fn of_template(text: &str) -> Result<References, ExpressionError> {
    if is_plain(text) {
        return Ok(References::default());
    }
    if let Some(expression) = whole(text) {
        return of_expression(expression);
    }
    bounds::of_template(text).map_err(|why| too_deep(text, why))?;
    let environment = environment();
    let template = environment.template_from_str(text).map_err(|e| malformed(text, &e))?;
    Ok(References(template.undeclared_variables(true).into_iter().collect()))
}

/// The value of `text`, an expression, over the names of `scope`, an object.
///
/// # Errors
/// [`ExpressionError`].
pub fn evaluate(text: &str, scope: &Value) -> Result<Value, ExpressionError> {
    defined(text, &of_expression(text)?, scope)?;
    let environment = bounded(effort::of_expression(text, scope));
    let expression = environment.compile_expression(text).map_err(|e| malformed(text, &e))?;
    let value = expression.eval(minijinja::value::Serde(scope));
    let value = value.and_then(|value| growth::check(&value).map(|()| value));
    let value = value.map_err(|error| failed(text, &error))?;
    serde_json::to_value(&value)
        .map_err(|error| ExpressionError::Failed { text: text.to_owned(), why: error.to_string() })
}

/// Whether `text`, an expression, is true: neither `false`, zero, empty nor `null`.
///
/// # Errors
/// [`ExpressionError`].
pub fn holds(text: &str, scope: &Value) -> Result<bool, ExpressionError> {
    Ok(match evaluate(text, scope)? {
        Value::Null => false,
        Value::Bool(value) => value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    })
}

/// `value` with every template in it filled in. A string that is one `{{ expression }}` becomes its value.
///
/// # Errors
/// [`ExpressionError`].
pub fn render(value: &Value, scope: &Value) -> Result<Value, ExpressionError> {
    Ok(match value {
        Value::String(text) => match whole(text) {
            Some(expression) => evaluate(expression, scope)?,
            None => Value::String(render_text(text, scope)?),
        },
        Value::Array(items) => {
            let items: Result<Vec<Value>, _> = items.iter().map(|i| render(i, scope)).collect();
            Value::Array(items?)
        }
        Value::Object(fields) => {
            let mut rendered = serde_json::Map::new();
            for (name, field) in fields {
                rendered.insert(name.clone(), render(field, scope)?);
            }
            Value::Object(rendered)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

/// `text`, a template, as text. Every byte of it that is not a template stays.
///
/// # Errors
/// [`ExpressionError`].
pub fn render_text(text: &str, scope: &Value) -> Result<String, ExpressionError> {
    if is_plain(text) {
        return Ok(text.to_owned());
    }
    defined(text, &of_template(text)?, scope)?;
    let environment = bounded(effort::of_template(text, scope));
    let template = environment.template_from_str(text).map_err(|e| malformed(text, &e))?;
    let mut rendered = Text::default();
    let filled = template.render_captured_to(minijinja::value::Serde(scope), &mut rendered);
    let filled = filled
        .map(drop)
        .map_err(|error| if Text::is_full(&error) { Text::too_large() } else { error });
    filled.and_then(|()| rendered.into_string()).map_err(|error| failed(text, &error))
}

fn is_plain(text: &str) -> bool {
    !text.contains("{{") && !text.contains("{%") && !text.contains("{#")
}

/// The expression that is all of `text`, if it is one in double braces.
fn whole(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?;
    let plain = !inner.contains("{{") && !inner.contains("}}");
    plain.then(|| inner.trim_matches('-').trim())
}

/// Comparing something that is not there would be false without a word, so it is looked for before.
fn defined(text: &str, references: &References, scope: &Value) -> Result<(), ExpressionError> {
    if CAREFUL.iter().any(|words| text.contains(words)) {
        return Ok(());
    }
    let missing = references.0.iter().find(|path| !is_there(path, scope));
    missing.map_or(Ok(()), |path| {
        Err(ExpressionError::Undefined { text: text.to_owned(), name: path.clone() })
    })
}

/// Whether a path leads somewhere. What is behind a value that is no object is its method.
fn is_there(path: &str, scope: &Value) -> bool {
    let mut at = scope;
    for (depth, part) in path.split('.').enumerate() {
        let Some(fields) = at.as_object() else { return true };
        match fields.get(part) {
            Some(value) => at = value,
            None => return depth == 0 && is_built_in(part),
        }
    }
    true
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment.add_function("len", minijinja::filters::length);
    // What they keep and show is not the expression's.
    ["namespace", "debug"].into_iter().for_each(|name| environment.remove_global(name));
    environment
}

/// One in which expressions are evaluated, and not only read, with so many instructions.
fn bounded(fuel: u64) -> Environment<'static> {
    let mut environment = environment();
    environment.set_fuel(Some(fuel));
    growth::add_filters(&mut environment);
    environment
}

/// What is refused for its depth is long, so only its beginning is told.
fn too_deep(text: &str, why: String) -> ExpressionError {
    let beginning: String = text.chars().take(40).collect();
    ExpressionError::Malformed { text: format!("{beginning}…"), why }
}

fn malformed(text: &str, error: &Error) -> ExpressionError {
    ExpressionError::Malformed { text: text.to_owned(), why: reason(error) }
}

fn failed(text: &str, error: &Error) -> ExpressionError {
    let why = if error.kind() == ErrorKind::OutOfFuel {
        "it does too much: compare less, or do a part of it in a step of its own".to_owned()
    } else {
        reason(error)
    };
    ExpressionError::Failed { text: text.to_owned(), why }
}

fn reason(error: &Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scope() -> Value {
        json!({
            "inputs": {"greeting": "hello", "limit": 10, "none": null},
            "steps": {"read": {"result": {"text": "hi\n", "lines": [1, 2]}, "success": true}},
        })
    }

    #[test]
    fn an_expression_has_the_type_of_its_value() {
        let value = |text: &str| render(&json!(text), &scope()).unwrap();
        assert_eq!(value("{{ steps.read.result.lines }}"), json!([1, 2]));
        assert_eq!(value("{{ inputs.limit + 1 }}"), json!(11));
        assert_eq!(value("{{ steps.read.result.lines | length == 2 }}"), json!(true));
        assert_eq!(value("{{ inputs.none }}"), json!(null));
    }

    #[test]
    fn text_around_templates_is_kept_byte_for_byte() {
        let text = "\n # {{ steps.read.result.text }}{{ inputs.greeting }}\n\n";
        assert_eq!(render_text(text, &scope()).unwrap(), "\n # hi\nhello\n\n");
        assert_eq!(render_text("no template\n", &scope()).unwrap(), "no template\n");
    }

    #[test]
    fn a_name_without_a_value_is_an_error_also_where_it_is_only_compared() {
        for text in ["nothing > 3", "steps.read.result.words == 2", "inputs.nothing", "not nothing"]
        {
            let error = evaluate(text, &scope()).unwrap_err();
            assert!(matches!(error, ExpressionError::Undefined { .. }), "{text}: {error}");
        }
        let error = render_text("a {{ nothing }} b", &scope()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`a {{ nothing }} b` refers to `nothing`, which has no value"
        );
    }

    #[test]
    fn an_expression_can_look_after_names_without_a_value_itself() {
        assert!(!holds("steps.read.result.words is defined", &scope()).unwrap());
        assert!(holds("inputs.greeting is defined", &scope()).unwrap());
        let text = "{{ steps.read.result.words | default('none') }}";
        assert_eq!(render(&json!(text), &scope()).unwrap(), json!("none"));
    }

    #[test]
    fn lengths_can_be_asked_for_as_a_function() {
        assert!(holds("len(steps.read.result.text) == 3", &scope()).unwrap());
        assert!(!holds("len(inputs.greeting) > 10", &scope()).unwrap());
    }

    #[test]
    fn what_is_referred_to_is_found_in_expressions_and_templates() {
        let value =
            json!({"a": "{{ steps.read.result.text }}", "b": ["x {{ steps.check.success }}"]});
        let references = of_templates(&value).unwrap();
        let steps: Vec<_> = references.steps().collect();
        assert_eq!(steps, [("check", false), ("read", true)]);
        assert!(of_expression("steps['read'].result").unwrap().to_all_steps());
    }

    #[test]
    fn an_endless_template_is_stopped() {
        let text = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(matches!(render_text(text, &scope()), Err(ExpressionError::Failed { .. })));
        let told = render_text(text, &scope()).unwrap_err().to_string();
        assert!(
            told.ends_with(
                "it does too much: compare less, or do a part of it in a step of its own"
            )
        );
    }

    #[test]
    fn what_is_compared_again_and_again_is_stopped_the_sooner_the_larger_it_is() {
        let found = |length: usize| {
            let scope = json!({"text": "x".repeat(length)});
            render_text("{% for i in range(500) %}{{ 'y' in text }}{% endfor %}", &scope).is_ok()
        };
        assert!(found(1_000) && !found(200_000));
    }

    #[test]
    fn what_is_no_expression_is_refused_with_the_reason() {
        for text in ["a >", "1 +* 2", "(a"] {
            assert!(
                matches!(of_expression(text), Err(ExpressionError::Malformed { .. })),
                "{text}"
            );
        }
    }
}
