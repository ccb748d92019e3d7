"""Tests of sweeps, and the small sweep that they share."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Any

from protovine.experiments.sweep.database import FILE

TABLES: dict[str, Any] = {
    "presets": ["paper-isolated", "paper-base"],
    "data": {"limit": 60},
    "seeds": 3,
    "grid": {"gossip.share_probability": [0.5, 1.0]},
}


TOML = """
presets = ["paper-isolated", "paper-base"]
seeds = 3
[data]
limit = 60
[grid]
gossip.share_probability = [0.5, 1.0]
"""


def contents(folder: Path) -> dict[str, list[Any]]:
    """Everything in a sweep's file but times and sessions."""
    with sqlite3.connect(folder / FILE) as connection:
        made = {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in ("sweep", "points", "runs")
        }
    connection.close()
    return made


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "protovine", "sweep", *arguments]


def runs_in(folder: Path) -> list[Any]:
    try:
        connection = sqlite3.connect(f"file:{folder / FILE}?mode=ro", uri=True)
        try:
            return connection.execute("SELECT run FROM runs").fetchall()
        finally:
            connection.close()
    except sqlite3.Error:
        return []
