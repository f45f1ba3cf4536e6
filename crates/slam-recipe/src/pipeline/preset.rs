//! Tokenisers by name: a file of its own for each, which a pipeline's `[tokeniser]` takes over field by field.

use std::fs;
use std::io;

use serde_json::Value;

/// The tokenisers that the project brings (`tokenisers/`).
const KNOWN: [(&str, &str); 2] = [
    ("hubert-25hz", include_str!("../../../../tokenisers/hubert-25hz.toml")),
    ("hubert-50hz", include_str!("../../../../tokenisers/hubert-50hz.toml")),
];

/// A preset that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PresetError {
    /// It is no text.
    #[error("tokeniser.preset must be a name or a path")]
    NoText,
    /// It is neither a name nor a file.
    #[error("tokeniser.preset '{name}' is none of {known}, nor a file: {source}", known = known())]
    Unknown {
        /// What was given.
        name: String,
        /// Why it cannot be read as a file.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("tokeniser {name}: {source}")]
    Toml {
        /// The file.
        name: String,
        /// What is wrong, with the line.
        source: Box<toml::de::Error>,
    },
    /// A value of the file has no form in JSON.
    #[error("tokeniser {name}: {source}")]
    Value {
        /// The file.
        name: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

fn known() -> String {
    KNOWN.map(|(name, _)| name).join(", ")
}

/// Puts the fields of the named tokeniser below those of a pipeline's `[tokeniser]` table. A name is one of the
/// project's, or the path of a TOML file.
pub(super) fn lay_under(table: &mut Value) -> Result<(), PresetError> {
    let Some(table) = table.as_object_mut() else { return Ok(()) };
    let Some(preset) = table.remove("preset") else { return Ok(()) };
    let name = preset.as_str().ok_or(PresetError::NoText)?.to_owned();
    let text = match KNOWN.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => (*text).to_owned(),
        None => fs::read_to_string(&name)
            .map_err(|source| PresetError::Unknown { name: name.clone(), source })?,
    };
    let preset: toml::Table =
        text.parse().map_err(|e| PresetError::Toml { name: name.clone(), source: Box::new(e) })?;
    let preset =
        serde_json::to_value(preset).map_err(|source| PresetError::Value { name, source })?;
    // Centroids that are fitted replace those of the preset.
    let fitted = table.contains_key("fit_on");
    for (field, value) in preset.as_object().into_iter().flatten() {
        if !(fitted && field == "centroids") {
            table.entry(field.clone()).or_insert_with(|| value.clone());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::tokeniser::{FeatureConfig, Tokeniser};
    use serde_json::json;

    fn laid(mut table: Value) -> Tokeniser {
        lay_under(&mut table).unwrap();
        serde_json::from_value(table).unwrap()
    }

    #[test]
    fn the_projects_tokenisers_are_those_of_the_recipe() {
        let t = laid(json!({"preset": "hubert-25hz"}));
        let FeatureConfig::Hubert(features) = &t.features else { panic!("{t:?}") };
        assert_eq!((features.layer, features.pad), (11, [40, 40]));
        assert_eq!(t.origin.hub.as_deref(), Some("slprl/mhubert-base-25hz"));
        let sum = t.origin.centroids_sha256.unwrap();
        assert!(sum.len() == 64 && sum.starts_with("03cc04a9") && sum.ends_with("28ad"), "{sum}");
        let t = laid(json!({"preset": "hubert-50hz"}));
        let FeatureConfig::Hubert(features) = &t.features else { panic!("{t:?}") };
        assert_eq!(features.layer, 9);
        assert_eq!(t.origin.hub.as_deref(), Some("facebook/hubert-base-ls960"));
    }

    #[test]
    fn a_pipelines_own_fields_go_before_those_of_the_preset() {
        let t = laid(json!({"preset": "hubert-25hz", "checkpoint": "here"}));
        assert_eq!((t.name.as_str(), t.checkpoint.unwrap()), ("hubert-25hz", "here".into()));
        assert!(t.centroids.is_some());
        let t = laid(json!({"preset": "hubert-25hz", "fit_on": "a"}));
        assert!(t.centroids.is_none());
        let error = lay_under(&mut json!({"preset": "nowhere.toml"})).unwrap_err().to_string();
        assert!(error.contains("hubert-50hz") && error.contains("nowhere.toml"), "{error}");
    }
}
