//! Small files in exactly the published form, with every possible error.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::*;
use slam_recipe::params::FileEntry;

fn unit(name: &str, text: &str, part: Option<(u64, u64)>) -> (tempfile::TempDir, UnitFiles) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    let entry = FileEntry { name: name.into(), ..Default::default() };
    (folder, UnitFiles { files: vec![UnitFile { entry, path }], rows: None, part })
}

fn items(
    source: &dyn Source,
    name: &str,
    text: &str,
    part: Option<(u64, u64)>,
) -> (Vec<Item>, Vec<Refused>) {
    let (_folder, unit) = unit(name, text, part);
    let (mut items, mut refused) = (Vec::new(), Vec::new());
    for item in source.items(unit).unwrap().stream {
        match item {
            Ok(item) => items.push(item),
            Err(r) => refused.push(r),
        }
    }
    (items, refused)
}

fn ids_and_texts(items: &[Item]) -> Vec<(&str, &str)> {
    items.iter().map(|i| (i.id.as_str(), i.text.as_deref().unwrap())).collect()
}

const SWAG: &str = ",video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3,label
0,anetv_a,3416,Members walk. The band,\"Members walk, slowly.\",The band,gold,plays.,sleeps.,flies.,sings.,0
1,anetv_b,3416,x y,A man sits.,He,gen,a.,b.,c.,d.,1
2,anetv_c,3417,x y,A dog runs.,It,gold,jumps.,barks.,eats.,hides.,3
3,lsmdc_d,3417,x y,A cat.,It,gold,jumps.,,eats.,hides.,0
4,lsmdc_e,3417,x y,A cow.,It,gold,jumps.,barks.,eats.,hides.,
5,lsmdc_f,3417,x y,A hen.,It,gold,jumps.,barks.,eats.,hides.,4
6,short
";

#[test]
fn swags_gold_rows_are_pairs_of_the_right_and_a_wrong_ending() {
    let (found, refused) = items(&Swag::default(), "train.csv", SWAG, None);
    assert_eq!(
        ids_and_texts(&found)[..2],
        [
            ("train-000000/prompt", "Members walk, slowly."),
            ("train-000000/chosen", "The band plays."),
        ]
    );
    let (id, rejected) = ids_and_texts(&found)[2];
    assert_eq!(id, "train-000000/rejected");
    assert!(["The band sleeps.", "The band flies.", "The band sings."].contains(&rejected));
    assert_eq!(ids_and_texts(&found)[4], ("train-000002/chosen", "It hides."));
    assert_eq!(found.len(), 6, "the generated ending is no pair");
    let errors: Vec<_> = refused.iter().map(|r| (r.origin.as_str(), r.error.as_str())).collect();
    assert_eq!(errors[0], ("train.csv row 3", "an ending is empty"));
    assert!(errors[1].1.contains("label is ''") && errors[2].1.contains("ending 4 of 4"));
    // The short row is not a gold row either.
    assert_eq!(errors.len(), 3);
    let all = Swag { gold_sources: vec![], ..Default::default() };
    assert_eq!(items(&all, "train.csv", SWAG, None).0.len(), 9);
}

