"""The glossary names only what exists."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import get_args

import pytest

from protovine.age import delay, training
from protovine.cli.age import age_group

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "glossary.md"
NAMES = sorted(set(re.findall(r"`(protovine(?:\.\w+)+)`", PAGE.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("name", NAMES)
def test_every_code_name_in_the_glossary_exists(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        assert hasattr(importlib.import_module(module), attribute), name


@pytest.mark.parametrize(("of", "words"), [("queue", training.Discipline), ("link", delay.Discipline)])
def test_disciplines_are_the_words_that_are_taken(of: str, words: object) -> None:
    entry = PAGE.read_text(encoding="utf-8").partition(f"**discipline of a {of}**")[2].partition("\n- **")[0]
    listed = entry.partition(".")[0]
    assert list(get_args(words)) == re.findall(r"`([\w-]+)`", listed)


def test_the_option_has_the_words_of_the_glossary() -> None:
    option = next(each for each in age_group.commands["calc"].params if each.name == "discipline")
    assert all(word in option.help for word in get_args(training.Discipline))


def test_no_term_is_explained_twice() -> None:
    terms = [
        term.strip()
        for bold in re.findall(r"\*\*(.+?)\*\*", PAGE.read_text(encoding="utf-8"), flags=re.S)
        for term in bold.split(",")
    ]
    assert [] == sorted({term for term in terms if terms.count(term) > 1})
