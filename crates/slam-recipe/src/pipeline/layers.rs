//! What is laid over a pipeline's file before it is read: its `quick` values and `--set` overrides.

use serde_json::Value;

/// An override that cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// It has no `=`.
    #[error("expected FIELD=VALUE")]
    NoValue,
    /// A number that JSON does not have.
    #[error("it is not a finite number")]
    NotFinite,
    /// A list has no item of that name.
    #[error("there is no item '{0}'")]
    NoSuchItem(String),
    /// A step of the path is below a value.
    #[error("'{0}' is below a value, not a table")]
    BelowValue(String),
    /// A short name of a parameter that the pipeline does not set.
    #[error(
        "the pipeline sets no {field} for {table}; write {table}.params.{field} or {table}.params.optimiser.{field}"
    )]
    NoSuchParameter {
        /// `train` or `dpo`.
        table: &'static str,
        /// The field.
        field: String,
    },
}

/// Lays `small` over `value`: objects are merged, datasets by their name, all else is replaced.
pub(super) fn merge(value: &mut Value, small: Value) {
    match (value, small) {
        (Value::Object(value), Value::Object(small)) => {
            for (name, v) in small {
                merge(value.entry(name).or_insert(Value::Null), v);
            }
        }
        (Value::Array(items), Value::Array(small))
            if small.iter().all(|s| s.get("name").is_some()) =>
        {
            for s in small {
                match items.iter_mut().find(|i| i.get("name") == s.get("name")) {
                    Some(item) => merge(item, s),
                    None => items.push(s),
                }
            }
        }
        (value, small) => *value = small,
    }
}

/// The path of a number that is infinite or none, which would be left out of the JSON.
pub(super) fn not_finite(value: &toml::Value) -> Option<String> {
    let below = |name: String, value: &toml::Value| {
        not_finite(value).map(|rest| if rest.is_empty() { name } else { format!("{name}.{rest}") })
    };
    match value {
        toml::Value::Float(x) => (!x.is_finite()).then(String::new),
        toml::Value::Array(items) => {
            items.iter().enumerate().find_map(|(i, item)| below(i.to_string(), item))
        }
        toml::Value::Table(table) => table.iter().find_map(|(k, v)| below(k.clone(), v)),
        _ => None,
    }
}

/// Sets one field. Tables on its path that are not there are made.
pub(super) fn apply(value: &mut Value, text: &str) -> Result<(), OverrideError> {
    let (path, new) = text.split_once('=').ok_or(OverrideError::NoValue)?;
    let parsed = format!("v = {new}").parse::<toml::Table>().ok().and_then(|mut t| t.remove("v"));
    if parsed.as_ref().is_some_and(|v| not_finite(v).is_some()) {
        return Err(OverrideError::NotFinite);
    }
    let new = parsed
        .and_then(|v| serde_json::to_value(v).ok())
        // A bare word is a string, as in a shell.
        .unwrap_or_else(|| Value::from(new));
    let path = full_path(value, path)?;
    let mut place = value;
    for step in path.split('.') {
        // A table that the file leaves out.
        if place.is_null() {
            *place = Value::Object(serde_json::Map::new());
        }
        place = match place {
            Value::Array(items) => items
                .iter_mut()
                .find(|i| i.get("name").and_then(Value::as_str) == Some(step))
                .ok_or_else(|| OverrideError::NoSuchItem(step.to_owned()))?,
            Value::Object(map) => map.entry(step).or_insert(Value::Null),
            _ => return Err(OverrideError::BelowValue(step.to_owned())),
        };
    }
    *place = new;
    Ok(())
}

/// Fields of a training table itself; all others are parameters of its stage.
const TRAINING_FIELDS: [&str; 4] = ["datasets", "pair", "params", "policy"];

/// `train.peak_lr` for `train.params.optimiser.peak_lr`: a parameter of `train` and `dpo` may be named without
/// the tables that it is in, where the file has it.
fn full_path(value: &Value, path: &str) -> Result<String, OverrideError> {
    let mut steps = path.splitn(3, '.');
    let table = match steps.next() {
        Some("train") => "train",
        Some("dpo") => "dpo",
        _ => return Ok(path.to_owned()),
    };
    let Some(field) = steps.next() else { return Ok(path.to_owned()) };
    if TRAINING_FIELDS.contains(&field) {
        return Ok(path.to_owned());
    }
    let params = &value[table]["params"];
    let rest = steps.next().map_or(String::new(), |rest| format!(".{rest}"));
    let inside = |value: &Value| value.get(field).is_some();
    match (inside(params), inside(&params["optimiser"])) {
        (true, _) => Ok(format!("{table}.params.{field}{rest}")),
        (false, true) => Ok(format!("{table}.params.optimiser.{field}{rest}")),
        (false, false) => Err(OverrideError::NoSuchParameter { table, field: field.to_owned() }),
    }
}
