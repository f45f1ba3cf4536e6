"""The peer of `ingest.rs`: a loop with soundfile and soxr that handles one file after the other in one process.

`cargo xtask bench ingest` runs it. `--prepare` writes the recordings of both programs into SLAM_BENCH.
The options are those of `ingest.rs`.
"""

import argparse
import io
import json
import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import soxr

SECONDS = 15
SETS = {
    "FLAC 16 kHz, pass-through": ("flac16", 16000, "flac"),
    "FLAC 44.1 kHz": ("flac44", 44100, "flac"),
    "MP3 44.1 kHz": ("mp3", 44100, "mp3"),
}


def voice(rate, seconds, seed):
    """Returns a sound with the spectrum and the pauses of speech: harmonics under moving formants, and noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(rate * seconds) / rate
    slow = lambda low, high, hz: low + (high - low) * (0.5 + 0.5 * np.interp(
        t, np.arange(0, seconds + 1 / hz, 1 / hz), rng.uniform(-1, 1, int(seconds * hz) + 2)[: len(np.arange(0, seconds + 1 / hz, 1 / hz))]))
    f0 = slow(90, 220, 3)
    phase = 2 * np.pi * np.cumsum(f0) / rate
    f1, f2 = slow(300, 900, 6), slow(900, 2500, 6)
    x = np.zeros_like(t)
    for k in range(1, 31):
        hz = k * f0
        gain = np.exp(-(((hz - f1) / 200) ** 2)) + 0.5 * np.exp(-(((hz - f2) / 300) ** 2)) + 0.02
        x += gain * np.sin(k * phase) * (hz < 0.45 * min(rate, 16000))
    speaking = np.clip(4 * (slow(0, 1, 2) - 0.3), 0, 1)
    x = x * speaking + 0.05 * rng.standard_normal(len(t)) * slow(0, 1, 8) ** 4
    x = x / np.abs(x).max() * 0.5 + 0.0005 * rng.standard_normal(len(t))
    return x.astype(np.float32)


def prepare(folder, files):
    for name, rate, ending in SETS.values():
        (folder / name).mkdir(parents=True, exist_ok=True)
        base = None
        for i in range(files):
            path = folder / name / f"{i:05}.{ending}"
            if path.exists():
                continue
            if base is None:
                base = np.concatenate([voice(rate, SECONDS, seed) for seed in range(8)])
            rng = np.random.default_rng(1000 + i)
            x = np.roll(base, -rng.integers(len(base)))[: rate * SECONDS] * rng.uniform(0.4, 1.0)
            part = path.with_suffix(".part")
            kind = dict(format="FLAC", subtype="PCM_16") if ending == "flac" else dict(format="MP3")
            soundfile.write(part, x, rate, **kind)
            part.rename(path)


def ingest(path):
    data, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = data[:, 0] if data.shape[1] == 1 else data.mean(1)
    if rate == 16000 and data.shape[1] == 1 and path.suffix == ".flac":
        return path.read_bytes(), len(mono)
    mono = soxr.resample(mono, rate, 16000)
    out = io.BytesIO()
    soundfile.write(out, mono, 16000, format="FLAC", subtype="PCM_16")
    return out.getvalue(), len(mono)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--prepare", action="store_true")
    options.add_argument("--files", type=int, default=240)
    options = options.parse_args()
    folder = Path(os.environ["SLAM_BENCH"])
    if options.prepare:
        prepare(folder, options.files)
        return
    for name, (kind, _, _) in SETS.items():
        paths = sorted((folder / kind).glob(f"*.*"))[: options.files]
        started = time.perf_counter()
        rows = [ingest(path) for path in paths]
        table = pa.table({
            "id": [p.name for p in paths],
            "audio": pa.array([{"bytes": b, "path": p.name} for (b, _), p in zip(rows, paths)]),
            "num_samples": [n for _, n in rows],
        })
        pq.write_table(table, folder / "peer.parquet", compression="none")
        spent = time.perf_counter() - started
        hours = sum(n for _, n in rows) / 16000 / 3600
        print(json.dumps({"name": name, "value": hours / spent, "unit": "audio-hours/s"}), flush=True)
    (folder / "peer.parquet").unlink()


main()
