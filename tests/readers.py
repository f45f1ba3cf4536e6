"""Reads a dataset's corpus and unit shards with widely used programs. `readers.rs` runs this script.

Arguments: the dataset's folder and the folder of the recordings. The script fails if a reader sees anything other than
the recordings.
"""

import importlib.util
import io
import sys
from pathlib import Path

dataset, recordings = Path(sys.argv[1]), Path(sys.argv[2])
corpus = sorted(str(p) for p in (dataset / "ingest-v2").glob("part-*-of-*.parquet"))
units = sorted(str(p) for p in (dataset / "unitise-v2").glob("*/part-*-of-*.parquet"))
names = sorted(p.name for p in recordings.glob("*.wav"))


def has(*modules):
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    if missing:
        print("skipped", modules[0], "without", missing)
    return not missing


if has("pyarrow"):
    import pyarrow.parquet as pq

    rows = [row for path in corpus for row in pq.read_table(path).to_pylist()]
    assert [r["id"] for r in rows] == names, rows
    assert all(r["audio"]["bytes"][:4] == b"fLaC" and r["num_samples"] == 4000 for r in rows)
    for path in corpus:
        file = pq.ParquetFile(path)
        for g in range(file.num_row_groups):
            group = file.metadata.row_group(g)
            for c in range(group.num_columns):
                column = group.column(c)
                if column.path_in_schema == "audio.bytes":
                    assert column.compression == "UNCOMPRESSED" and "PLAIN" in column.encodings, column
    rows = [row for path in units for row in pq.read_table(path).to_pylist()]
    assert [r["id"] for r in rows] == names
    assert all(len(r["units"]) == len(r["durations"]) > 0 for r in rows)
    assert all(r["item"] is None for r in rows), rows
    print("read by pyarrow")

if has("duckdb"):
    import duckdb

    found = duckdb.sql(
        f"select count(*), sum(num_samples), min(octet_length(audio.bytes)) from read_parquet({corpus!r})"
    ).fetchall()[0]
    assert found[:2] == (len(names), 4000 * len(names)) and found[2] > 100, found
    found = duckdb.sql(f"select sum(list_sum(durations)) from read_parquet({units!r})").fetchall()[0]
    assert found[0] > 0, found
    for shards in (corpus, units):
        found = duckdb.sql(f"select count(*), count(item), count(item.side) from read_parquet({shards!r})").fetchall()[0]
        assert found == (len(names), 0, 0), found
    print("read by duckdb")

if has("datasets", "soundfile"):
    import numpy
    import soundfile
    import datasets
    from datasets import Audio, load_dataset

    read = load_dataset("parquet", data_files=corpus, split="train")
    assert isinstance(read.features["audio"], Audio), read.features
    # From 4 on datasets decodes with torchcodec, which needs FFmpeg's libraries; the bytes need nothing.
    decodes = int(datasets.__version__.split(".")[0]) < 4
    if not decodes:
        read = read.cast_column("audio", Audio(decode=False))
    assert [r for r in read["id"]] == names
    for i, name in enumerate(names):
        audio = read[i]["audio"]
        expected, rate = soundfile.read(io.BytesIO((recordings / name).read_bytes()), dtype="float32")
        if decodes:
            array, found = audio["array"], audio["sampling_rate"]
        else:
            array, found = soundfile.read(io.BytesIO(audio["bytes"]), dtype="float32")
        assert found == rate == 16000
        assert numpy.array_equal(numpy.asarray(array, dtype="float32"), expected), name
    print("read by datasets")
