#![allow(clippy::unwrap_used)]
use super::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data-manifests")
}

fn all() -> Vec<DataManifest> {
    let mut paths: Vec<_> = fs::read_dir(folder()).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|p| DataManifest::read(p).unwrap()).collect()
}

const NAMES: [&str; 14] = [
    "demo",
    "libri-light",
    "librispeech",
    "peoples-speech",
    "salmon",
    "sblimp",
    "spokenswag",
    "sstorycloze",
    "stinystories",
    "swc",
    "swuggy",
    "ted-lium",
    "tstorycloze",
    "voxpopuli-en",
];

#[test]
fn every_manifest_says_what_the_data_is_and_how_to_get_it() {
    let manifests = all();
    assert_eq!(manifests.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), NAMES);
    for m in manifests {
        let name = &m.name;
        for (field, value) in [
            ("licence", &m.licence),
            ("homepage", &m.homepage),
            ("version", &m.version),
            ("splits", &m.splits),
        ] {
            assert!(!value.is_empty(), "{name}: {field}");
        }
        assert!(m.homepage == "unknown" || m.homepage.starts_with("https://"), "{name}");
        for file in &m.files {
            assert!(file.url.starts_with("https://"), "{name}: {}", file.url);
            let hash = file.sha256.get();
            let is_hash = |h: &String| h.len() == 64 && h.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(hash.is_none_or(is_hash), "{name}: sha256 of {}", file.url);
        }
        if let Some(place) = &m.place {
            assert!(place.starts_with("corpora") && !m.layout.is_empty(), "{name}");
            assert!(m.can_be_fetched() || m.by_hand.is_some(), "{name} cannot be had");
            let how = m.instructions(place);
            assert!(how.contains(&format!("--source {name}=DIR")), "{how}");
        }
    }
}

#[test]
fn pipelines_and_manifests_agree() {
    for name in ["slam", "slam-scaled", "twist-350m"] {
        let path = folder().join(format!("../pipelines/{name}.toml"));
        let pipeline =
            slam_recipe::Pipeline::read(&path, slam_recipe::pipeline::Variant::Full, &[]).unwrap();
        for dataset in &pipeline.datasets {
            let manifest = DataManifest::find(&folder(), &dataset.name).unwrap();
            let manifest = manifest.unwrap_or_else(|| panic!("{}: no manifest", dataset.name));
            assert_eq!(manifest.role, dataset.role, "{}", dataset.name);
            assert_eq!(manifest.dataset().source.kind(), dataset.source.kind(), "{}", dataset.name);
            assert_eq!(
                manifest.dataset().source.folder(),
                dataset.source.folder(),
                "{}",
                dataset.name
            );
            assert_eq!(manifest.licence, dataset.licence, "{name}: {}", dataset.name);
        }
    }
}

#[test]
fn an_unknown_or_missing_field_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.toml");
    let text = "name = \"x\"\nlicence = \"unknown\"\nhomepage = \"unknown\"\nversion = \"1\"\n\
                hours = \"unknown\"\nrows = 3\nsplits = \"all train\"\nsource = { kind = \"folder\" }\n";
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        DataManifest::read(&path).map_err(|e| e.to_string())
    };
    assert_eq!(read(text).unwrap().rows.get(), Some(&3));
    let error = read(&format!("{text}licens = \"MIT\"\n")).unwrap_err();
    assert!(error.contains("licens") && error.contains("x.toml"), "{error}");
    let error = read(&text.replace("version = \"1\"\n", "")).unwrap_err();
    assert!(error.contains("version"), "{error}");
    let error = read(&text.replace("\"x\"", "\"y\"")).unwrap_err();
    assert!(error.contains("'y'"), "{error}");
    assert!(read(&text.replace("rows = 3", "rows = \"some\"")).is_err());
    assert_eq!(DataManifest::find(dir.path(), "nonesuch").unwrap(), None);
    assert_eq!(DataManifest::find(dir.path(), "../x").unwrap(), None);
}
