"""The peer of `units.rs`: transformers' HubertModel to layer 11 and k-means, one file at a time as slamkit does.

python units_peer.py --prepare     makes the checkpoint, the recordings and the expected values in $SLAM_BENCH
python units_peer.py               times transformers on them; one JSON object a line for every figure
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors.torch import load_file, save_file
from transformers import HubertConfig, HubertModel

LAYER = 11
FILES = 20
folder = Path(os.environ["SLAM_BENCH"])
torch.set_num_threads(int(os.environ.get("RAYON_NUM_THREADS", os.cpu_count() or 1)))


def speech(seconds, seed):
    """A buzz with a moving pitch, vowels and pauses: no speech, but not stationary either."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * 16_000)) / 16_000
    pitch = 2 * np.pi * np.cumsum(120 + 50 * np.sin(2 * np.pi * 0.7 * t + seed)) / 16_000
    voice = sum(np.sin(k * pitch) / k for k in range(1, 15)) * 0.1 * (0.6 + 0.4 * np.sin(19 * t))
    voice *= np.sin(2 * np.pi * 0.31 * t + seed) > -0.7
    return (voice + 0.01 * rng.standard_normal(len(t))).astype(np.float32)


def hidden(model, wav):
    padded = torch.nn.functional.pad(torch.as_tensor(wav)[None], (40, 40))
    with torch.inference_mode():
        return model(padded, output_hidden_states=True).hidden_states[LAYER][0]


def prepare():
    if (folder / "done").is_file():
        return
    torch.manual_seed(0)
    # The shape of slprl/mhubert-base-25hz, random weights.
    model = HubertModel(HubertConfig(
        conv_dim=(512,) * 8, conv_kernel=(10, 3, 3, 3, 3, 2, 2, 2),
        conv_stride=(5, 2, 2, 2, 2, 2, 2, 2), num_feat_extract_layers=8,
        conv_pos_batch_norm=True, feat_extract_norm="group",
    )).eval()
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
    wav = speech(10, 1)
    expected = hidden(model, wav).contiguous()
    save_file({"wav": torch.as_tensor(wav), "hidden": expected}, folder / "expected.safetensors")
    rng = np.random.default_rng(0)
    frames = np.concatenate([hidden(model, speech(20, 100 + i)).numpy() for i in range(4)])
    centroids = frames[rng.permutation(len(frames))[:500]]
    np.save(folder / "centroids.npy", centroids)
    (folder / "flac").mkdir(exist_ok=True)
    lengths = np.random.default_rng(3).uniform(2, 18, FILES)
    for i, seconds in enumerate(lengths):
        soundfile.write(folder / "flac" / f"{i:02}.flac", speech(seconds, i), 16_000)
    soundfile.write(folder / "long.flac", speech(300, 77), 16_000)
    (folder / "done").touch()


def say(name, value, unit):
    print(json.dumps({"name": name, "value": value, "unit": unit}), flush=True)


def measure():
    model = HubertModel.from_pretrained(folder / "model").eval()
    model.encoder.layers = model.encoder.layers[:LAYER]
    wav = load_file(folder / "expected.safetensors")["wav"].numpy()
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        hidden(model, wav)
        best = min(best, time.perf_counter() - started)
    say("1 × 10 s in memory", len(wav) / 16_000 / best, "audio-seconds/s")
    centroids = torch.as_tensor(np.load(folder / "centroids.npy"))
    squares = (centroids**2).sum(1)
    best, audio = float("inf"), 0
    for _ in range(2):
        started = time.perf_counter()
        audio = units = 0
        for path in sorted((folder / "flac").glob("*.flac")):
            wav, _ = soundfile.read(path, dtype="float32")
            audio += len(wav) / 16_000
            labels = (squares - 2 * hidden(model, wav) @ centroids.T).argmin(1)
            units += len(torch.unique_consecutive(labels))
        best = min(best, time.perf_counter() - started)
    say(f"{FILES} FLAC files, end to end", audio / best, "audio-seconds/s")


prepare()
if "--prepare" not in sys.argv:
    measure()
