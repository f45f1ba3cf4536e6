"""Makes `codecs/`: small recordings in AAC and Opus, and what FFmpeg (libopus for Opus) decodes of them.

Run with PyAV (`pip install av numpy soundfile`): `python make_codecs.py`. The files are kept in the repository, as no test
depends on FFmpeg.
"""

from pathlib import Path

import av
import numpy as np
import soundfile

folder = Path(__file__).parent / "codecs"
folder.mkdir(exist_ok=True)
SECONDS = 0.8


def voice(rate, channels):
    t = np.arange(int(rate * SECONDS)) / rate
    f0 = 120 + 40 * np.sin(2 * np.pi * 1.3 * t)
    phase = 2 * np.pi * np.cumsum(f0) / rate
    x = sum(np.sin(k * phase) * np.exp(-(((k * f0 - 600) / 500) ** 2)) for k in range(1, 25))
    x = x * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t)) * 0.15
    second = 0.1 * np.sin(2 * np.pi * 440 * t)
    return np.stack([x, second][:channels]).astype(np.float32)


def write(name, codec, rate, channels, bit_rate, options=None, container=None):
    path = folder / name
    layout = "mono" if channels == 1 else "stereo"
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, layout=layout, options=options or {})
        stream.bit_rate = bit_rate
        samples = voice(rate, channels)
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate)
        size = stream.codec_context.frame_size or 960
        fifo = av.AudioFifo()
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        for f in resampler.resample(frame):
            fifo.write(f)
        while (f := fifo.read(size, partial=True)) is not None:
            for packet in stream.encode(f):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    # FFmpeg's own Opus decoder is 20 dB from libopus where SILK or hybrid frames occur: libopus by name.
    reader = "libopus" if "opus" in codec else codec
    with av.open(str(path)) as file:
        stream = file.streams.audio[0]
        decoder = av.CodecContext.create(reader, "r")
        decoder.extradata = stream.codec_context.extradata
        resampler = av.AudioResampler(format="fltp", layout=layout)
        packets = [packet if packet.size else None for packet in file.demux(stream)]
        frames = [frame for packet in packets for frame in decoder.decode(packet)]
        blocks = [f.to_ndarray() for frame in frames for f in resampler.resample(frame)]
    mono = np.concatenate(blocks, axis=1).mean(0)
    pcm = np.clip(np.round(mono * 32768), -32768, 32767).astype(np.int16)
    soundfile.write(folder / f"{name}.flac", pcm, 48000 if "opus" in codec else rate, subtype="PCM_16")
    print(name, path.stat().st_size, len(mono))


# Noise substitution is random: no two decoders agree on it.
plain = {"aac_pns": "0"}
write("mono.m4a", "aac", 44100, 1, 48000, plain)
write("stereo.m4a", "aac", 44100, 2, 64000, plain)
write("mono.aac", "aac", 16000, 1, 24000, plain, container="adts")
write("mono.opus", "libopus", 48000, 1, 32000, container="ogg")
write("stereo.opus", "libopus", 48000, 2, 64000, container="ogg")
write("silk.opus", "libopus", 16000, 1, 12000, {"application": "voip"}, container="ogg")
