"""The examples are short, run, and print what the gallery shows, which ``--rewrite`` writes (in one process)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import copies

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
GALLERY = ROOT / "docs" / "how-to" / "gallery.md"


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_prints_what_the_gallery_shows(
    example: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    page = GALLERY.read_text(encoding="utf-8")
    shown = re.search(rf"literalinclude\}} .*/{example.name}\n```\n\nIt prints\n\n```text\n(.*?)```", page, flags=re.S)
    assert shown is not None, "it is not in docs/how-to/gallery.md"
    done = copies.run(str(example), cwd=tmp_path, timeout=300)
    if request.config.getoption("--rewrite"):
        GALLERY.write_text(page[: shown.start(1)] + done.stdout + page[shown.end(1) :], encoding="utf-8")
    else:
        assert (0, shown[1]) == (done.returncode, done.stdout), done.stderr


def test_examples_are_short() -> None:
    assert len(EXAMPLES) >= 8
    assert {} == {path.name: n for path in EXAMPLES if (n := len(path.read_text().splitlines())) >= 60}
