/// A prediction that can't be made.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum PredictError {
    /// A size is missing from the model's configuration.
    #[error(
        "the model's configuration has no usable `{0}`; name it in [model], or make the checkpoint"
    )]
    Size(&'static str),
    /// The family is none of those that are known.
    #[error("model_type `{0}` is not known; use qwen2, llama, opt or gpt_neox")]
    Family(String),
    /// A number that is no speed, share or duration.
    #[error("{0} must be positive")]
    NotPositive(&'static str),
}
