//! Named parameters of a model.
