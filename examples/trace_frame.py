"""A trace as a DataFrame: every prediction and every message of a run, to be counted as you like.

    python examples/trace_frame.py

`protovine run` leaves one trace per preset and seed; both runtimes write the same records (`protovine.records`).
"""

import tempfile
from pathlib import Path

import msgspec
import pandas as pd

import protovine
from protovine.records import read_trace


def frame(path: Path) -> pd.DataFrame:
    """All records of a trace; the column ``is`` says of which kind each is."""
    _, records = read_trace(path)
    return pd.DataFrame(msgspec.to_builtins(record) for record in records)


def main() -> None:
    """Run two systems, then compare their traces."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        settings = {"presets": ["default", "isolated"], "data": {"limit": 500}, "seeds": 1}
        protovine.run(protovine.Experiment(**settings), out=out)
        for path in sorted((out / "traces").iterdir()):
            trace = frame(path)
            print(path.name, trace["is"].value_counts().to_dict())
            made = trace[trace["is"] == "predicted"].set_index(["node", "sample"])
            truth = trace[trace["is"] == "arrived"].set_index(["node", "sample"])["truth"]
            right = made["predicted"] == truth.reindex(made.index)
            print("accuracy by node:", right.groupby("node").mean().round(3).to_dict())


if __name__ == "__main__":
    main()
