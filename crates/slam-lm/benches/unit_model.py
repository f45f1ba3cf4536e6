"""The recipe's decoder with random weights, as both programs of a benchmark find it."""

import os
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, Qwen2Config

# Shared by the benchmarks of this crate.
FOLDER = Path(os.environ["SLAM_BENCH"]).parent / "unit-model"
# Units behind `<S>`: the prompt, and what parity is measured on.
IDS = [1] + [2 + i * 37 % 500 for i in range(255)]

torch.set_num_threads(len(os.sched_getaffinity(0)))


def make():
    """Writes the model once, in transformers' form."""
    if (FOLDER / "model.safetensors").exists():
        return
    torch.manual_seed(1)
    config = Qwen2Config(
        vocab_size=502, hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
        num_attention_heads=14, num_key_value_heads=2, tie_word_embeddings=True,
        max_position_embeddings=2048, rope_theta=10_000.0, rms_norm_eps=1e-6, pad_token_id=0,
        bos_token_id=1, eos_token_id=1,
    )
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            # Norms that differ and biases that are not 0; larger tables, so that the logits spread.
            if parameter.dim() == 1:
                parameter.add_(0.05 * torch.randn_like(parameter))
        model.get_input_embeddings().weight.mul_(4)
    model.save_pretrained(FOLDER)


def load():
    return AutoModelForCausalLM.from_pretrained(FOLDER, torch_dtype=torch.float32).eval()
