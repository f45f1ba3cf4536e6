//! Each layout on a small tree in exactly its public form, with everything that can be wrong with it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use slam_recipe::BenchmarkItem;
use slam_recipe::source::Suite;
use tempfile::TempDir;

use super::*;

/// A folder of files, each with its own name as content.
fn tree(files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in files {
        write(&folder, name, name);
    }
    folder
}

fn write(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn list(folder: &TempDir, mut source: Value) -> Listing {
    source["folder"] = json!(folder.path());
    super::list(&serde_json::from_value::<Suite>(source).unwrap(), folder.path()).unwrap()
}

/// An item's fields: `suite|pair|voice|kind|subkind|frequency|side|file`.
fn shown(item: &BenchmarkItem) -> String {
    let BenchmarkItem { suite, pair, voice, kind, subkind, frequency, side, file } = item;
    let frequency = frequency.map_or(String::new(), |n| n.to_string());
    let (side, file) = (side.name(), file.as_deref().unwrap());
    [suite.as_str(), pair, voice, kind, subkind, &frequency, side, file].join("|")
}

/// Checks items and, of what was refused, the file and a part of the reason.
fn check(listing: &Listing, items: &[&str], refused: &[(&str, &str)]) {
    let found: Vec<String> = listing.files.iter().map(|(item, _)| shown(item)).collect();
    assert_eq!(found, items);
    assert_eq!(listing.refused.len(), refused.len(), "{:?}", listing.refused);
    for (source, error) in refused {
        let of_source = listing.refused.iter().find(|r| r.source == *source);
        let found = &of_source.unwrap_or_else(|| panic!("{source} in {:?}", listing.refused)).error;
        assert!(found.contains(error), "{source}: {found}");
    }
}

const LEXICAL: &str = "filename,id,voice,frequency,word,phones,length,correct
aAAfmkmQpVz,1,A,12,brown,B R AW1 N,4,1
AaaggUZsvkR,1,A,12,blown't,B L OW1 N T,5,0
aAakhKfuvQI,1,B,12,brown,B R AW1 N,4,1
aAaOswLeeBL,1,B,12,blown't,B L OW1 N T,5,0
AaasVuoMJnS,2,A,0,dog,D AO1 G,3,1
gone,3,A,4,cat,K AE1 T,3,1
";

#[test]
fn zerospeech_lexical() {
    let wavs = ["aAAfmkmQpVz", "AaaggUZsvkR", "aAakhKfuvQI", "aAaOswLeeBL", "AaasVuoMJnS", "extra"];
    for split in ["dev", "test"] {
        let files: Vec<_> = wavs.iter().map(|w| format!("lexical/{split}/{w}.wav")).collect();
        let folder = tree(&files.iter().map(String::as_str).collect::<Vec<_>>());
        write(&folder, &format!("lexical/{split}/gold.csv"), LEXICAL);
        let source = json!({"layout": "zerospeech", "task": "lexical", "split": split});
        let suite = format!("swuggy-{split}");
        let ids = [
            "|1|A|||12|positive|aAAfmkmQpVz",
            "|1|A|||12|negative|AaaggUZsvkR",
            "|1|B|||12|positive|aAakhKfuvQI",
            "|1|B|||12|negative|aAaOswLeeBL",
            "|2|A|||0|positive|AaasVuoMJnS",
        ]
        .map(|id| format!("{suite}{id}"));
        check(
            &list(&folder, source),
            &ids.each_ref().map(String::as_str),
            &[("gold.csv line 7", "gone.wav is not there"), ("extra.wav", "no row of it")],
        );
    }
}

#[test]
fn zerospeech_syntactic_from_the_folder_itself() {
    let folder = tree(&["syntactic/dev/x.wav", "syntactic/dev/y.wav"]);
    let gold = "filename,id,voice,type,subtype,transcription,correct
x,4,en-1,anaphor_agreement,gender,\"the girl, herself\",1
y,4,en-1,anaphor_agreement,gender,the girl himself,0
y,5,en-1,anaphor_agreement,gender,again,0
";
    write(&folder, "syntactic/dev/gold.csv", gold);
    let inner = folder.path().join("syntactic/dev");
    let suite = serde_json::from_value(json!({"layout": "zerospeech"})).unwrap();
    let listing = super::list(&suite, &inner).unwrap();
    check(
        &listing,
        &[
            "sblimp-dev|4|en-1|anaphor_agreement|gender||positive|x",
            "sblimp-dev|4|en-1|anaphor_agreement|gender||negative|y",
        ],
        &[("gold.csv line 4", "has a row already")],
    );
}

#[test]
fn slamkit_swuggy() {
    let folder = tree(&[
        "inter/0_brown.wav",
        "inter/1_blown.wav",
        "inter/10_dog.wav",
        "inter/11_dag.wav",
        "oov/0_x.wav",
        "oov/1_y.wav",
        "oov/readme.wav",
    ]);
    check(
        &list(&folder, json!({"layout": "slamkit-swuggy"})),
        &[
            "swuggy|0||inter|||positive|0_brown",
            "swuggy|0||inter|||negative|1_blown",
            "swuggy|0||oov|||positive|0_x",
            "swuggy|0||oov|||negative|1_y",
            "swuggy|5||inter|||positive|10_dog",
            "swuggy|5||inter|||negative|11_dag",
        ],
        &[("oov/readme.wav", "does not begin with a number")],
    );
}

#[test]
fn slamkit_sblimp() {
    let folder =
        tree(&["agreement/2+a_b.wav", "agreement/3+a_c.wav", "npi/0+x.wav", "npi/4_y.wav"]);
    check(
        &list(&folder, json!({"layout": "slamkit-sblimp", "name": "sblimp"})),
        &[
            "sblimp|0||npi|||positive|0+x",
            "sblimp|1||agreement|||positive|2+a_b",
            "sblimp|1||agreement|||negative|3+a_c",
        ],
        &[("npi/4_y.wav", "'+'")],
    );
}

#[test]
fn story_cloze_flat() {
    let folder =
        tree(&["0_17_correct.wav", "1_17_incorrect.wav", "0_a_b_correct.wav", "notes.wav"]);
    check(
        &list(&folder, json!({"layout": "story-cloze", "name": "tsc"})),
        &[
            "tsc|17|||||positive|0_17_correct",
            "tsc|17|||||negative|1_17_incorrect",
            "tsc|a_b|||||positive|0_a_b_correct",
        ],
        &[("notes.wav", "neither")],
    );
}

#[test]
fn story_cloze_of_several_speakers() {
    let folder = tree(&[
        "af_heart/0_17_correct.wav",
        "af_heart/1_17_incorrect.wav",
        "bm_george/17_correct.wav",
        "bm_george/17_incorrect.wav",
        "bm_george/17_mutual.wav",
        "bm_george/17_mutual.txt",
    ]);
    check(
        &list(&folder, json!({"layout": "story-cloze", "name": "ssc"})),
        &[
            "ssc|17|af_heart||||positive|0_17_correct",
            "ssc|17|af_heart||||negative|1_17_incorrect",
            "ssc|17|bm_george||||positive|17_correct",
            "ssc|17|bm_george||||negative|17_incorrect",
        ],
        &[("bm_george/17_mutual.wav", "cross-modal")],
    );
}

#[test]
fn salmons_eight_parts() {
    let parts = [
        "bg_alignment",
        "bg_all_consistency",
        "bg_domain_consistency",
        "gender_consistency",
        "rir_consistency",
        "sentiment_alignment",
        "sentiment_consistency",
        "speaker_consistency",
    ];
    let mut files = vec![
        "rir_consistency/sample_7_a.wav".to_owned(),
        "rir_consistency/sample_8_a.wav".to_owned(),
        "rir_consistency/sample_8_b.wav".to_owned(),
        "rir_consistency/sample_8_c.wav".to_owned(),
    ];
    for part in parts {
        files.push(format!("{part}/sample_0_recording_b.wav"));
        files.push(format!("{part}/sample_0_recording_a.wav"));
    }
    let folder = tree(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let listing = list(&folder, json!({"layout": "salmon"}));
    assert_eq!(listing.files.len(), 16);
    let ids: BTreeSet<_> = listing.files.iter().map(|(item, _)| item.utterance_id()).collect();
    assert_eq!(ids.len(), 16, "{ids:?}");
    assert!(ids.contains("salmon/rir_consistency/0/negative"), "{ids:?}");
    for (key, file) in &listing.files {
        let first = file.relative.ends_with("_a.wav");
        assert_eq!(key.side == slam_recipe::item::Side::Positive, first, "{}", file.relative);
        assert!(parts.contains(&key.kind.as_str()) && key.pair == "0");
    }
    assert_eq!(listing.refused.len(), 4);
    assert!(listing.refused.iter().any(|r| r.error.contains("mate is missing")));
    assert!(listing.refused.iter().any(|r| r.error.contains("3 files of one sample")));
}

#[test]
fn a_name_may_have_any_characters() {
    let folder = tree(&["a|b/0_1#7_correct.wav"]);
    let listing = list(&folder, json!({"layout": "story-cloze"}));
    let (item, _) = &listing.files[0];
    assert_eq!((item.voice.as_str(), item.pair.as_str()), ("a|b", "1#7"));
    assert!(listing.refused.is_empty());
}

#[test]
fn two_files_of_one_side_are_one_utterance_and_a_refusal_that_names_both() {
    let folder = tree(&["0_17_correct.wav", "17_correct.wav", "1_17_incorrect.wav"]);
    let listing = list(&folder, json!({"layout": "story-cloze"}));
    let ids: Vec<_> = listing.files.iter().map(|(item, _)| item.utterance_id()).collect();
    assert_eq!(ids, ["story-cloze/17/positive", "story-cloze/17/negative"]);
    let [refused] = &listing.refused[..] else { panic!("{:?}", listing.refused) };
    assert_eq!((refused.source.as_str(), refused.reason.as_str()), ("17_correct.wav", "twice"));
    assert!(refused.error.contains("0_17_correct.wav"), "{}", refused.error);
}

#[test]
fn a_suite_without_its_gold_file_is_an_error_that_says_so() {
    let folder = tree(&["lexical/dev/x.wav"]);
    let suite = serde_json::from_value(json!({"layout": "zerospeech"})).unwrap();
    let error = super::list(&suite, folder.path()).unwrap_err().to_string();
    assert!(error.contains("lexical/dev/gold.csv"), "{error}");
}
