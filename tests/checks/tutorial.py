"""The learners of `docs/tutorials/own-learner.md`, as a user copies them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_PAGE = Path(__file__).parent.parent.parent / "docs" / "tutorials" / "own-learner.md"
_FILES = dict(re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```", _PAGE.read_text(encoding="utf-8"), flags=re.M | re.S))


def load(file: str) -> dict[str, Any]:
    """The names of one of the page's files."""
    names: dict[str, Any] = {"__name__": file}
    exec(_FILES[file], names)
    return names


ClassMeans: Any = load("means")["ClassMeans"]
Softmax: Any = load("softmax")["Softmax"]
