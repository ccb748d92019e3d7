"""The page of operations has every metric, and the files in deploy/ are understood."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from protovine.net.config import NodeSettings
from protovine.net.ops.metrics import _LABELLED, _NOTHING, families

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "operations.md"


def table() -> str:
    labels = {f"protovine_{name}": words for name, (_, _, words) in _LABELLED.items()}
    rows = ["| metric | kind | labels | |", "|---|---|---|---|"]
    for family in families(_NOTHING):
        name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        words = labels.get(family.name, ("peer", "kind") if re.search("messages_|bytes_(sent|rec)", name) else ())
        rows.append(f"| `{name}` | {family.type} | {', '.join(words)} | {family.documentation} |")
    return "\n".join(rows) + "\n"


def test_the_page_lists_every_metric(request: pytest.FixtureRequest) -> None:
    text = PAGE.read_text()
    pattern = r"(<!-- metrics -->\n)(.*?)(<!-- end -->)"
    if request.config.getoption("--rewrite"):
        PAGE.write_text(re.sub(pattern, lambda match: match[1] + table() + match[3], text, flags=re.S))
    else:
        assert table() == re.search(pattern, text, flags=re.S)[2]


def test_alerts_name_existing_metrics() -> None:
    known = set(re.findall(r"`(protovine_\w+)`", table()))
    asked = set(re.findall(r"protovine_\w+", (ROOT / "deploy" / "alerts.yaml").read_text()))
    assert len(asked) > 5 and asked <= known


@pytest.mark.parametrize("name", ["node.toml", "compose/node.toml"])
def test_example_settings_are_settings(name: str) -> None:
    settings = NodeSettings.read(ROOT / "deploy" / name, {})
    assert settings.node.metrics is not None and settings.network.connect
    assert Path("/var/lib/protovine") in (Path(settings.node.state), Path(settings.node.state).parent)


def test_members_in_compose_differ_in_nothing_but_their_number() -> None:
    text = (ROOT / "deploy" / "compose.yaml").read_text()
    services = re.search(r"^services:\n(.*?)^volumes:", text, flags=re.S | re.M)[1].strip("\n").split("\n\n")
    assert 5 == len(services)
    for number, service in enumerate(services):
        assert services[0] == service.replace(f"node-{number}", "node-0").replace(f":910{number}:", ":9100:")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not there")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    unit = (ROOT / "deploy" / "protovine-node.service").read_text()
    path = tmp_path / "protovine-node.service"
    path.write_text(unit.replace("/opt/protovine/bin/protovine", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
