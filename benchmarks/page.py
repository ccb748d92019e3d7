"""Measured numbers in a file, and the tables that a page shows of them."""

from __future__ import annotations

import json
import os
import platform
import re
from pathlib import Path
from typing import Any

from protovine import __version__


def write_json(path: Path, found: list[dict[str, Any]]) -> None:
    """Write measurements with the machine that made them; a reader never finds half a file."""
    machine = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    lines = ",\n".join(json.dumps(each) for each in found)
    head = json.dumps({"protovine": __version__} | machine)[1:-1]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(f'{{{head}, "measured": [\n{lines}\n]}}\n', encoding="utf-8")
    partial.replace(path)


def publish(found: list[dict[str, Any]], table: str, name: str, to_json: Path | None, to_page: Path | None) -> None:
    """Print a table, and write it into a page, and the measurements behind it into a file, where these are wanted."""
    print(table)
    if to_json:
        write_json(to_json, found)
    if to_page:
        write_between(to_page, name, table)


def write_between(page: Path, name: str, text: str) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- end -->`` in a page."""
    before = page.read_text(encoding="utf-8")
    pattern = rf"(<!-- {name} -->\n)(.*?)(<!-- end -->)"
    if not re.search(pattern, before, flags=re.S):
        raise SystemExit(f"{page} has no place for '{name}'")
    page.write_text(re.sub(pattern, lambda m: m[1] + text + m[3], before, flags=re.S), encoding="utf-8")
