"""The peer of `step.rs`: the same training steps by transformers' Qwen2ForCausalLM and torch's AdamW.

python crates/slam-nn/benches/torch_step.py [small|half]     (torch and transformers installed)
"""

import sys
import time

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

SHAPES = {
    # layers, hidden, ffn, heads, kv heads, batch, time, steps
    "small": (4, 256, 1024, 4, 4, 8, 256, 6),
    "half": (24, 896, 4864, 14, 2, 1, 1024, 2),
}

torch.set_num_threads(2)
for name, (layers, hidden, ffn, heads, kv, batch, length, steps) in SHAPES.items():
    if len(sys.argv) > 1 and sys.argv[1] != name:
        continue
    config = Qwen2Config(
        vocab_size=502, hidden_size=hidden, intermediate_size=ffn, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv, tie_word_embeddings=True,
        max_position_embeddings=length,
    )
    model = Qwen2ForCausalLM(config).float()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0)
    ids = torch.arange(batch * length).reshape(batch, length) % 502
    best = float("inf")
    for step in range(steps + 1):
        started = time.time()
        model(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimiser.step()
        optimiser.zero_grad()
        # The first step pays for set-up.
        if step > 0:
            best = min(best, time.time() - started)
    print(f"{name}: {batch * length / best:.0f} tokens/s, {best * 1e3:.1f} ms a step")
