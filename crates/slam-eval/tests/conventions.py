"""Computes scores under the three conventions with pandas alone. The tests compare slam-eval's aggregates with them.

Reads a scores shard and prints {convention: {suite: {group: mean}}} as JSON. If the package zerospeech-benchmarks is
installed, its own classes score the same pairs under "toolkit".
"""

import contextlib
import json
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

BANDS = {
    "in-vocabulary": (1, np.inf),
    "out of vocabulary": (0, 1),
    "frequency 1–4": (1, 5),
    "frequency 5–19": (5, 20),
    "frequency 20–99": (20, 100),
    "frequency ≥ 100": (100, np.inf),
}


def values(frame, convention):
    sides = []
    for side in ("positive", "negative"):
        nll, eos = frame[f"{side}_nll"], frame[f"{side}_eos_nll"]
        tokens = frame[f"{side}_tokens"].astype(float)
        sides.append(nll / tokens if convention == "slm-scaling" else (nll + eos) / (tokens + 1))
    return (sides[0] < sides[1]) + 0.5 * (sides[0] == sides[1])


def mean(frame, convention):
    if convention == "zerospeech":
        return frame.groupby(["kind", "subkind", "id"])["value"].mean().mean()
    return frame["value"].mean()


def score(frame, convention, suite):
    frame = frame.assign(value=values(frame, convention))
    groups = {"all": mean(frame, convention)}
    if convention == "slm-scaling" and suite.startswith("sblimp"):
        groups["all"] = frame.groupby("kind")["value"].mean().mean()
    for kind, part in frame.groupby("kind"):
        groups[f"kind {kind}"] = mean(part, convention)
        for subkind, smaller in part.groupby("subkind"):
            groups[f"subkind {kind} / {subkind}"] = mean(smaller, convention)
    for band, (low, high) in BANDS.items():
        part = frame[(frame["frequency"] >= low) & (frame["frequency"] < high)]
        if len(part):
            groups[f"band {band}"] = mean(part, convention)
    return groups


def gold_and_submission(frame, folder, lexical):
    """Writes the suite in ZeroSpeech's layout: gold.csv, and lines "stem score". A higher score is more likely."""
    gold, lines = [], []
    for i, row in enumerate(frame.itertuples()):
        # The toolkit joins sBLIMP's sides by their order, so sort both sides in the same way.
        for side, correct in (("positive", 1), ("negative", 0)):
            tokens = getattr(row, f"{side}_tokens")
            nll = getattr(row, f"{side}_nll") + getattr(row, f"{side}_eos_nll")
            stem = f"{side[0]}{i}"
            lines.append(f"{stem} {-nll / (tokens + 1)!r}")
            common = {"filename": stem, "id": row.id, "voice": row.voice}
            if lexical:
                common |= {"frequency": int(row.frequency), "word": f"{side}{row.id}", "phones": "a b", "length": 3}
            else:
                common |= {"type": row.kind, "subtype": row.subkind, "transcription": f"{side} {row.id}"}
            gold.append(common | {"correct": correct})
    pd.DataFrame(gold).to_csv(folder / "gold.csv", index=False)
    (folder / "dev.txt").write_text("\n".join(lines) + "\n")


def toolkit(frame, suite):
    """Computes the same scores with the toolkit's own classes."""
    from zerospeech.generics import FileItem
    from zerospeech.tasks.lm import LexicalTask, SyntacticTask

    lexical = suite.startswith("swuggy")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        gold_and_submission(frame, folder, lexical)
        gold, submission = FileItem.from_file(folder / "gold.csv"), FileItem.from_file(folder / "dev.txt")
        if lexical:
            task = LexicalTask()
            pairs = task.eval_by_pair(task.load_and_format(submission, gold))
            bands = task.eval_by_frequency(pairs)
            groups = {"all": pairs["score"].mean()}
            known = bands[bands["frequency"] != "oov"]
            groups["band in-vocabulary"] = np.average(known["score"], weights=known["n"])
            names = list(BANDS)[1:]
            groups |= {f"band {name}": value for name, value in zip(names, bands["score"])}
            return groups
        pairs, types = SyntacticTask().run_syntactic_comparison(gold, submission)
        groups = {f"kind {row.type}": row.score for row in types.itertuples()}
        return groups | {"all": pairs["score"].mean()}


def with_toolkit(frame):
    """Imports the toolkit. It needs its own folder, and the network if that folder has no index or a young one."""
    with tempfile.TemporaryDirectory() as home, contextlib.redirect_stdout(sys.stderr):
        os.environ["APP_DIR"] = home
        index = Path(home) / "repo.json"
        index.write_text("{}")
        # The toolkit asks for updates only if the index is from the last week.
        os.utime(index, (0, 0))
        return {suite: toolkit(part, suite) for suite, part in frame.groupby("suite")}


def main():
    frame = pd.read_parquet(sys.argv[1])
    item = pd.json_normalize(frame.pop("item").tolist()).rename(columns={"pair": "id"})
    frame = frame.join(item)
    out = {}
    for convention in ("slamkit", "zerospeech", "slm-scaling"):
        out[convention] = {suite: score(part, convention, suite) for suite, part in frame.groupby("suite")}
    # The toolkit (0.9.4) counts columns that pandas 3 leaves out of groups.
    if find_spec("zerospeech") and int(pd.__version__.split(".")[0]) < 3:
        out["toolkit"] = with_toolkit(frame)
    json.dump(out, sys.stdout)


if __name__ == "__main__":
    main()
