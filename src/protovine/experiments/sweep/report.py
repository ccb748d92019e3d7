"""The report of a sweep, from its database."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from protovine.errors import DataError
from protovine.experiments.report.figures.sweep import SweepResults
from protovine.experiments.report.pages.sweep import write_sweep_report
from protovine.experiments.sweep.database import FILE, load_curves, load_details, load_provenance, load_results


def write_report(folder: Path, metric: str = "f1", base: str | None = None) -> list[Path]:
    """Write ``report.html``, ``figures/`` and ``tables/`` into the folder of a sweep, and return their paths.

    Raises
    ------
    ConfigError, DataError
        The folder has no sweep or no finished run, or the metric or base is unknown. Nothing was written.
    """
    if not (folder / FILE).exists() and (folder / "report.html").exists():
        raise DataError(f"{folder} is no folder of a sweep; the report of a run is there already: report.html")
    results = SweepResults(
        load_results(folder),
        load_provenance(folder),
        curves=partial(load_curves, folder),
        drift_points_s=lambda run: load_details(folder, run)["drift_points_s"],
    )
    return write_sweep_report(results, folder, metric, base)
