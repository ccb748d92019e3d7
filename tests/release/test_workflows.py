"""The workflows and forms are YAML of the right shape, and call scripts that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.release.scripts import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def commands(workflow: Path) -> list[str]:
    jobs = yaml.safe_load(workflow.read_text())["jobs"]
    return [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_calls_scripts_that_exist_with_few_rights(workflow: Path) -> None:
    parsed = yaml.safe_load(workflow.read_text())
    # YAML 1.1 reads `on` as true.
    assert {"name", True, "permissions", "jobs"} <= set(parsed)
    assert parsed["permissions"] == {"contents": "read"}
    for job in parsed["jobs"].values():
        assert {"runs-on", "steps"} <= set(job) and all(set(step) & {"run", "uses"} for step in job["steps"])
    scripts = [name for command in commands(workflow) for name in re.findall(r"(?:deploy|\.ci)/[\w.-]+", command)]
    assert all((ROOT / name).is_file() for name in scripts), scripts
    if workflow.name in ("ci.yml", "release.yml"):
        assert ".ci/run" in scripts and "deploy/try-release" in scripts


def test_nothing_is_published_without_the_tests_and_the_trial() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    assert "build" == jobs["publish"]["needs"] and {"id-token": "write"} == jobs["publish"]["permissions"]
    assert "permissions" not in jobs["build"]


@pytest.mark.parametrize("form", [path for path in FORMS if path.name != "config.yml"], ids=lambda path: path.name)
def test_an_issue_form_has_what_the_forms_need(form: Path) -> None:
    parsed = yaml.safe_load(form.read_text())
    assert {"name", "description", "body"} <= set(parsed)
    asked = [each for each in parsed["body"] if each["type"] != "markdown"]
    assert all(each["attributes"]["label"] for each in asked)
    assert len({each["id"] for each in asked}) == len(asked)
    assert any(each.get("validations", {}).get("required") for each in asked)
