/// The form of a checkpoint folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// What slamkit's `UnitLM.from_pretrained` loads: the decoder's configuration under
    /// `base_config`, keys under `lm.`.
    Slamkit,
    /// What transformers' `AutoModelForCausalLM.from_pretrained` loads.
    HuggingFace,
}
