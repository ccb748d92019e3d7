"""The reference has every metric of a node, and the files in deploy/ are understood."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from protovine.net.config import NodeSettings
from protovine.net.ops.metrics import _LABELLED, _NOTHING, families

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "node-metrics.md"


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


def test_the_dashboard_asks_for_metrics_and_labels_that_there_are() -> None:
    board = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())
    assert {"title", "panels", "templating", "schemaVersion"} <= set(board)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"]) > 10
    rows = dict(re.findall(r"\| `(protovine_\w+)` \| \w+ \| ([^|]*) \|", table()))
    known = {**rows, "up": "", "process_cpu_seconds_total": ""}
    known |= {f"protovine_share_latency_seconds_{part}": "le" for part in ("bucket", "count", "sum")}
    variables = {each["name"] for each in board["templating"]["list"]}
    for panel in board["panels"]:
        assert panel["title"] and panel["description"] and panel["fieldConfig"]["defaults"]["unit"]
        for target in panel["targets"]:
            asked = target["expr"]
            names = re.findall(r"\b(protovine_\w+|process_\w+|up)(?=\{)", asked)
            assert names and set(names) <= set(known), asked
            labels = {"instance", "job", "le"} | {label for name in names for label in known[name].split(", ")}
            used = re.findall(r"(\w+)=~?\"", asked) + re.findall(r"\w+", "".join(re.findall(r"by \(([^)]*)\)", asked)))
            assert set(used + re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels, asked
            assert all(asked.count(a) == asked.count(b) for a, b in ("()", "{}", "[]")), asked
            assert set(re.findall(r"\$(\w+)", asked)) <= variables | {"__rate_interval"}


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
