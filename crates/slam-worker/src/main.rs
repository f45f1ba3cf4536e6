//! One process that runs shards of a stage, a training run, an evaluation.
fn main() {}
