"""The paper's published numbers, and which runs can be compared with them."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

from protovine.experiments.report.tables.sweep import DATA, PRESET

if TYPE_CHECKING:
    import pandas as pd

FANOUT, PROBABILITY = "gossip.fanout", "gossip.share_probability"
# The presets that are the paper's tests: number and name of the test.
TESTS = {
    "paper-base": (1, "test 1: whole sets"),
    "paper-jsd": (2, "test 2: Jensen-Shannon"),
    "paper-queue": (3, "test 3: short queues"),
    "paper-cluster": (4, "test 4: clustering"),
    "paper-cluster-500": (4, "test 4: clustering"),
}
# The paper's streams: how many rows it takes of each, and how its figures call it.
STREAMS = {
    "elec2": (5000, "elec2, first 5000 rows (the paper's elec)"),
    "elec2-random": (1250, "elec2, 1250 rows from a random row on (the paper's elec2)"),
    "elec2-random-each": (
        1250,
        "elec2, 1250 rows from another random row on for each node (most likely the paper's elec2)",
    ),
    "phishing": (1250, "Phishing"),
    "lgr": (2500, "lgr, gradual rotation"),
}
# Streams without published curves of their own stand beside those of another one.
_CURVES = {"elec2-random-each": "elec2-random"}
# Sections of settings that the paper varies; a sweep that sets another one has another network.
_SECTIONS = {"data", "learner", "exchange", "gossip"}


def load_published() -> pd.DataFrame:
    """The published tables: stream, ``test`` (1 to 4), s, T, and three metrics.

    Streams, settings and metrics have the names that they have in `protovine.load_results`; F1 is the mean over nodes
    as the paper computes it.

    Examples
    --------
    >>> found = load_published()
    >>> isolated = found["gossip.share_probability"] == 0
    >>> found[(found["data.source"] == "elec2") & isolated]["f1_paper"].unique().tolist()
    [0.4882, 0.5314]
    """
    import pandas as pd

    with as_file(files("protovine.experiments.report") / "published.csv") as path:
        return pd.read_csv(path, comment="#")


def published_curves(stream: str) -> pd.DataFrame:
    """The published numbers that belong beside the runs on a stream."""
    found = load_published()
    return found[found[DATA] == _CURVES.get(stream, stream)]


def is_papers(definition: dict[str, Any], varied: list[str]) -> bool:
    """Whether a sweep has the paper's network and varies what its figures do: the test, the stream, s and T."""
    return set(definition["base"]) <= _SECTIONS and {FANOUT, PROBABILITY} <= set(varied) <= {
        *(PRESET, DATA, "data.limit", FANOUT, PROBABILITY)
    }


def papers_streams(data: dict[str, dict[str, Any]], frame: pd.DataFrame) -> list[str]:
    """The streams of a sweep that are the paper's, with as many rows as the paper takes."""
    rows = {found["name"]: found["rows"] for found in data.values()}
    names = dict.fromkeys(frame[DATA]) if DATA in frame else list(rows)
    return [name for name in names if name in STREAMS and rows.get(name) == STREAMS[name][0]]
