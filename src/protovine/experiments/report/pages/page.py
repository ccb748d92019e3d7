"""A page from one of this package's templates."""

from __future__ import annotations

from importlib.resources import files
from typing import Any


def render_page(template: str, **values: Any) -> str:
    """A page made from a template of this package, with the style of all reports in it."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    here = files(__package__)

    def read(name: str) -> str:
        return here.joinpath(name).read_text(encoding="utf-8")

    # Everything is escaped but the style and the figures, which are made here.
    environment = Environment(
        loader=FunctionLoader(read), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["drawing"] = Markup
    return environment.get_template(template).render(style=Markup(read("report.css")), **values)
