"""The peer of `stages.rs`: soxr's high quality (libsoxr), on the same signal's length, on one thread.

torchaudio's resampler, where it is installed (`pip install --no-deps torchaudio`), is timed too and printed beside; it
is a polyphase filter of far lower quality (`lowpass_filter_width=6`) than both.
"""

import json
import sys
import time

import numpy as np
import soxr

if "--prepare" in sys.argv:
    sys.exit()
SECONDS, ROUNDS = 120, 5


def best(run):
    spent = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        run()
        spent.append(time.perf_counter() - started)
    return min(spent)


for rate in (8000, 22050, 24000, 44100, 48000):
    signal = np.random.default_rng(0).standard_normal(rate * SECONDS).astype(np.float32) * 0.1
    spent = best(lambda: soxr.resample(signal, rate, 16000))
    print(json.dumps({"name": f"resample {rate} Hz", "value": SECONDS / 3600 / spent, "unit": "audio-hours/s, one thread"}))
    try:
        import torch

        # torchaudio refuses a torch for another CUDA than its own; on the CPU that has no meaning.
        torch.version.cuda = None
        import torchaudio.functional as F
    except ImportError:
        print("torchaudio is not installed: soxr alone", flush=True)
        continue
    torch.set_num_threads(1)
    tensor = torch.from_numpy(signal)
    spent = best(lambda: F.resample(tensor, rate, 16000))
    print(f"torchaudio, {rate} Hz: {SECONDS / 3600 / spent:.3f} audio-hours/s", flush=True)
