//! Content hashes (BLAKE3) and the keys that name shards by content.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The name of a shard's content: a BLAKE3 digest in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// The digest of some bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).to_hex().to_string())
    }

    /// The digest of a file's content, read in a stream.
    ///
    /// # Errors
    /// If the file cannot be opened or read.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(path)?)?;
        Ok(Self(hasher.finalize().to_hex().to_string()))
    }

    /// A digest that is already made.
    pub fn of_digest(digest: [u8; 32]) -> Self {
        Self(blake3::Hash::from_bytes(digest).to_hex().to_string())
    }

    /// The key of a unit of work: `blake3(stage, version, canonical parameters, input keys)`.
    ///
    /// Each part is preceded by its length, so that no two different lists of parts hash alike.
    pub fn of_work<'a>(
        stage: &str,
        version: u32,
        params: &Value,
        inputs: impl IntoIterator<Item = &'a Key>,
    ) -> Self {
        let mut hasher = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(stage.as_bytes());
        part(&version.to_le_bytes());
        part(canonical_json(params).as_bytes());
        for input in inputs {
            part(input.0.as_bytes());
        }
        Self(hasher.finalize().to_hex().to_string())
    }

    /// The digest in hex.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 hex digits, for people and for folder names.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// JSON with object keys sorted at every level and no spaces: the same value always gives the same text.
pub fn canonical_json(value: &Value) -> String {
    let mut out = String::new();
    write_canonical(value, &mut out);
    out
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(name, _)| name.as_str());
            out.push('{');
            for (i, (name, value)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_ignores_the_order_of_parameters_but_not_of_inputs() {
        let (a, b) = (Key::of_bytes(b"a"), Key::of_bytes(b"b"));
        let p: Value = serde_json::from_str(r#"{"x":1,"y":{"b":2,"a":[1,2]}}"#).unwrap();
        let q: Value = serde_json::from_str(r#"{"y":{"a":[1,2],"b":2},"x":1}"#).unwrap();
        assert_eq!(Key::of_work("s", 1, &p, [&a, &b]), Key::of_work("s", 1, &q, [&a, &b]));
        assert_ne!(Key::of_work("s", 1, &p, [&a, &b]), Key::of_work("s", 1, &p, [&b, &a]));
        assert_ne!(Key::of_work("s", 1, &p, [&a]), Key::of_work("s", 2, &p, [&a]));
        assert_ne!(Key::of_work("s", 1, &json!(1), []), Key::of_work("s", 1, &json!(1.5), []));
    }
}
