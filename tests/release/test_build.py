"""The wheel and the sdist are what they should be, and what is not is refused."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import protovine
from tests.release.scripts import ROOT, script

release, sbom = script("try-release"), script("sbom")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    made: tuple[Path, Path] = release.build(tmp_path_factory.mktemp("dist"), isolated=False)
    return made


def test_wheel_and_sdist_pass_and_the_licences_of_all_that_is_bundled_are_in_the_wheel(
    built: tuple[Path, Path],
) -> None:
    wheel, sdist = built
    assert protovine.__version__ in wheel.name and protovine.__version__ in sdist.name
    components = tomllib.loads((ROOT / "deploy" / "bundled.toml").read_text())["component"]
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        for each in components:
            assert any(name.endswith(f"licenses/{each['licence_file']}") for name in names)
            for path in each["files"]:
                assert path.removeprefix("src/") in names
    # Minified files of others have the longest lines; each must be declared.
    bundled = {path for each in components for path in each["files"]}
    own = [path for path in ROOT.glob("src/**/static/*") if str(path.relative_to(ROOT)) not in bundled]
    assert all(max(map(len, path.read_text().splitlines())) < 2000 for path in own)


def _changed(wheel: Path, out: Path, change: Callable[[str, bytes], bytes | None], more: dict[str, bytes]) -> Path:
    target = out / wheel.name
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
        for name, data in more.items():
            new.writestr(name, data)
    return target


@pytest.mark.parametrize(
    ("end", "edit", "more", "message"),
    [
        ("py.typed", None, {}, "lacks py.typed"),
        ("uplot-licence.txt", None, {}, "lacks watch/static/uplot-licence.txt"),
        ("records.py", (b"import", b"Import"), {}, "is not what RECORD says"),
        ("METADATA", (b"\nVersion: ", b"\nVersion: 9."), {}, "says version"),
        ("METADATA", (b"Description-Content-Type: text/markdown", b"Description-Content-Type: text/x"), {}, "text/x"),
        ("METADATA", (b"License-Expression: Apache-2.0 AND MIT", b"License: mine"), {}, "no licence"),
        ("METADATA", (b"Requires-Dist: click>", b"Requires-Dist: click @ file:///x#"), {}, "depends on an address"),
        ("", ("", ""), {"tests/test_x.py": b""}, "which does not belong"),
    ],
)
def test_a_bad_wheel_is_refused_with_its_fault(
    built: tuple[Path, Path],
    tmp_path: Path,
    end: str,
    edit: tuple[bytes, bytes] | None,
    more: dict[str, bytes],
    message: str,
) -> None:
    def change(name: str, data: bytes) -> bytes | None:
        if not end or not name.endswith(end):
            return data
        return None if edit is None else data.replace(*edit, 1)

    bad = _changed(built[0], tmp_path, change, more)
    with pytest.raises(release.Refused, match=re.escape(message)):
        release.check_wheel(bad, protovine.__version__)


def test_the_lowest_versions_are_tried_on_the_oldest_python_and_every_extra_on_the_newest() -> None:
    pythons = release.Pythons.find([sys.executable])
    assert list(pythons.found) == [f"{sys.version_info.major}.{sys.version_info.minor}"]
    pythons = release.Pythons({"3.11": "a", "3.13": "b"})
    plan = release.cases(pythons, [])
    assert plan[0] == ("lowest", "3.11")
    assert {("highest", "3.11"), ("highest", "3.13"), ("slim", "3.13"), ("net", "3.13")} <= set(plan)
    assert "ray" not in dict(plan) and [("ray", "3.13")] == release.cases(pythons, ["ray"])
    with pytest.raises(release.Refused, match="unknown case 'wach'"):
        release.cases(pythons, ["wach"])
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    # Not for users: what the project itself is developed, measured and released with.
    assert set(release.EXTRAS) == set(extras) - {"dev", "docs", "moa", "release"}


def test_the_bill_of_materials_has_what_the_wheel_bundles() -> None:
    of_environment = {
        "bomFormat": "CycloneDX",
        "components": [{"bom-ref": "x==1", "name": "x", "version": "1", "licenses": [{"expression": "MIT"}]}],
    }
    made = sbom.complete(of_environment)
    assert ["uPlot", "x"] == [each["name"] for each in made["components"]]
    assert "uPlot 1.6.32: MIT, in the wheel\nx 1: MIT" == sbom.licences(made)
    for each in made["components"][:1]:
        head = (ROOT / "src/protovine/watch/static/uplot.js").read_text()[:200]
        assert each["name"] in head and each["version"] in head, "deploy/bundled.toml names another version"


def test_version_changelog_and_citation_agree() -> None:
    version = re.escape(protovine.__version__)
    log = (ROOT / "CHANGELOG.md").read_text()
    sections = re.findall(r"^## (.+)$", log, re.MULTILINE)
    assert "Unreleased" == sections[0]
    released = re.fullmatch(rf"{version} - (\d{{4}}-\d\d-\d\d)", sections[1])
    assert released
    assert set(re.findall(r"^### (.+)$", log, re.MULTILINE)) <= {
        "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security",
    }  # fmt: skip
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"version: {protovine.__version__}\n" in citation and f"date-released: {released[1]}\n" in citation


@pytest.mark.parametrize("name", ["try-release", "sbom"])
def test_scripts_say_how_they_are_used(name: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "deploy" / name, "--help"], capture_output=True, text=True, check=True
    )
    assert f"deploy/{name}" in done.stdout
