"""The site: ``sphinx-build -W --keep-going docs site`` builds it without a network.

Pages of the Python API are written from the code when a build begins (`api_pages`), one for each public module.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

import protovine

HERE = Path(__file__).parent
# What users may import from; `reference/stability.md` says what is promised of each.
MODULES = (
    "protovine",
    "protovine.learn",
    "protovine.stream",
    "protovine.experiments",
    "protovine.share",
    "protovine.compress",
    "protovine.gossip",
    "protovine.exchange",
    "protovine.age",
    "protovine.metrics",
    "protovine.drift",
    "protovine.records",
    "protovine.topology",
    "protovine.system",
    "protovine.sim",
    "protovine.net",
    "protovine.tape",
    "protovine.snapshot",
    "protovine.checks",
    "protovine.errors",
)

project = "protovine"
copyright = "The protovine authors"  # noqa: A001
release = version = protovine.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["figures", "**/.ipynb_checkpoints"]
templates_path = ["_templates"]
nitpicky = True
# Names of other libraries, and of type variables, have no page here.
nitpick_ignore_regex = [("py:.*", r"(?!protovine\.).*")]
default_role = "py:obj"

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
nb_execution_mode = "off"  # A test runs the notebooks; the site shows the outputs that are saved in them.

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "undoc-members": True, "exclude-members": "model_config"}
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_title = "protovine"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "protovine"},
    "navbar_end": ["theme-switcher"],
    "show_nav_level": 1,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": []}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def public_names(module: str) -> list[str]:
    """The names of a public module: of `__all__`, or else those that it defines."""
    found = importlib.import_module(module)
    if hasattr(found, "__all__"):
        return [name for name in found.__all__ if not name.startswith("__")]
    return [
        name
        for name, each in vars(found).items()
        if not name.startswith("_") and getattr(each, "__module__", None) == module
    ]


def documented_at(module: str, name: str) -> str:
    """The module whose page describes an object; it is described once, where most users import it from."""
    each = getattr(importlib.import_module(module), name)
    for other in MODULES[: MODULES.index(module)]:
        if getattr(importlib.import_module(other), name, None) is each and name in public_names(other):
            return other
    return module


def directive(module: str, name: str) -> str:
    each = getattr(importlib.import_module(module), name)
    if inspect.isclass(each):
        return "autoexception" if issubclass(each, BaseException) else "autoclass"
    return "autofunction" if callable(each) else "autodata"


def api_page(module: str) -> str:
    """The page of one module: its docstring, and every public name."""
    lines = [f"# {module}", "", "```{eval-rst}", f".. automodule:: {module}", "   :no-members:", ""]
    for name in public_names(module):
        home = documented_at(module, name)
        if home == module:
            lines += [f".. {directive(module, name)}:: {module}.{name}", ""]
        else:
            lines += [f"- :obj:`{home}.{name}`", ""]
    return "\n".join([*lines, "```", ""])


def api_pages(app: Sphinx) -> None:
    """Write the pages of the Python API, those that have changed."""
    folder = HERE / "reference" / "api"
    folder.mkdir(exist_ok=True)
    for module in MODULES:
        path, text = folder / f"{module}.md", api_page(module)
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)


def plain_name(app: Sphinx, env: Any, node: nodes.Element, content: nodes.Node) -> nodes.Node | None:
    """Show a name in single backticks as it is if no page describes it: a parameter, a file, a module of another library."""
    return content if node.get("reftype") == "obj" else None


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", api_pages)
    app.connect("missing-reference", plain_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
