"""The peer of `generate.rs`: greedy continuations by transformers' `generate`, in f32.

SLAM_BENCH=DIR python crates/slam-lm/benches/generate_peer.py [--prepare]     (tests/requirements.txt installed)
"""

import json
import os
import sys
import time
from pathlib import Path

import torch

import unit_model

NEW = 40
PROMPT = 76

if "--prepare" in sys.argv:
    unit_model.make()
    sys.exit()
model = unit_model.load()
ours = Path(os.environ["SLAM_BENCH"]) / "tokens.json"
for rows in (1, 8):
    x = torch.tensor([[1] + unit_model.IDS[1 + row : PROMPT + row] for row in range(rows)])
    settings = dict(max_new_tokens=NEW, do_sample=False, repetition_penalty=1.0, pad_token_id=0, eos_token_id=None)
    with torch.inference_mode():
        model.generate(x, **{**settings, "max_new_tokens": 2})
        started = time.time()
        made = model.generate(x, attention_mask=torch.ones_like(x), **settings)
        seconds = time.time() - started
    made = made[:, PROMPT:].tolist()
    if ours.exists():
        found = json.loads(ours.read_text())[str(rows)]
        same = sum(a == b for a, b in zip(found, made))
        print(f"{same} of {rows} continuations are ours, token by token")
        assert found[0] == made[0], "the first continuation differs from ours"
    print(json.dumps({"name": f"generation, batch {rows}", "value": rows * NEW / seconds, "unit": "tokens/s"}), flush=True)
