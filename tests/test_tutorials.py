"""Every command and every program of the tutorials runs, in order, and prints what the page shows.

A page is run from top to bottom in one folder. Blocks of `sh` are run; blocks of `python` and `toml` are written to the
file that their first line names; a block of `text` is what the commands before it printed, with `...` for anything.
With ``--rewrite`` the numbers in blocks of `text` become those that were printed; sentences around them stay.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests import copies

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "tutorials"
# Its commands run in several places, and in the background: tests/net/test_walk.py.
OTHERS = {"index", "three-gateways"}
PAGES = sorted(page for page in FOLDER.glob("*.md") if page.stem not in OTHERS)
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LIMIT_S = 600.0
pytestmark = pytest.mark.slow


def environment(folder: Path) -> dict[str, str]:
    """Where `protovine` and `python` are those that run this test."""
    tools = folder / ".tools"
    tools.mkdir()
    for name, text in (
        ("protovine", f'exec {sys.executable} -m protovine "$@"'),
        ("python", f'exec {sys.executable} "$@"'),
    ):
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    return {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "COLUMNS": "100", "LC_ALL": "C.UTF-8"}


def shows(page: str, printed: str) -> bool:
    """Whether a page shows what was printed: `...` stands for anything; lines of tables and blanks do not count."""
    shown, whole = (" ".join(re.sub(r"[━─┏┓┗┛┡┩┳┻╇└┘┴]+", " ", text).split()) for text in (page, printed))
    parts = [re.escape(part.strip()) for part in shown.split("...")]
    return re.fullmatch(r"\s*" + ".*?".join(parts) + r"\s*", whole) is not None


def renewed(page: str, printed: str) -> str:
    """The block of a page with each line replaced by the next printed one that differs from it in numbers alone."""

    def kind(line: str) -> str:
        return re.sub(r"[-+±]?[\d.,]+", "#", " ".join(line.split()))

    lines, left = [], printed.splitlines()
    for line in page.splitlines():
        at = next((i for i, other in enumerate(left) if line != "..." and kind(other) == kind(line)), None)
        lines.append(line if at is None else left[at].rstrip())
        left = left if at is None else left[at + 1 :]
    return "".join(line + "\n" for line in lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_does_what_it_says(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if page.stem == "ray-sweep":
        pytest.importorskip("ray", reason="the extra `ray` is not installed")
    printed, variables = "", environment(tmp_path)
    blocks = re.findall(r"^```(sh|python|toml|text)\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    assert blocks
    for kind, block in blocks:
        if kind == "text" and request.config.getoption("--rewrite"):
            page.write_text(page.read_text(encoding="utf-8").replace(block, renewed(block, printed)), encoding="utf-8")
        elif kind == "text":
            assert shows(block, printed), printed
        elif kind == "sh":
            returncode, printed = copies.shell(block, cwd=tmp_path, timeout=LIMIT_S, environment=variables)
            assert 0 == returncode, (block, printed)
        else:
            named = re.match(r"# (\S+\.(?:py|toml))\n", block)
            assert named, f"the first line names the file: {block}"
            (tmp_path / named[1]).write_text(block)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_prints_what_is_saved_in_it(notebook: Path, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="the extra `docs` is not installed")
    from nbclient import NotebookClient

    saved = nbformat.read(notebook, as_version=4)
    again = nbformat.read(notebook, as_version=4)
    NotebookClient(again, timeout=LIMIT_S, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert notebook.stat().st_size < 300_000
    for before, after in zip(saved.cells, again.cells, strict=True):
        if before.cell_type == "code":
            assert printed_of(before) == printed_of(after), before.source


def printed_of(cell: object) -> tuple[str, list[str]]:
    """What a cell printed, which may come in parts, and what it returned; of a picture only that there is one."""
    streams = "".join(output["text"] for output in cell.outputs if output["output_type"] == "stream")
    shown = [output["data"] for output in cell.outputs if output["output_type"] != "stream"]
    return streams, ["picture" if "image/png" in data else data["text/plain"] for data in shown]
