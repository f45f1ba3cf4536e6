//! What `export` and `import` ask of the worker.

use std::path::Path;

use slam_recipe::Request;
use slam_recipe::event::Outcome;
use slam_recipe::request::{CheckpointForm, ConvertRequest};

use crate::options::Common;

pub(super) fn checkpoint_request(
    checkpoint: &Path,
    out: &Path,
    form: CheckpointForm,
    allow: &[String],
) -> ConvertRequest {
    let (checkpoint, out) = (checkpoint.to_owned(), out.to_owned());
    ConvertRequest::Checkpoint { checkpoint, out, form, allow: allow.to_vec() }
}

pub(super) fn convert(name: &str, request: ConvertRequest, common: &Common) -> anyhow::Result<()> {
    if let Outcome::Made(sentence) = common.once(name, Request::Convert(request))? {
        crate::out::say!("{sentence}");
    }
    Ok(())
}
