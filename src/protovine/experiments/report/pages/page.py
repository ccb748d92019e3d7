"""A page from one of this package's templates."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def render_page(template: str, **values: Any) -> str:
    """A page made from a template of this package, with the style of all reports in it."""
    from markupsafe import Markup

    return _environment().get_template(template).render(style=Markup(_read("report.css")), **values)


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    """It keeps the compiled templates for the next page."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    # Everything is escaped but the style and the figures, which are made here.
    made = Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["drawing"] = Markup
    return made
