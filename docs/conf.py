"""The site: ``sphinx-build -W --keep-going docs site`` builds it without a network.

Pages of the Python API are written from the code when a build begins (`api_pages`), one for each public module.
"""

from __future__ import annotations

import importlib
import inspect
import re
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
    "protovine.prototypes",
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
copyright = "The protovine authors"
release = version = protovine.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["figures", "**/.ipynb_checkpoints"]
templates_path = ["_templates"]
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!protovine\.).*"),  # Names of other libraries.
    ("py:class", r"protovine\.(system\.settings|experiments\.define\.config)\..*"),  # `reference/settings.md` has them.
    ("py:class", r"protovine\.net\.io\.mqtt\.BrokerSettings"),  # `reference/live-data.md` has them.
    ("py:class", r"protovine\..*\._\w+"),  # Type variables.
]
default_role = "py:obj"

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
nb_execution_mode = "off"  # A test runs the notebooks; the site shows the outputs that are saved in them.

autodoc_member_order = "bysource"
python_maximum_signature_line_length = 100
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "undoc-members": True, "exclude-members": "model_config"}
napoleon_google_docstring = False
napoleon_use_param = napoleon_use_rtype = False  # Types are words: no links from them.

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


def described(module: str, name: str) -> list[str]:
    """The directive for a class, a function or a constant. A constant shows its value, and the comment above it."""
    each = getattr(importlib.import_module(module), name)
    if inspect.isclass(each):
        kind = "autoexception" if issubclass(each, BaseException) else "autoclass"
        return [f".. {kind}:: {module}.{name}", ""]
    if inspect.isfunction(each):
        return [f".. autofunction:: {module}.{name}", ""]
    value = ", ".join(map(repr, each)) if isinstance(each, dict) else repr(each)
    lines = [f".. py:data:: {name}", f"   :module: {module}"]
    lines += [f"   :value: {value}"] if len(value) < 200 and "Annotated" not in value else []
    source = Path(importlib.import_module(module).__file__ or "")
    for path in sorted(source.parent.rglob("*.py")) if source.name == "__init__.py" else [source]:
        if found := re.search(rf"((?:^# .*\n)+){name}(?:: .*)? = ", path.read_text(), flags=re.M):
            lines += ["", *(line.replace("#", "  ", 1) for line in found[1].splitlines())]
            break
    return [*lines, ""]


def api_page(module: str) -> str:
    """The page of one module: its docstring, and every public name."""
    lines = [f"# {module}", "", "```{eval-rst}", f".. automodule:: {module}", "   :no-members:", ""]
    for name in public_names(module):
        home = documented_at(module, name)
        if home == module:
            lines += described(module, name)
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


def short_types(
    app: Sphinx, what: str, name: str, each: object, options: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Arrays as `NDArray[float64]`, as the source has them."""
    long = r"~numpy\.ndarray\[tuple\[~typing\.Any, \.\.\.\], ~numpy\.dtype\[~numpy\.(\w+)\]\]"
    short = [text and re.sub(long, r"NDArray[\1]", text) for text in (signature, returned)]
    return short[0], short[1]


def plain_name(app: Sphinx, env: Any, node: nodes.Element, content: nodes.Node) -> nodes.Node | None:
    """Show a name in single backticks as it is if no page describes it, as a parameter or a file."""
    return content if node.get("reftype") == "obj" else None


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", api_pages)
    app.connect("autodoc-process-signature", short_types)
    app.connect("missing-reference", plain_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
