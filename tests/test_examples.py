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


@pytest.mark.slow
def test_the_page_for_river_users_has_the_numbers_that_its_scripts_print(tmp_path: Path) -> None:
    """Its table is that of the first script, the accuracy in batches that of the second; the third one runs."""
    page = (ROOT / "docs" / "how-to" / "river.md").read_text(encoding="utf-8")
    printed = []
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", page, flags=re.M | re.S)):
        script = tmp_path / f"script{number}.py"
        script.write_text(block, encoding="utf-8")
        done = copies.run(str(script), cwd=tmp_path, timeout=300)
        assert 0 == done.returncode, done.stderr
        printed.append(done.stdout)
    compared, batches, _ = printed
    scores = [f".{float(percent) * 100:04.0f}" for percent in re.findall(r"([\d.]+)%", compared)]
    table = page.partition("| model |")[2].partition("\n\n")[0]
    assert scores == re.findall(r" (\.\d+) \|", table)
    assert [f".{float(batches.split()[0]) * 10_000:04.0f}"] == re.findall(r"in batches of 50 is (\.\d+)", page)


def test_examples_are_short() -> None:
    assert len(EXAMPLES) >= 8
    assert {} == {path.name: n for path in EXAMPLES if (n := len(path.read_text().splitlines())) >= 60}
