"""Values of `features::Mfcc` by librosa: python make_mfcc.py (librosa, scipy, safetensors)."""

from pathlib import Path

import librosa
import numpy as np
import scipy.fft
from safetensors.numpy import save_file

RATE, HOP, WINDOW, FFT = 16_000, 160, 400, 512
rng = np.random.default_rng(7)
n = 16_000 + 977
t = np.arange(n) / RATE
# A glide with harmonics, noise and a silence.
pitch = 2 * np.pi * np.cumsum(110 + 60 * np.sin(2 * np.pi * 1.3 * t)) / RATE
wav = sum(np.sin(k * pitch) / k for k in range(1, 20)) * 0.1 + 0.003 * rng.standard_normal(n)
wav[5_000:6_000] = 0
wav = wav.astype(np.float32)

count = n // HOP
# Windows are centred on the middle of their 10 ms; librosa centres them in the FFT's frame.
left = FFT // 2 - HOP // 2
padded = np.pad(wav.astype(np.float64), (left, FFT))
padded[1:] -= 0.97 * padded[:-1].copy()
spectrum = librosa.stft(
    padded, n_fft=FFT, hop_length=HOP, win_length=WINDOW, window="hann", center=False
)[:, :count]
mel = librosa.filters.mel(sr=RATE, n_fft=FFT, n_mels=40, fmin=20, fmax=7_600, htk=True, norm=None)
energies = np.log(mel.astype(np.float64) @ np.abs(spectrum) ** 2 + 1e-6)
mfcc = scipy.fft.dct(energies, axis=0, type=2, norm="ortho")[:13]


def with_deltas(frames):
    orders = [frames]
    for _ in range(2):
        # A line through five frames is a Savitzky-Golay filter of order one.
        orders.append(librosa.feature.delta(orders[-1], width=5, order=1, mode="nearest"))
    return np.ascontiguousarray(np.concatenate(orders).T, dtype=np.float32)


# Four fine frames are a unit frame; what is left over is not looked at.
whole = with_deltas(mfcc[:, : count // 4 * 4])
save_file(
    {"wav": wav, "fine": with_deltas(mfcc), "unit_frames": whole.reshape(-1, 4, 39).mean(1)},
    Path(__file__).parent / "mfcc.safetensors",
)
