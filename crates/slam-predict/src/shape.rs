//! A decoder's size from its Hugging Face `config.json`, without its weights.

use serde_json::Value;

use crate::error::PredictError;

/// What of a decoder decides its cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelShape {
    /// All parameters, a tied head counted once.
    pub parameters: u64,
    /// Hidden size.
    pub hidden: u64,
    /// Size of the feed-forward layer.
    pub ffn: u64,
    /// Blocks.
    pub layers: u64,
    /// Query heads.
    pub heads: u64,
    /// Key and value heads.
    pub kv_heads: u64,
    /// Size of a head.
    pub head_dim: u64,
    /// Tokens of the vocabulary.
    pub vocab: u64,
    /// Whether the feed-forward layer has a gate (SwiGLU).
    pub gated: bool,
}

impl ModelShape {
    /// Reads a configuration of the families qwen2, llama, opt and gpt_neox. `vocab` takes the place of
    /// its `vocab_size`, for a text model that becomes a unit model.
    ///
    /// # Errors
    /// If a size is missing or the family is unknown.
    pub fn of(config: &Value, vocab: Option<u64>) -> Result<Self, PredictError> {
        let family = config["model_type"].as_str().unwrap_or("");
        let number = |key: &'static str| {
            config[key].as_u64().filter(|n| (1..1 << 28).contains(n)).ok_or(PredictError::Size(key))
        };
        let number_or = |key: &'static str, default: u64| match &config[key] {
            Value::Null => Ok(default),
            _ => number(key),
        };
        let flag = |key: &str, default: bool| config[key].as_bool().unwrap_or(default);
        let (hidden, heads) = (number("hidden_size")?, number("num_attention_heads")?);
        let layers = number("num_hidden_layers")?;
        let ffn = number(if family == "opt" { "ffn_dim" } else { "intermediate_size" })?;
        let vocab = vocab.map_or_else(|| number("vocab_size"), Ok)?;
        let head_dim = number_or("head_dim", hidden / heads)?;
        let (width, bias) = (heads * head_dim, |on: bool, n: u64| if on { n } else { 0 });
        let (kv_heads, tied, block, rest) = match family {
            "qwen2" | "llama" => {
                let kv_heads = number_or("num_key_value_heads", heads)?;
                let kv = kv_heads * head_dim;
                let qkv_bias = family == "qwen2" || flag("attention_bias", false);
                let out_bias = family == "llama" && flag("attention_bias", false);
                let mlp_bias = flag("mlp_bias", false);
                let attention = 2 * hidden * width
                    + 2 * hidden * kv
                    + bias(qkv_bias, width + 2 * kv)
                    + bias(out_bias, hidden);
                let mlp = 3 * hidden * ffn + bias(mlp_bias, 2 * ffn + hidden);
                (kv_heads, flag("tie_word_embeddings", false), attention + mlp + 2 * hidden, hidden)
            }
            "opt" => {
                let embed = number_or("word_embed_proj_dim", hidden)?;
                let on = flag("enable_bias", true);
                let attention = 4 * (hidden * hidden + bias(on, hidden));
                let mlp = 2 * hidden * ffn + bias(on, ffn + hidden);
                let positions = (number_or("max_position_embeddings", 2048)? + 2) * hidden;
                let last =
                    flag("do_layer_norm_before", true) && !flag("_remove_final_layer_norm", false);
                let projections = bias(embed != hidden, 2 * embed * hidden);
                let tied = flag("tie_word_embeddings", true);
                // The embedding's rows are `embed` wide; what is too much is taken off below.
                let rest = positions + projections + bias(last, 2 * hidden);
                let tables = if tied { 1 } else { 2 } * vocab;
                let parameters = tables * embed + layers * (attention + mlp + 4 * hidden) + rest;
                return Ok(Self {
                    parameters,
                    hidden,
                    ffn,
                    layers,
                    heads,
                    kv_heads: heads,
                    head_dim,
                    vocab,
                    gated: false,
                });
            }
            "gpt_neox" => {
                let on = flag("attention_bias", true);
                let attention = 4 * hidden * hidden + bias(on, 4 * hidden);
                let mlp = 2 * hidden * ffn + ffn + hidden;
                let block = attention + mlp + 4 * hidden;
                (heads, flag("tie_word_embeddings", false), block, 2 * hidden)
            }
            other => return Err(PredictError::Family(other.to_owned())),
        };
        let tables = if tied { 1 } else { 2 } * vocab * hidden;
        let parameters = tables + layers * block + rest;
        let gated = family != "gpt_neox";
        Ok(Self { parameters, hidden, ffn, layers, heads, kv_heads, head_dim, vocab, gated })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn check(config: Value, expected: u64) {
        assert_eq!(ModelShape::of(&config, Some(502)).unwrap().parameters, expected, "{config}");
    }

    /// Expected values are transformers' `sum(p.numel())` of the same configuration with 502 tokens.
    #[test]
    fn parameters_are_counted_as_transformers_counts_them() {
        let sizes = |hidden, ffn, layers, heads| {
            json!({"hidden_size": hidden, "intermediate_size": ffn, "ffn_dim": ffn,
                "num_hidden_layers": layers, "num_attention_heads": heads})
        };
        let with = |mut base: Value, more: Value| {
            base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            base
        };
        let qwen =
            json!({"model_type": "qwen2", "num_key_value_heads": 2, "tie_word_embeddings": true});
        check(with(sizes(896, 4864, 24, 14), qwen), 358_347_904);
        let opt = json!({"model_type": "opt", "max_position_embeddings": 2048});
        check(with(sizes(768, 3072, 12, 12), opt.clone()), 87_015_936);
        let post = json!({"do_layer_norm_before": false, "word_embed_proj_dim": 512});
        check(with(with(sizes(1024, 4096, 24, 16), opt), post), 305_714_176);
        check(with(sizes(768, 3072, 12, 12), json!({"model_type": "gpt_neox"})), 85_827_072);
        let smol =
            json!({"model_type": "llama", "num_key_value_heads": 5, "tie_word_embeddings": true});
        check(with(sizes(960, 2560, 32, 15), smol), 315_117_120);
    }

    #[test]
    fn a_missing_size_and_an_unknown_family_are_named() {
        let error = |config| ModelShape::of(&config, Some(9)).unwrap_err().to_string();
        assert!(error(json!({"model_type": "qwen2"})).contains("hidden_size"));
        let sizes = json!({"model_type": "bert", "hidden_size": 8, "intermediate_size": 8,
            "num_hidden_layers": 1, "num_attention_heads": 2});
        assert!(error(sizes).contains("bert"));
        let zero = json!({"model_type": "qwen2", "hidden_size": 8, "num_attention_heads": 0});
        assert!(error(zero).contains("num_attention_heads"));
    }
}
