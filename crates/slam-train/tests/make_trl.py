"""Twenty steps of TRL's DPOTrainer on a tiny model: writes fixtures/trl/.

    python make_trl.py

The pairs come in the order of the file. Some are longer than the caps, so that TRL's truncation is compared
too. f32 on the CPU; the model has dropout nowhere.
"""

import json
import random
import tempfile
from pathlib import Path

import torch
import transformers
import trl
from datasets import Dataset
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.utils.data import SequentialSampler
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from trl import DPOConfig, DPOTrainer

OUT = Path(__file__).parent / "fixtures" / "trl"
UNITS = 40
STEPS = 20
PAIRS = 4  # of a step, in two parts
OPTIONS = {
    "beta": 0.1,
    "label_smoothing": 0.05,
    "max_prompt_length": 12,
    "max_completion_length": 16,
    "max_length": 24,
    "learning_rate": 1e-3,
    "warmup_steps": 4,
    "max_grad_norm": 0.5,
}


class InOrder(DPOTrainer):
    def _get_train_sampler(self, *args, **kwargs):
        return SequentialSampler(self.train_dataset)


def tokeniser():
    """<PAD> 0, <S> 1, unit u as u + 2, words apart by spaces."""
    vocabulary = {"<PAD>": 0, "<S>": 1} | {str(u): u + 2 for u in range(UNITS)}
    t = Tokenizer(models.WordLevel(vocabulary, unk_token="<PAD>"))
    t.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=t, bos_token="<S>", eos_token="<S>", pad_token="<PAD>")


def main():
    torch.manual_seed(8)
    random.seed(8)
    units = lambda low, high: [random.randrange(UNITS) for _ in range(random.randint(low, high))]
    pairs = [
        {"id": f"pair {i:02}", "prompt": units(1, 15), "chosen": units(1, 19), "rejected": units(1, 19)}
        for i in range(STEPS * PAIRS)
    ]
    config = Qwen2Config(
        vocab_size=UNITS + 2,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        rope_theta=10000.0,
        tie_word_embeddings=True,
        # Large, so that the pairs' log-probabilities differ and the gradients are no noise.
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=1,
        pad_token_id=0,
    )
    model = Qwen2ForCausalLM(config).float()
    OUT.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(OUT, safe_serialization=True)
    for needless in ["generation_config.json"]:
        (OUT / needless).unlink(missing_ok=True)
    join = lambda u: " ".join(map(str, u))
    dataset = Dataset.from_list(
        # The prompt's <S> as in slamkit's trainer; TRL itself appends the continuations' end.
        [{"prompt": "<S> " + join(p["prompt"]), "chosen": join(p["chosen"]), "rejected": join(p["rejected"])} for p in pairs]
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = DPOConfig(
            output_dir=folder,
            max_steps=STEPS,
            per_device_train_batch_size=PAIRS // 2,
            gradient_accumulation_steps=2,
            lr_scheduler_type="inverse_sqrt",
            optim="adamw_torch",
            weight_decay=0.0,
            precompute_ref_log_probs=True,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            bf16=False,
            fp16=False,
            gradient_checkpointing=False,
            dataloader_pin_memory=False,
            seed=8,
            **OPTIONS,
        )
        trainer = InOrder(model=model, args=arguments, train_dataset=dataset, processing_class=tokeniser())
        # TRL precomputes the reference in a loader of its own, in order too.
        trainer.train()
    final = {k: v.clone() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    save_file(final, OUT / "expected.safetensors")
    initial = load_file(OUT / "model.safetensors")
    moved = max((final[k] - initial[k]).norm() / initial[k].norm() for k in final if k in initial)
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    steps = [
        {
            "loss": e["loss"],
            "lr": e["learning_rate"],
            "grad_norm": e["grad_norm"],
            "chosen_reward": e["rewards/chosen"],
            "rejected_reward": e["rewards/rejected"],
            "margin": e["rewards/margins"],
            "accuracy": e["rewards/accuracies"],
            "chosen_logp": e["logps/chosen"],
            "rejected_logp": e["logps/rejected"],
        }
        for e in log
    ]
    versions = {m.__name__: m.__version__ for m in (torch, transformers, trl)}
    text = json.dumps({"versions": versions, "units": UNITS, "pairs_of_a_step": PAIRS, "options": OPTIONS, "steps": steps}, indent=1)
    (OUT / "expected.json").write_text(text + "\n")
    (OUT / "pairs.jsonl").write_text("".join(json.dumps(p) + "\n" for p in pairs))
    print(f"{len(steps)} steps in {OUT}; the parameters moved by up to {moved:.3f} of their norm")
    print(steps[0], steps[-1], sep="\n")


if __name__ == "__main__":
    main()
