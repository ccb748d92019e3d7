"""The default swarm beside other systems on every stream: docs/benchmarks.md, "Swarms".

    protovine run --suite systems --seeds 3 --out runs/systems
    python -m benchmarks.systems runs/systems --page docs/benchmarks.md

writes two tables, F1 and traffic in bytes per node per second, from the folders of the suite. With `--preset` the suite
can be run for some systems alone; several folders make one table.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.page import write_between
from protovine.experiments.define.suites import SUITES
from protovine.experiments.run.folder import read_result


def results(folders: list[Path]) -> dict[str, dict[str, Any]]:
    """The summaries by stream, in the order of the suite, then by system; of several folders the last counts."""
    found: dict[str, dict[str, Any]] = {}
    for name in SUITES["systems"].streams:
        for folder in folders:
            path = folder / name.replace(", ", "-") / "plain"
            if (path / "result.json").is_file() and (result := read_result(path))["status"] == "complete":
                found.setdefault(name, {}).update(result["summary"])
    return found


def table(found: dict[str, dict[str, Any]], metric: str, decimals: int, *, best: bool) -> str:
    """A Markdown table: a row per stream, a column per system, mean and half of the 95 % interval."""
    systems = list(next(iter(found.values())))
    lines = ["| | " + " | ".join(f"`{name}`" for name in systems) + " |", "|---" * (len(systems) + 1) + "|"]
    for stream, summary in found.items():
        # One model of all samples is no swarm.
        rivals = [summary[name][metric]["mean"] for name in systems if summary[name][metric] and name != "centralised"]
        cells = []
        for name in systems:
            value = summary[name][metric]
            if value is None:
                cells.append("–")
                continue
            text = f"{value['mean']:,.{decimals}f} ± {value['ci95']:,.{decimals}f}"
            cells.append(f"**{text}**" if best and name != "centralised" and value["mean"] == max(rivals) else text)
        lines.append(f"| {stream} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of the suite")
    parser.add_argument("--page", type=Path, help="write the tables into this page instead of printing them")
    chosen = parser.parse_args()
    found = results(chosen.runs)
    if not found:
        parser.error(f"no complete run of the suite systems in {', '.join(map(str, chosen.runs))}")
    text = f"**F1**\n\n{table(found, 'f1', 3, best=True)}\n\n**Traffic per node, B/s**\n\n"
    text += f"{table(found, 'bytes_per_node_per_s', 0, best=False)}\n"
    if chosen.page:
        write_between(chosen.page, "systems", text)
    else:
        print(text)


if __name__ == "__main__":
    main()
