"""The site builds without a warning and without a network, its links lead somewhere, and it has every public object."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("sphinx", reason="the extra `docs` is not installed")
ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", str(folder / "trees"), "docs"]
    # No proxy answers: whatever is fetched fails.
    offline = {**os.environ, "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        [*command, str(folder / "html")], cwd=ROOT, env=offline, capture_output=True, text=True, timeout=600
    )
    assert 0 == done.returncode, done.stderr[-5000:]
    return folder / "html"


class Page(HTMLParser):
    """Anchors of a page, its links, and what a browser loads for it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attributes if value is not None}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag in ("script", "img", "link", "iframe") and found.get("rel") not in ("next", "prev", "search", "index"):
            self.loaded += [found[name] for name in ("src", "href") if name in found]


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    made = [path for path in site.rglob("*.html") if "_modules" not in path.parts and "_static" not in path.parts]
    return {path: Page(path.read_text(encoding="utf-8")) for path in made}


def test_links_and_anchors_exist(site: Path, pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchored = not parts.fragment or target not in pages or unquote(parts.fragment) in pages[target].anchors
            if not target.exists() or not anchored:
                broken.append((path.name, link))
    assert [] == broken
    assert len(pages) > 50 and (site / "searchindex.js").stat().st_size > 100_000


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Page]) -> None:
    assert set() == {each for page in pages.values() for each in page.loaded if urlsplit(each).netloc}


def inventory(site: Path) -> set[str]:
    """Names of all described Python objects (`objects.inv`, version 2)."""
    raw = (site / "objects.inv").read_bytes()
    lines = zlib.decompress(raw.split(b"\n", 4)[4]).decode().splitlines()
    return {line.split(" ")[0] for line in lines if " py:" in line}


def test_every_public_object_is_in_the_reference(site: Path) -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        conf = importlib.import_module("conf")
    finally:
        sys.path.remove(str(ROOT / "docs"))
        sys.modules.pop("conf", None)
    described = inventory(site)
    wanted = {
        f"{conf.documented_at(module, name)}.{name}" for module in conf.MODULES for name in conf.public_names(module)
    }
    assert set() == wanted - described
    # Every package that has public names is one of the modules, or below one.
    packages = {
        ".".join(path.parent.relative_to(ROOT / "src").parts) for path in ROOT.glob("src/protovine/*/__init__.py")
    }
    assert {"protovine.cli", "protovine.watch"} == packages - set(conf.MODULES)
