#![doc = include_str!("../README.md")]

pub mod batch;
pub mod checkpoint;
pub mod config;
pub mod decoder;
mod error;
pub mod generate;
mod input_error;
mod layers;
mod names;
mod random;
mod rng;
mod rope;
pub mod score;
pub mod tokenizer;

pub use batch::TokenBatch;
pub use config::{ConfigError, DecoderConfig, Family};
pub use decoder::Decoder;
pub use error::LmError;
pub use input_error::InputError;
pub use rng::Rng;
pub use tokenizer::{BOS, FIRST_UNIT, PAD};
