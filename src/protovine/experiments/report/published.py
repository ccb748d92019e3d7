"""The paper's figures, ours beside the published ones: what each test gives as a function of T, for s = 1 to 4."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

from protovine.experiments.report.figures import COLOURS, MARKERS
from protovine.experiments.report.sweep_tables import DATA, PRESET
from protovine.experiments.run.result import METRICS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# Which presets are the paper's tests, with the names of the panels.
TESTS = {
    "paper-base": (1, "test 1: all of it"),
    "paper-jsd": (2, "test 2: Jensen-Shannon"),
    "paper-queue": (3, "test 3: short queues"),
    "paper-cluster": (4, "test 4: clustering"),
    "paper-cluster-500": (4, "test 4: clustering"),
}
# How many rows of a stream the paper takes, and how its figures call the stream.
STREAMS = {
    "elec2": (5000, "elec2, first 5000 rows (the paper's elec)"),
    "elec2-random": (1250, "elec2, 1250 rows from a random one on (the paper's elec2)"),
    "elec2-random-each": (
        1250,
        "elec2, each node 1250 rows from another random one on (most likely the paper's elec2)",
    ),
    "phishing": (1250, "Phishing"),
    "rotation": (1250, "gradual rotation (published: lgr, another stream of this kind)"),
}
# Whose published curves stand beside those of a stream that has none of its own.
_CURVES = {"elec2-random-each": "elec2-random"}
MEASURES = ("f1_paper", "paper_bytes_per_s", "prototypes_trained_per_node")
_S, _T = "gossip.fanout", "gossip.share_probability"
_SHORT = {"f1_paper": "f1", "paper_bytes_per_s": "bandwidth", "prototypes_trained_per_node": "trained"}


def load_published() -> pd.DataFrame:
    """The published tables: ``data.source``, ``test`` (1 to 4), ``gossip.fanout``, ``gossip.share_probability`` and three metrics.

    Streams and metrics have the names that they have in `protovine.load_results`; F1 is the mean over nodes as the
    paper computes it.

    Examples
    --------
    >>> found = load_published()
    >>> found[(found["data.source"] == "elec2") & (found["gossip.share_probability"] == 0)]["f1_paper"].unique().tolist()
    [0.4882, 0.5314]
    """
    import pandas as pd

    with as_file(files("protovine.experiments.report") / "published.csv") as path:
        return pd.read_csv(path, comment="#")


def is_papers(definition: dict[str, Any], varied: list[str]) -> bool:
    """Whether a sweep has the paper's network and varies what its figures do: the test, the stream, s and T."""
    same_network = set(definition["base"]) <= {"data", "learner", "share", "gossip"}
    return same_network and {_S, _T} <= set(varied) <= {PRESET, DATA, "data.limit", _S, _T}


def papers_streams(data: dict[str, dict[str, Any]], frame: pd.DataFrame) -> list[str]:
    """Those streams of a sweep that are the paper's, with as many rows."""
    rows = {found["name"]: found["rows"] for found in data.values()}
    names = dict.fromkeys(frame[DATA]) if DATA in frame else list(rows)
    return [name for name in names if name in STREAMS and rows.get(name) == STREAMS[name][0]]


def draw_measure(
    table: pd.DataFrame, stream: str, measure: str, changed: str = ""
) -> tuple[str, str, str, Figure] | None:
    """One measure on one stream in four panels, one for each test; name, title, caption and figure.

    ``table`` has the means over seeds of that stream's runs; ``changed`` says what of the presets is not as it was.
    None if none of the paper's tests is there.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import EngFormatter

    tests = {TESTS[preset] for preset in table[PRESET] if preset in TESTS}
    if not tests:
        return None
    published = load_published()
    published = published[published[DATA] == _CURVES.get(stream, stream)]
    figure = Figure(figsize=(6.6, 5.6), layout="constrained")
    cells = figure.subplots(2, 2, sharex=True, sharey=measure == "f1_paper")
    fan = sorted({int(s) for s in table[_S]})
    half, shown = f"{measure}_ci95", []
    for test, axes in enumerate(cells.flat, start=1):
        title = next((name for number, name in tests if number == test), None)
        if title is None:
            axes.set_visible(False)
            continue
        axes.set_title(title, fontsize=10)
        own = table[table[PRESET].map(lambda preset, test=test: TESTS.get(preset, (0,))[0]) == test]
        theirs = published[published["test"] == test]
        for number, s in enumerate(fan):
            colour = COLOURS[number % len(COLOURS)]
            part = own[own[_S] == s].sort_values(_T)
            axes.plot(part[_T], part[measure], color=colour, marker=MARKERS[number % len(MARKERS)], markersize=4)
            # Side by side: four bands would be one grey one.
            at = part[_T] + 0.012 * (number - (len(fan) - 1) / 2)
            axes.vlines(at, part[measure] - part[half], part[measure] + part[half], colors=colour, lw=0.8, alpha=0.5)
            part = theirs[theirs[_S] == s].sort_values(_T)
            axes.plot(part[_T], part[measure], color=colour, linestyle=(0, (3, 1.5)), linewidth=1.1, alpha=0.9)
        shown += [*own[measure], *theirs[measure]]
        if measure != "f1_paper":
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(EngFormatter())
    if measure == "f1_paper":
        # Intervals of few seeds may be wider than everything else.
        margin = 0.25 * (max(shown) - min(shown)) + 0.005
        axes.set_ylim(min(shown) - margin, max(shown) + margin)
    title, unit, _ = METRICS[measure]
    figure.supxlabel("T, the probability to share after a sample", fontsize=10)
    figure.supylabel(f"{title} [{unit}]" if unit else title, fontsize=10)
    handles = [
        Line2D([], [], color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)], markersize=4)
        for i in range(len(fan))
    ]
    names = [f"s = {s}" for s in fan]
    if len(published):
        handles += [Line2D([], [], color="#555555", linestyle=style) for style in ("-", (0, (3, 1.5)))]
        names += ["here", "published"]
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), fontsize=9)
    named = title[0].upper() + title[1:]
    changes = f", with {changed}" if changed else ""
    caption = (
        f"{named} on {STREAMS[stream][1]}, against T for s peers at a time. Solid: here, mean over seeds with 95 % "
        f"intervals (which may go beyond the axes){changes}; dashed: published."
    )
    return f"paper-{stream}-{_SHORT[measure]}", f"The paper's tests on {stream}: {title}", caption, figure
