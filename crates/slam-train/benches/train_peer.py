"""The peer of `train.rs`: the same training steps by transformers' Qwen2ForCausalLM (SDPA) and torch's AdamW.

python crates/slam-train/benches/train_peer.py [small|half]     (tests/requirements.txt installed)
"""

import json
import os
import sys
import time

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

SHAPES = {
    # layers, hidden, ffn, heads, kv heads, batch, time, steps
    "small": (4, 256, 1024, 4, 4, 8, 256, 12),
    "half": (24, 896, 4864, 14, 2, 1, 1024, 4),
}

if "--prepare" in sys.argv:
    sys.exit()
chosen = [a for a in sys.argv[1:] if not a.startswith("--")]
torch.set_num_threads(len(os.sched_getaffinity(0)))
for name, (layers, hidden, ffn, heads, kv, batch, length, steps) in SHAPES.items():
    if chosen and name not in chosen:
        continue
    config = Qwen2Config(
        vocab_size=502, hidden_size=hidden, intermediate_size=ffn, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv, tie_word_embeddings=True,
        max_position_embeddings=length, rope_theta=10_000.0,
    )
    model = Qwen2ForCausalLM(config).float()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0)
    batches = [torch.randint(2, 502, (batch, length)) for _ in range(4)]
    best = float("inf")
    for step in range(steps):
        started = time.time()
        ids = batches[step % len(batches)]
        model(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimiser.step()
        optimiser.zero_grad()
        # The first step pays for set-up.
        if step > 0:
            best = min(best, time.time() - started)
    print(json.dumps({"name": f"training, {name}", "value": batch * length / best, "unit": "tokens/s"}))