#[test]
fn the_seed_draws_endings_and_voices_and_parts_are_the_whole() {
    let row = |i| format!("{i},v,1,s,Prompt {i}.,It,gold,w0.,w1.,w2.,w3.,{}\n", i % 4);
    let rows = (0..60).map(row).collect::<Vec<_>>().concat();
    let text = format!("{}\n{rows}", SWAG.lines().next().unwrap());
    let source = |seed, voices_per_pair| Swag {
        speech: PairSpeech {
            seed,
            voices: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
            voices_per_pair,
            ..Default::default()
        },
        ..Default::default()
    };
    let of = |source: &Swag, part| {
        let (items, refused) = items(source, "train.csv", &text, part);
        assert!(refused.is_empty());
        items.into_iter().map(|i| (i.id, i.speaker, i.text)).collect::<Vec<_>>()
    };
    let one = of(&source(1, 1), None);
    assert_eq!(one, of(&source(1, 1), None));
    assert_ne!(one, of(&source(2, 1), None));
    let parts: Vec<_> = (0..7).flat_map(|i| of(&source(1, 1), Some((i, 7)))).collect();
    assert_eq!(one, parts, "a part does not know how many there are");
    let voices: BTreeSet<_> = one.iter().map(|i| i.1.clone()).collect();
    assert_eq!(voices.len(), 4);
    let mut wrong = BTreeSet::new();
    for (i, pair) in one.chunks(3).enumerate() {
        assert!(pair.iter().all(|p| p.1 == pair[0].1), "one voice a pair");
        assert_eq!(pair[1].2, Some(format!("It w{}.", i % 4)));
        assert_ne!(pair[1].2, pair[2].2);
        wrong.insert(pair[2].2.clone());
    }
    assert_eq!(wrong.len(), 4);
    let two = of(&source(1, 2), None);
    assert_eq!(two.len(), 2 * one.len());
    assert_eq!(two.iter().map(|i| &i.0).collect::<BTreeSet<_>>().len(), two.len());
    let (_folder, unit) = unit("train.csv", &text, None);
    let error = source(1, 5).items(unit).err().unwrap().to_string();
    assert!(error.contains("5 of 4 voices"), "{error}");
}

#[test]
fn hella_swag_is_spoken_without_its_mark_up() {
    let line = |a: &str, b: &str, endings: &[&str], label: serde_json::Value| {
        serde_json::json!({"ind": 4, "activity_label": "x", "ctx_a": a, "ctx_b": b, "ctx": "", "split": "train",
            "endings": endings, "label": label})
        .to_string()
    };
    let text = [
        line("A boy throws.", "he", &["runs.", "sleeps."], 0.into()),
        line(
            "[header] How to bake [title] Buy flour. [step] Go out.",
            "",
            &["[substeps] Pay. Go.", "Stay."],
            "1".into(),
        ),
        line("No label.", "he", &["runs.", "sleeps."], "".into()),
        String::new(),
        "{\"ctx_a\": 1}".into(),
    ];
    let (found, refused) =
        items(&HellaSwag::default(), "hellaswag_train.jsonl", &text.join("\n"), None);
    assert_eq!(
        ids_and_texts(&found),
        [
            ("hellaswag_train-000000/prompt", "A boy throws."),
            ("hellaswag_train-000000/chosen", "he runs."),
            ("hellaswag_train-000000/rejected", "he sleeps."),
            ("hellaswag_train-000001/prompt", "How to bake. Buy flour. Go out."),
            ("hellaswag_train-000001/chosen", "Stay."),
            ("hellaswag_train-000001/rejected", "Pay. Go."),
        ]
    );
    let origins: Vec<_> = refused.iter().map(|r| r.origin.as_str()).collect();
    assert_eq!(origins, ["hellaswag_train.jsonl row 2", "hellaswag_train.jsonl row 4"]);
}

#[test]
fn another_table_is_refused_with_its_columns() {
    let (_folder, unit) = unit("train.csv", "id,text\n1,a\n", None);
    let error = Swag::default().items(unit).err().unwrap().to_string();
    assert!(error.contains("'sent1'") && error.contains("id, text"), "{error}");
}

#[test]
fn fields_are_read_beside_each_other_and_unknown_ones_are_refused() {
    let text = r#"{"gold_sources": ["gold", "gen"], "seed": 3, "voices": ["a", "b"], "engine": {"command": "x"}}"#;
    let swag: Swag = serde_json::from_str(text).unwrap();
    assert_eq!((swag.gold_sources.len(), swag.speech.seed, swag.speech.voices.len()), (2, 3, 2));
    assert_eq!(swag.speech.split, "preference");
    let error = serde_json::from_str::<Swag>(r#"{"sed": 3}"#).unwrap_err().to_string();
    assert!(error.contains("sed"), "{error}");
    assert!(serde_json::from_str::<HellaSwag>(r#"{"gold_sources": []}"#).is_err());
}
