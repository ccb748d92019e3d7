"""`protovine data`: the known data sets, and the contents of one."""

from __future__ import annotations

import json
from typing import Any

import click

from protovine.cli.common import console_on, take_reading, with_reading

# `data info` lists at most this many classes.
_CLASSES_SHOWN = 20


@click.group()
def data() -> None:
    """Data sets: list those known by name, or describe one."""


@data.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def data_list(as_json: bool) -> None:
    """List all data sets that are known by name, with sizes and sources."""
    from dataclasses import asdict

    from protovine.stream import catalog

    entries = catalog()
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in entries]))
        return
    from rich.table import Table

    table = Table("name", "rows", "features", "classes", "source", "drift", "description")
    for entry in entries:
        table.add_row(
            entry.name,
            f"{entry.rows:,}",
            str(entry.features),
            str(entry.classes),
            entry.source,
            entry.drift,
            entry.description,
        )
    console_on(stderr=False).print(table)


@data.command("info")
@click.argument("source")
@with_reading
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def data_info(source: str, as_json: bool, **flags: Any) -> None:
    """Describe a data set or file: features, classes, and changes made on reading.

    The options say how a file is read. Columns are named, or given by their place: 0 is the first, -1 the last.
    """
    from protovine.stream import UNLABELLED, load

    loaded = load(source, **take_reading(flags))
    counts = {str(name): int((loaded.y == code).sum()) for code, name in enumerate(loaded.classes)}
    unlabelled = int((loaded.y == UNLABELLED).sum())
    found = {
        "name": loaded.name,
        "rows": len(loaded),
        "features": list(loaded.features),
        "classes": counts,
        "unlabelled": unlabelled,
        "drift_points": list(loaded.drift_points),
        "notes": list(loaded.notes),
        "times": {feature: {"origin": origin} for feature, origin in loaded.times.items()},
        "absent_zero": list(loaded.absent_zero),
        "fingerprint": loaded.fingerprint(),
    }
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    click.echo(f"{loaded.name}: {len(loaded):,} rows, {len(loaded.features)} features, {len(counts)} classes")
    for name, low, mean, high in zip(
        loaded.features, loaded.x.min(axis=0), loaded.x.mean(axis=0), loaded.x.max(axis=0), strict=True
    ):
        click.echo(f"  {name}: {low:g} to {high:g}, mean {mean:.4g}")
    for name, count in list(counts.items())[:_CLASSES_SHOWN]:
        click.echo(f"  class {name}: {count:,} rows ({count / len(loaded):.1%})")
    if len(counts) > _CLASSES_SHOWN:
        click.echo(f"  and {len(counts) - _CLASSES_SHOWN} more classes")
    if unlabelled:
        click.echo(f"  no label: {unlabelled:,} rows ({unlabelled / len(loaded):.1%})")
    if loaded.drift_points:
        click.echo(f"  the concept changes at rows {', '.join(map(str, loaded.drift_points))}")
    for feature, origin in loaded.times.items():
        click.echo(f"  {feature} counts seconds since {origin}")
    for note in loaded.notes:
        click.echo(f"  note: {note}")
