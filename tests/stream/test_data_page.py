import doctest
from dataclasses import fields
from pathlib import Path

from protovine.stream import catalog, parse_split
from protovine.stream.catalog import _EMBEDDED
from protovine.stream.dialect import COMPRESSIONS
from protovine.stream.encode import ONE_HOT_MAX
from protovine.stream.files import EXTENSIONS
from protovine.stream.labels import CLASSES_MAX
from protovine.stream.options import (
    MISSING_AMONG_NUMBERS,
    MISSING_MODES,
    MISSING_WORDS,
    TEXT_MODES,
    ReadOptions,
)
from protovine.stream.split import KINDS
from protovine.stream.synthetic import RECIPES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "data.md"


def test_the_page_lists_the_catalog():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    # An older River has fewer embedded sets; every entry that is there must be on the page as it is.
    for e in catalog():
        assert f"| `{e.name}` | {e.rows} | {e.features} | {e.classes} | {e.source} | {e.drift} |" in lines
    names = {line.split("`")[1] for line in lines if line.startswith("| `") and line.count("|") == 7}
    assert names == {*_EMBEDDED, "elec2", "elec2-random", "elec2-random-each", "lgr", *RECIPES}


def test_the_page_names_every_setting():
    page = PAGE.read_text(encoding="utf-8")
    for mode in (*TEXT_MODES, *MISSING_MODES):
        assert f'| `"{mode}"' in page
    for word in (*EXTENSIONS[:4], *COMPRESSIONS, *MISSING_WORDS[1:], *MISSING_AMONG_NUMBERS):
        assert f"`{word}`" in page
    for kind, takes_alpha in KINDS.items():
        assert f"| `{kind}:ALPHA` |" in page if takes_alpha else f"| `{kind}` |" in page
        assert parse_split(f"{kind}:1" if takes_alpha else kind).kind == kind
    assert f"at most {ONE_HOT_MAX} values" in page
    assert f"more than {CLASSES_MAX} classes" in page


def test_the_table_of_options_has_all_of_them():
    table = PAGE.read_text(encoding="utf-8").partition("| option | default | meaning |\n|---|---|---|\n")[2]
    shown = [row.split(" | ") for row in table.partition("\n\n")[0].splitlines()]
    options = {option.name: option for option in fields(ReadOptions)}
    assert {name.strip("| `"): (default.strip("` "), about.removesuffix(" |")) for name, default, about in shown} == {
        name: ("" if option.default in (None, ()) else str(option.default).lower(), option.metadata["about"])
        for name, option in options.items()
    }


def test_the_examples_on_the_page_run():
    results = doctest.testfile(str(PAGE), module_relative=False)
    assert results.attempted >= 7
    assert results.failed == 0
