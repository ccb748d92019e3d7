"""The glossary names only what exists."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "glossary.md"
NAMES = sorted(set(re.findall(r"`(protovine(?:\.\w+)+)`", PAGE.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("name", NAMES)
def test_every_code_name_in_the_glossary_exists(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        assert hasattr(importlib.import_module(module), attribute), name


def test_no_term_is_explained_twice() -> None:
    terms = [
        term.strip()
        for bold in re.findall(r"\*\*(.+?)\*\*", PAGE.read_text(encoding="utf-8"), flags=re.S)
        for term in bold.split(",")
    ]
    assert [] == sorted({term for term in terms if terms.count(term) > 1})
