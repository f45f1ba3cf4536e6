//! Tokenisers by name: a file of its own for each, which a pipeline's `[tokeniser]` takes over field by field.

use std::fs;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::file::Tokeniser;

/// The tokenisers that the project brings (`tokenisers/`).
const KNOWN: [(&str, &str); 2] = [
    ("hubert-25hz", include_str!("../../../tokenisers/hubert-25hz.toml")),
    ("hubert-50hz", include_str!("../../../tokenisers/hubert-50hz.toml")),
];

/// Where a tokeniser's files come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Origin {
    /// The repository of the weights on the Hugging Face hub.
    pub hub: Option<String>,
    /// Where the centroids can be downloaded.
    pub centroids_url: Option<String>,
    /// SHA-256 of the file of centroids, in hexadecimal digits.
    pub centroids_sha256: Option<String>,
}

/// Puts the fields of the named tokeniser below those of a pipeline's `[tokeniser]` table. A name is one of the
/// project's, or the path of a TOML file.
pub(crate) fn lay_under(table: &mut Value) -> Result<(), String> {
    let Some(table) = table.as_object_mut() else { return Ok(()) };
    let Some(preset) = table.remove("preset") else { return Ok(()) };
    let name = preset.as_str().ok_or("tokeniser.preset must be a name or a path")?;
    let text = match KNOWN.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => (*text).to_owned(),
        None => fs::read_to_string(name).map_err(|e| {
            let known: Vec<_> = KNOWN.iter().map(|(known, _)| *known).collect();
            format!("tokeniser.preset '{name}' is none of {}, nor a file: {e}", known.join(", "))
        })?,
    };
    let preset: toml::Table = text.parse().map_err(|e| format!("{name}: {e}"))?;
    let preset = serde_json::to_value(preset).map_err(|e| format!("{name}: {e}"))?;
    // Centroids that are fitted replace those of the preset.
    let fitted = table.contains_key("fit_on");
    for (field, value) in preset.as_object().into_iter().flatten() {
        if !(fitted && field == "centroids") {
            table.entry(field.clone()).or_insert_with(|| value.clone());
        }
    }
    Ok(())
}

/// Checks that a tokeniser's files are there and are those it names; says how to get them.
pub(crate) fn check_files(tokeniser: &Tokeniser) -> Result<(), String> {
    let origin = &tokeniser.origin;
    if let Some(folder) = &tokeniser.checkpoint
        && !folder.join("config.json").is_file()
    {
        let remedy = match &origin.hub {
            Some(hub) => format!(
                "download config.json and model.safetensors of https://huggingface.co/{hub} into it \
                 (`hf download {hub} --local-dir {}`)",
                folder.display()
            ),
            None => "name the folder of a HuBERT checkpoint".into(),
        };
        return Err(format!(
            "tokeniser.checkpoint: {} has no config.json; {remedy}",
            folder.display()
        ));
    }
    let Some(file) = &tokeniser.centroids else { return Ok(()) };
    let (Some(url), Some(expected)) = (&origin.centroids_url, &origin.centroids_sha256) else {
        return Ok(());
    };
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(e) => {
            return Err(format!(
                "tokeniser.centroids: {}: {e}; download them \
                 (`curl -L --create-dirs -o {} {url}`)",
                file.display(),
                file.display()
            ));
        }
    };
    let hex = |b: &u8| format!("{b:02x}");
    let found = Sha256::digest(&bytes).iter().map(hex).collect::<Vec<_>>().concat();
    if found == *expected {
        return Ok(());
    }
    Err(format!(
        "tokeniser.centroids: {} is not the file that tokeniser '{}' names (SHA-256 {found}, expected \
         {expected}); download it again from {url}, or set tokeniser.origin.centroids_sha256 and \
         tokeniser.name to your own",
        file.display(),
        tokeniser.name
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn known(name: &str) -> Tokeniser {
        let mut table = json!({"preset": name});
        lay_under(&mut table).unwrap();
        serde_json::from_value(table).unwrap()
    }

    #[test]
    fn the_projects_tokenisers_are_those_of_the_recipe() {
        let p = known("hubert-25hz");
        assert_eq!(p.features, json!({"kind": "hubert", "layer": 11, "pad": [40, 40]}));
        assert_eq!(p.origin.hub.as_deref(), Some("slprl/mhubert-base-25hz"));
        let sum = p.origin.centroids_sha256.unwrap();
        assert!(sum.len() == 64 && sum.starts_with("03cc04a9") && sum.ends_with("28ad"), "{sum}");
        let p = known("hubert-50hz");
        assert_eq!(p.features["layer"], 9);
        assert_eq!(p.origin.hub.as_deref(), Some("facebook/hubert-base-ls960"));
    }

    #[test]
    fn a_pipelines_own_fields_go_before_those_of_the_preset() {
        let mut table = json!({"preset": "hubert-25hz", "checkpoint": "here"});
        lay_under(&mut table).unwrap();
        let t: Tokeniser = serde_json::from_value(table).unwrap();
        assert_eq!((t.name.as_str(), t.checkpoint.unwrap()), ("hubert-25hz", "here".into()));
        assert!(t.centroids.is_some());
        let mut table = json!({"preset": "hubert-25hz", "fit_on": "a"});
        lay_under(&mut table).unwrap();
        let t: Tokeniser = serde_json::from_value(table).unwrap();
        assert!(t.centroids.is_none());
        let error = lay_under(&mut json!({"preset": "nowhere.toml"})).unwrap_err();
        assert!(error.contains("hubert-50hz") && error.contains("nowhere.toml"), "{error}");
    }

    #[test]
    fn missing_and_wrong_files_are_errors_that_say_where_to_get_them() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("own.toml");
        let path = |name: &str| dir.path().join(name).display().to_string();
        let text = format!(
            "name = \"own\"\nfeatures = {{ kind = \"hubert\", layer = 1 }}\ncheckpoint = {:?}\n\
             centroids = {:?}\n[origin]\nhub = \"a/b\"\ncentroids_url = \"https://c/d\"\n\
             centroids_sha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n",
            path("weights"),
            path("c.bin"),
        );
        fs::write(&own, text).unwrap();
        let mut table = json!({"preset": own});
        lay_under(&mut table).unwrap();
        let t: Tokeniser = serde_json::from_value(table).unwrap();
        let error = check_files(&t).unwrap_err();
        assert!(error.contains("https://huggingface.co/a/b"), "{error}");
        fs::create_dir(dir.path().join("weights")).unwrap();
        fs::write(dir.path().join("weights/config.json"), "{}").unwrap();
        let error = check_files(&t).unwrap_err();
        assert!(error.contains("https://c/d") && error.contains("c.bin"), "{error}");
        fs::write(dir.path().join("c.bin"), "abd").unwrap();
        let error = check_files(&t).unwrap_err();
        assert!(error.contains("not the file") && error.contains("'own'"), "{error}");
        fs::write(dir.path().join("c.bin"), "abc").unwrap();
        check_files(&t).unwrap();
    }
}
