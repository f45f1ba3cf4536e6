//! The unit tokenizer in the form of Hugging Face's `tokenizers`: words `<Un0>`, `<Un1>`, ….

use serde_json::{Map, Value, json};

/// Id of the padding token `<PAD>`.
pub const PAD: u32 = 0;

/// Id of `<S>`, which begins and ends every sequence.
pub const BOS: u32 = 1;

/// Id of unit 0; unit `u` is token `u + 2`.
pub const FIRST_UNIT: u32 = 2;

/// Token ids of a unit sequence, without `<S>`.
pub fn unit_tokens(units: &[u16]) -> Vec<u32> {
    units.iter().map(|unit| u32::from(*unit) + FIRST_UNIT).collect()
}

/// Units of a token sequence; special tokens are left out.
pub fn token_units(tokens: &[u32]) -> Vec<u16> {
    tokens
        .iter()
        .filter_map(|id| id.checked_sub(FIRST_UNIT))
        .filter_map(|unit| u16::try_from(unit).ok())
        .collect()
}

/// `tokenizer.json`: unit `u` is `<Un{u}>` with id `u + 2`, `<PAD>` 0, `<S>` 1; `<S>` is put on both
/// ends of a sequence.
///
/// Units are words of the model and added tokens as well. transformers 5 reads the tokenizer of every checkpoint of
/// the type `qwen2` as Qwen2's own, which keeps nothing of the file but its added tokens and its post-processor.
pub fn tokenizer_json(num_units: usize) -> Value {
    let token = |id: usize, content: &str, special: bool| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false,
               "rstrip": false, "normalized": false, "special": special})
    };
    let mut added = vec![token(PAD as usize, "<PAD>", true), token(BOS as usize, "<S>", true)];
    let mut vocab = Map::new();
    vocab.insert("<PAD>".into(), json!(PAD));
    vocab.insert("<S>".into(), json!(BOS));
    for unit in 0..num_units {
        let (id, word) = (unit + FIRST_UNIT as usize, format!("<Un{unit}>"));
        added.push(token(id, &word, false));
        vocab.insert(word, json!(id));
    }
    let bos = json!({"SpecialToken": {"id": "<S>", "type_id": 0}});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": added,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "<Un[0-9]+>"},
                          "behavior": "Isolated", "invert": false},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}, bos],
            "pair": [bos, {"Sequence": {"id": "A", "type_id": 0}}, bos,
                     {"Sequence": {"id": "B", "type_id": 1}}, bos],
            "special_tokens": {"<S>": {"id": "<S>", "ids": [BOS], "tokens": ["<S>"]}},
        },
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<PAD>"},
    })
}

/// `tokenizer_config.json`, which names the tokenizer's class and special tokens.
pub fn tokenizer_config_json() -> Value {
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<S>", "eos_token": "<S>",
        "pad_token": "<PAD>", "clean_up_tokenization_spaces": false,
    })
}
