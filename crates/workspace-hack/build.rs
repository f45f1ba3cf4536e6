//! Nothing to build: the build dependencies only unify features.
fn main() {}
