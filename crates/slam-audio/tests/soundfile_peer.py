"""Reads audio files with soundfile (libsndfile, mpg123): `soundfile_peer.py OUT FILE…` writes mono f32 samples."""

import sys
from pathlib import Path

import numpy as np
import soundfile

for name in sys.argv[2:]:
    samples, rate = soundfile.read(name, dtype="float64", always_2d=True)
    samples.mean(1).astype("<f4").tofile(Path(sys.argv[1]) / (Path(name).name + ".f32"))
    print(Path(name).name, rate)
