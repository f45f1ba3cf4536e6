"""How many units differ when recordings of different length are padded to a batch without a mask, as slamkit does.

python padded_units.py     on the checkpoint and the FLAC files of `units_peer.py` in $SLAM_BENCH
"""

import os
from pathlib import Path

import numpy as np
import soundfile
import torch
from transformers import HubertModel

LAYER, FILES, BATCH = 11, 12, 4
folder = Path(os.environ["SLAM_BENCH"])
model = HubertModel.from_pretrained(folder / "model").eval()
model.encoder.layers = model.encoder.layers[:LAYER]
centroids = torch.as_tensor(np.load(folder / "centroids.npy"))
squares = (centroids**2).sum(1)


def labels(wavs):
    """Units of a batch, padded at the end to its longest recording."""
    longest = max(len(w) for w in wavs)
    batch = torch.stack([torch.nn.functional.pad(w, (40, 40 + longest - len(w))) for w in wavs])
    with torch.inference_mode():
        hidden = model(batch, output_hidden_states=True).hidden_states[LAYER]
    return [(squares - 2 * h[: len(w) // 640] @ centroids.T).argmin(1) for h, w in zip(hidden, wavs)]


files = sorted((folder / "flac").glob("*.flac"))[:FILES]
wavs = [torch.as_tensor(soundfile.read(f, dtype="float32")[0]) for f in files]
differ = frames = changed = 0
for first in range(0, FILES, BATCH):
    batch = wavs[first : first + BATCH]
    for wav, padded in zip(batch, labels(batch)):
        alone = labels([wav])[0]
        differ += int((alone != padded).sum())
        changed += int((alone != padded).any())
        frames += len(alone)
print(
    f"transformers, {FILES} recordings in padded batches of {BATCH} without a mask: "
    f"{differ} of {frames} units ({100 * differ / frames:.1f} %) are not those of the recording alone, "
    f"in {changed} of {FILES} recordings"
)
