"""The peer of `hubert.rs`: transformers' HubertModel to layer 11, one file at a time as slamkit does.

python torch_hubert.py DIR     makes the checkpoint, the FLAC files and the expected values in DIR, and times
"""

import sys
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors.torch import save_file
from transformers import HubertConfig, HubertModel

folder = Path(sys.argv[1])
(folder / "flac").mkdir(parents=True, exist_ok=True)
torch.manual_seed(0)
torch.set_num_threads(2)
config = HubertConfig(
    conv_dim=(512,) * 8, conv_kernel=(10, 3, 3, 3, 3, 2, 2, 2), conv_stride=(5, 2, 2, 2, 2, 2, 2, 2),
    num_feat_extract_layers=8, conv_pos_batch_norm=True, feat_extract_norm="group",
)
model = HubertModel(config).eval()
with torch.no_grad():
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.add_(0.1 * torch.randn_like(parameter))
    for name, buffer in model.named_buffers():
        if "running_mean" in name:
            buffer.copy_(0.2 * torch.randn_like(buffer))
        if "running_var" in name:
            buffer.copy_(0.5 + torch.rand_like(buffer))
model.save_pretrained(folder / "model")


def speech(seconds, seed):
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * 16_000)) / 16_000
    pitch = 2 * np.pi * np.cumsum(120 + 50 * np.sin(2 * np.pi * 0.7 * t + seed)) / 16_000
    voice = sum(np.sin(k * pitch) / k for k in range(1, 15)) * 0.1 * (0.6 + 0.4 * np.sin(19 * t))
    return (voice + 0.01 * rng.standard_normal(len(t))).astype(np.float32)


def hidden(wav):
    padded = torch.nn.functional.pad(torch.as_tensor(wav)[None], (40, 40))
    with torch.inference_mode():
        return model(padded, output_hidden_states=True).hidden_states


wav = speech(10, 1)
expected = hidden(wav)[11][0].contiguous()
save_file({"wav": torch.as_tensor(wav), "hidden11": expected}, folder / "expected.safetensors")
rng = np.random.default_rng(0)
centroids = expected.numpy()[rng.integers(0, len(expected), 500)]
centroids = (centroids + 0.05 * rng.standard_normal(centroids.shape)).astype(np.float32)
np.save(folder / "centroids.npy", centroids)
model.encoder.layers = model.encoder.layers[:11]

best = float("inf")
for _ in range(5):
    started = time.time()
    hidden(wav)
    best = min(best, time.time() - started)
print(f"torch  10 s in memory: {best:.3f} s, {10 / best:.1f} times real time")

lengths = np.random.default_rng(3).uniform(2, 18, 20)
for i, seconds in enumerate(lengths):
    soundfile.write(folder / "flac" / f"{i:02}.flac", speech(seconds, i), 16_000)
squares = (centroids**2).sum(1)
started = time.time()
audio = units = 0
for path in sorted((folder / "flac").glob("*.flac")):
    wav, _ = soundfile.read(path, dtype="float32")
    audio += len(wav) / 16_000
    frames = hidden(wav)[11][0].numpy()
    labels = (squares - 2 * frames @ centroids.T).argmin(1)
    units += 1 + int((labels[1:] != labels[:-1]).sum())
spent = time.time() - started
print(f"torch  {audio:.0f} s in FLAC files: {spent:.2f} s, {audio / spent:.1f} times real time, {units} units")
