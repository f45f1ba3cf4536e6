"""The peer of `model.rs`: the recipe's decoder in transformers, its logits in f32 and bf16, and its loading.

SLAM_BENCH=DIR python crates/slam-lm/benches/model_peer.py [--prepare]     (tests/requirements.txt installed)
"""

import json
import resource
import sys
import time

import torch
from safetensors.torch import save_file

import unit_model


def figure(name, value, unit):
    print(json.dumps({"name": name, "value": value, "unit": unit, "better": "less"}), flush=True)


def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if "--prepare" in sys.argv:
    unit_model.make()
before = peak()
started = time.time()
model = unit_model.load()
# transformers maps the file; a pass over the weights brings them in.
with torch.inference_mode():
    sum(parameter.sum() for parameter in model.parameters())
seconds = time.time() - started
size = (unit_model.FOLDER / "model.safetensors").stat().st_size
if "--prepare" not in sys.argv:
    figure("loading", seconds, "s")
    figure("loading, peak memory", (peak() - before) / size, "of the file")
x = torch.tensor([unit_model.IDS])
with torch.inference_mode():
    exact = model(input_ids=x).logits[0].float()
    half = model.bfloat16()(input_ids=x).logits[0].float()
error = (half - exact).double()
if "--prepare" in sys.argv:
    save_file({"logits": exact.contiguous()}, unit_model.FOLDER / "logits.safetensors")
else:
    figure("bf16 logits, error against f32", (error.pow(2).mean() / exact.double().pow(2).mean()).sqrt().item(), "rms")
    figure("bf16 logits, largest error", error.abs().max().item(), "logit")
