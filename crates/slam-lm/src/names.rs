//! What the families call the tensors outside their blocks.

use crate::config::Family;

#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) embedding: &'static str,
    pub(crate) head: &'static str,
    pub(crate) positions: &'static str,
    pub(crate) prefix: &'static str,
    pub(crate) final_norm: &'static str,
}

pub(crate) fn names(family: Family) -> Names {
    match family {
        Family::Qwen2 | Family::Llama => Names {
            embedding: "model.embed_tokens.weight",
            head: "lm_head.weight",
            positions: "",
            prefix: "model",
            final_norm: "model.norm",
        },
        Family::Opt => Names {
            embedding: "model.decoder.embed_tokens.weight",
            head: "lm_head.weight",
            positions: "model.decoder.embed_positions.weight",
            prefix: "model.decoder",
            final_norm: "model.decoder.final_layer_norm",
        },
        Family::GptNeox => Names {
            embedding: "gpt_neox.embed_in.weight",
            head: "embed_out.weight",
            positions: "",
            prefix: "gpt_neox",
            final_norm: "gpt_neox.final_layer_norm",
        },
    }
}
