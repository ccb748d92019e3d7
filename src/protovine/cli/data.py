"""`protovine data`: the known data sets, the contents of one, and traces of devices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from protovine.cli.common import Commands, NamedPath, console_on, echo, take_reading, with_reading
from protovine.errors import ConfigError
from protovine.terminal import Column, print_table

# `data info` lists at most this many classes.
_CLASSES_SHOWN = 20


@click.group(cls=Commands)
def data() -> None:
    """Data sets: list those known by name, or describe one. Traces of devices: make one."""


@data.command("devices", short_help="Make a trace of devices: speed, bandwidth, availability.")
@click.argument("out", type=NamedPath())
@click.option("--nodes", type=int, default=5, show_default=True, help="Number of devices.")
@click.option("--seconds", type=float, default=100.0, show_default=True, help="Length of the trace.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seeds all draws.")
@click.option(
    "--speed-spread", type=float, default=0.5, show_default=True, help="Standard deviation of the speeds' logarithm."
)
@click.option("--bandwidth", type=float, default=0.0, help="Median in bytes per second. [default: no limit]")
@click.option(
    "--bandwidth-spread",
    type=float,
    default=1.0,
    show_default=True,
    help="Standard deviation of the bandwidths' logarithm.",
)
@click.option("--up", type=float, default=0.0, help="Mean seconds that a device is up. [default: always]")
@click.option("--down", type=float, default=0.0, help="Mean seconds that a device is down then. [default: never down]")
def data_devices(
    out: Path,
    nodes: int,
    seconds: float,
    seed: int,
    speed_spread: float,
    bandwidth: float,
    bandwidth_spread: float,
    up: float,
    down: float,
) -> None:
    """Make a trace of devices for `swarm.devices`: speed, bandwidth and availability of each node over time.

    Speeds and bandwidths are log-normal. Times up and down are exponential. OUT is CSV, or JSON lines if its name ends
    with .jsonl; an existing file is replaced.
    """
    from protovine.sim.devices import generated

    if up and not down:
        raise ConfigError(f"--up {up:g} needs --down, the mean seconds that a device is down then")
    trace = generated(
        nodes,
        seconds,
        seed=seed,
        speed_spread=speed_spread,
        bandwidth_bytes_per_s=bandwidth,
        bandwidth_spread=bandwidth_spread,
        up_s=up,
        down_s=down,
    )
    trace.write(out)
    echo(f"{out}: {nodes:,} devices, {len(trace.changes):,} rows; use it with --set swarm.devices={out}")


@data.command("list", short_help="List the data sets that are known by name.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def data_list(as_json: bool) -> None:
    """List all data sets that are known by name, with sizes and sources."""
    from dataclasses import asdict

    from protovine.stream import catalog

    entries = catalog()
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in entries]))
        return
    columns = [
        Column("name", [entry.name for entry in entries], "left"),
        Column("rows", [f"{entry.rows:,}" for entry in entries]),
        Column("features", [str(entry.features) for entry in entries]),
        Column("classes", [str(entry.classes) for entry in entries]),
        Column("source", [entry.source for entry in entries], "left"),
        Column("drift", [entry.drift for entry in entries], "left", wraps=True),
        Column("description", [entry.description for entry in entries], "left", wraps=True),
    ]
    print_table(console_on(stderr=False), columns)


@data.command("info", short_help="Describe a data set or file, and how it was read.")
@click.argument("source")
@with_reading
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def data_info(source: str, as_json: bool, **flags: Any) -> None:
    """Describe a data set or file: features, classes, and changes made on reading.

    The options say how a file is read. Columns are named, or given by their place: 0 is the first, -1 the last.
    """
    import numpy as np

    from protovine.stream import UNLABELLED, load

    loaded = load(source, **take_reading(flags))
    counts = {str(name): int((loaded.y == code).sum()) for code, name in enumerate(loaded.classes)}
    unlabelled = int((loaded.y == UNLABELLED).sum())
    rows_of = [] if loaded.groups is None else np.bincount(loaded.groups, minlength=len(loaded.group_names)).tolist()
    groups = dict(zip(loaded.group_names, rows_of, strict=True))
    found = {
        "name": loaded.name,
        "rows": len(loaded),
        "features": list(loaded.features),
        "label": loaded.label or None,
        "label_rule": loaded.label_rule or None,
        "classes": counts,
        "class_labels": list(loaded.classes),
        "groups": groups,
        "unlabelled": unlabelled,
        "drift_points": list(loaded.drift_points),
        "notes": list(loaded.notes),
        "times": {feature: {"origin": origin} for feature, origin in loaded.times.items()},
        "absent_zero": list(loaded.absent_zero),
        "ordinal": loaded.ordinal,
        "fingerprint": loaded.fingerprint(),
    }
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    echo(f"{loaded.name}: {len(loaded):,} rows, {len(loaded.features)} features, {len(counts)} classes")
    for name, low, mean, high in zip(
        loaded.features, loaded.x.min(axis=0), loaded.x.mean(axis=0), loaded.x.max(axis=0), strict=True
    ):
        echo(f"  {name}: {low:g} to {high:g}, mean {mean:.4g}")
    if loaded.label_rule:
        other = "" if loaded.label_rule.startswith("as") else "; --label names another"
        echo(f"  label {loaded.label or '(unnamed)'}: {loaded.label_rule}{other}")
    for name, count in list(counts.items())[:_CLASSES_SHOWN]:
        echo(f"  class {name}: {count:,} row{'s' * (count != 1)} ({count / len(loaded):.1%})")
    if len(counts) > _CLASSES_SHOWN:
        echo(f"  and {len(counts) - _CLASSES_SHOWN} more classes")
    if len(counts) == 2:
        echo(f"  F1 is that of class {list(counts)[-1]}, the last one; protovine run --positive names the other")
    elif len(counts) > 2:
        echo("  F1 is the macro average over the classes")
    if groups:
        low, high = (f"{pick(groups.values()):,}" for pick in (min, max))
        echo(f"  {len(groups):,} groups of {low} to {high} rows; --split group gives each node one")
    if unlabelled:
        echo(f"  no label: {unlabelled:,} rows ({unlabelled / len(loaded):.1%})")
    if loaded.drift_points:
        echo(f"  the concept changes at rows {', '.join(map(str, loaded.drift_points))}")
    for feature, origin in loaded.times.items():
        echo(f"  {feature} counts seconds since {origin}")
    for note in loaded.notes:
        echo(f"  note: {note}")
