"""The peer of `evaluate.rs`: transformers' Qwen2ForCausalLM scores the same number of sequences of the same lengths,
batched by length with padding, with as many tokens at once.

python crates/slam-eval/benches/evaluate_peer.py [PAIRS]     (tests/requirements.txt installed)
"""

import json
import os
import random
import resource
import sys
import time

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

BATCH_TOKENS = 8192

if "--prepare" in sys.argv:
    sys.exit()
pairs = next((int(a) for a in sys.argv[1:] if a.isdigit()), 20_000)
torch.set_num_threads(len(os.sched_getaffinity(0)))
config = Qwen2Config(
    vocab_size=252, hidden_size=256, intermediate_size=768, num_hidden_layers=4, num_attention_heads=4,
    num_key_value_heads=2, tie_word_embeddings=True, max_position_embeddings=1024, rope_theta=10_000.0,
)
model = Qwen2ForCausalLM(config).float().eval()
random.seed(9)
sequences = []
for _ in range(pairs):
    length = random.randint(8, 23)
    word = [random.randint(2, 251) for _ in range(length)]
    sequences += [[1, *word, 1], [1, *word[:-1], random.randint(2, 251), 1]]
started = time.time()
order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
nlls = [0.0] * len(sequences)
at = 0
with torch.inference_mode():
    while at < len(order):
        end = at + 1
        while end < len(order) and (end + 1 - at) * len(sequences[order[end]]) <= BATCH_TOKENS:
            end += 1
        longest = len(sequences[order[end - 1]])
        ids = torch.zeros(end - at, longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, i in enumerate(order[at:end]):
            ids[row, : len(sequences[i])] = torch.tensor(sequences[i])
            mask[row, : len(sequences[i])] = 1
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        sums = (losses * mask[:, 1:]).sum(1) / mask[:, 1:].sum(1)
        for i, nll in zip(order[at:end], sums.tolist()):
            nlls[i] = nll
        at = end
seconds = time.time() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
for name, value, unit in [
    (f"scores of {pairs} pairs", seconds, "s"),
    ("sequences", 2 * pairs / seconds, "sequences/s"),
    ("peak memory", peak, "MB"),
]:
    print(json.dumps({"name": name, "value": value, "unit": unit}))
