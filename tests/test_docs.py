"""Documents that go red when they are wrong."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import click
import msgspec
import pytest
from pydantic import BaseModel

import protovine
from protovine import records
from protovine.cli import main
from protovine.experiments import PRESETS, Experiment
from protovine.experiments.define import config
from protovine.experiments.run.result import METRICS
from protovine.learn.hedged.experts import PARTS
from protovine.net import config as node_config
from protovine.net.operate import ControlTable
from protovine.share.log import BITS_PER_BYTE
from protovine.system import Section, kinds
from protovine.system.settings import HedgedSettings, WholeSetSettings
from tests import copies
from tests.commands import protovine as protovine_in

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *(page for page in DOCS.rglob("*.md") if page.parent.name != "api")])


def kind_of(annotation: Any) -> str:
    choices = kinds(annotation)
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    origin = get_origin(annotation)
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    if origin in (Union, UnionType):
        return " or ".join(kind_of(part) for part in get_args(annotation) if part is not type(None))
    if origin is not None and hasattr(annotation, "__metadata__"):
        return kind_of(get_args(annotation)[0])
    names = {float: "number", int: "whole number", bool: "true or false", str: "text", Any: "text", dict: "table"}
    return names.get(origin or annotation, "list")


def limits_of(field: Any) -> str:
    found = {name: getattr(m, name) for m in field.metadata for name in ("ge", "gt", "le") if hasattr(m, name)}
    words = {"ge": "≥", "gt": ">", "le": "≤"}
    return " ".join(f"{words[name]} {limit:g}" for name, limit in found.items())


def rows_of(section: str, model: type[BaseModel]) -> list[str]:
    rows = []
    for name, field in model.model_fields.items():
        value = field.get_default(call_default_factory=True)
        shown = str(value).lower() if isinstance(value, bool) else value
        if isinstance(value, Section):
            shown = value.kind
        default = "" if value in (None, {}, (), "") else f"`{shown}`"
        default = "required" if field.is_required() else default
        range_ = " ".join(filter(None, [kind_of(field.annotation), limits_of(field)]))
        rows.append(f"| `{section}{name}` | {range_} | {default} | {field.description or ''} |")
    return rows


def section_rows(section: str, annotation: Any) -> list[str]:
    """The rows of a section; of one in kinds those of every kind, each under a line that names it."""
    choices = kinds(annotation)
    if not choices:
        return rows_of(f"{section}.", annotation)
    rows = []
    for kind, model in choices.items():
        rows.append(f'| **`{section}.kind = "{kind}"`** | | | {model.__doc__.splitlines()[0]} |')
        shared = issubclass(model, WholeSetSettings) and kind != "sets"
        known = {"kind", *(WholeSetSettings.model_fields if shared else ())}
        rows += [
            row for row in rows_of(f"{section}.", model) if row.split("`")[1].removeprefix(f"{section}.") not in known
        ]
        for name, field in model.model_fields.items():
            if name != "kind" and len(kinds(field.annotation)) > 1 and kind == "sets":
                rows += section_rows(f"{section}.{name}", field.annotation)
    return rows


def node_rows() -> list[str]:
    schema = (
        "| `schema` | text or table | | file that `protovine data info --json` wrote, or `features` and `classes` |"
    )
    tables = {"node": node_config.NodeTable, "network": node_config.NetworkTable, "control": ControlTable}
    return [schema, *(row for name, table in tables.items() for row in rows_of(f"{name}.", table))]


def about_record(record: type) -> str:
    """A record type in words: its heading, what it says, and its fields."""
    info = msgspec.inspect.type_info(record)
    shared = {field.name for field in msgspec.inspect.type_info(records.Record).fields}
    fields = [
        f"`{field.name}` ({type_words(field.type)}{'' if field.required else ', may be absent'})"
        for field in info.fields
        if field.name not in shared
    ]
    words = docstring(record)
    listed = f"\n\nFields: {', '.join(fields)}." if fields else ""
    if record is records.Trained:
        listed += f"\n\nOne of `runs`: {docstring(records.TrainedRun)}"
    return f'### {record.__name__}\n\n`"is": "{info.tag}"`. {words}{listed}'


def docstring(of: type) -> str:
    """A docstring as Markdown in one line."""
    return re.sub(r"``(.+?)``", r"`\1`", " ".join(inspect.getdoc(of).split()))


def type_words(kind: msgspec.inspect.Type) -> str:
    if isinstance(kind, msgspec.inspect.VarTupleType):
        return f"list of {type_words(kind.item_type)}"
    if isinstance(kind, msgspec.inspect.TupleType):
        return f"[{', '.join(map(type_words, kind.item_types))}]"
    if isinstance(kind, msgspec.inspect.StructType):
        return f"[{', '.join(field.name for field in kind.fields)}]"
    names = {"IntType": "whole number", "FloatType": "number", "StrType": "text", "BoolType": "true or false"}
    return names[type(kind).__name__]


def tables() -> dict[str, str]:
    head = ["| setting | value | default | meaning |", "|---|---|---|---|"]
    settings = [
        f"| `{n}` | {kind_of(f.annotation)} {limits_of(f)} | `{f.default}` | {f.description} |"
        for n, f in Experiment.model_fields.items()
        if n in ("seed", "seeds", "jobs")
    ]
    settings += rows_of("data.", config.DataSettings)
    for section, field in config.RunSettings.model_fields.items():
        if section not in ("faults", "data"):
            settings += section_rows(section, field.annotation)
    faults = []
    for model in config.FAULTS:
        keys = [
            f"`{name}`" + ("" if field.is_required() else f" (default {str(field.default).lower()})")
            for name, field in model.model_fields.items()
            if name != "kind"
        ]
        (kind,) = get_args(model.model_fields["kind"].annotation)
        faults.append(f"| `{kind}` | {', '.join(keys)} | {model.__doc__} |")
    return {
        "records": "\n\n".join(map(about_record, get_args(records.AnyRecord))),
        "settings": "\n".join(head + settings),
        "node": "\n".join(head + node_rows()),
        "metrics": "\n".join(
            [
                "| metric | in tables | unit |",
                "|---|---|---|",
                *(f"| `{name}` | {title} | {unit} |" for name, (title, unit, _) in METRICS.items()),
            ]
        ),
        "faults": "\n".join(["| kind | keys | |", "|---|---|---|", *faults]),
        "presets": "\n".join(["| preset | |", "|---|---|", *(f"| `{p.name}` | {p.about} |" for p in PRESETS.values())]),
    }


@pytest.mark.parametrize("name", ["settings", "faults", "presets", "node", "metrics", "records"])
def test_tables_say_what_the_code_does(name: str, request: pytest.FixtureRequest) -> None:
    page = DOCS / "reference" / f"{name if name in ('presets', 'metrics', 'records') else 'settings'}.md"
    text = page.read_text()
    pattern = rf"(<!-- {name} -->\n)(.*?)(<!-- end -->)"
    table = tables()[name] + "\n"
    if request.config.getoption("--rewrite"):
        page.write_text(re.sub(pattern, lambda match: match[1] + table + match[3], text, flags=re.S))
    else:
        assert table == re.search(pattern, text, flags=re.S)[2]


def test_the_surprisal_that_a_byte_must_be_worth_is_that_of_the_log() -> None:
    row = next(row for row in tables()["settings"].splitlines() if row.startswith("| `exchange.surprisal_bits`"))
    assert f"by default {BITS_PER_BYTE} bits per byte" in row


def test_every_field_of_a_record_is_explained() -> None:
    """In the sentence of its record, or among the fields that mean the same everywhere."""
    common = (DOCS / "reference" / "records.md").read_text().partition("## Fields")[2].partition("## ")[0]
    for record in get_args(records.AnyRecord):
        words = f"{inspect.getdoc(record)} {common}"
        assert [] == [field for field in record.__struct_fields__ if f"`{field}`" not in words], record


def test_every_metric_is_explained() -> None:
    text = (DOCS / "reference" / "metrics.md").read_text().partition("## What they mean\n")[2]
    missing = [name for name in METRICS if f"`{name}`" not in text]
    assert ["wall_s", "samples_per_wall_s"] == missing


def options_of(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


def test_the_command_line_has_the_names_that_scripts_rely_on() -> None:
    run = options_of(main.commands["run"])
    promised = (
        "--preset --data --label --positive --limit --nodes --split -s -T --order --topology --rate --arrivals "
        "--label-delay --labelled --train-rate --seed --seeds --jobs --set --out --json --holdout"
    )
    assert set(promised.split()) <= run
    assert {"run", "data", "replay"} <= set(main.commands)
    assert {"list", "info", "devices"} == set(main.commands["data"].commands)


def shell_lines(page: Path) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), flags=re.S)
    return [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_pages_are_understood(page: Path) -> None:
    """Every option of every `protovine` command in a page exists."""
    for line in shell_lines(page) + re.findall(r"`(protovine [^`]+)`", page.read_text()):
        for part in line.split("&&"):
            words = part.split()
            if not words or not words[0].endswith("protovine"):
                continue
            command: Any = main
            for word in words[1:]:
                if isinstance(command, click.Group) and word in command.commands:
                    command = command.commands[word]
                elif word.startswith("-"):
                    assert word in options_of(command) | {"--help", "--version"}, line
            if not isinstance(command, click.Group):
                for preset in re.findall(r"--preset ([a-z][a-z0-9-]*)", part):
                    assert preset in PRESETS, line


RUN_LINES = sorted(
    {
        line
        for page in PAGES
        for line in shell_lines(page)
        if line.startswith(("protovine run ", "protovine age calc ", "protovine age plan ", "protovine data devices "))
        and not re.search(r"--(suite|watch)|\\$|\.toml|[a-z]+=[a-z]+:|--data ([a-z]+\.csv|elec2)", line)
    }
)


def test_commands_in_pages_run(tmp_path: Path) -> None:
    """Those that need no files and no download, with few rows; three of `docs/scale.md` ended with exit code 2."""
    assert len(RUN_LINES) > 20
    for number, line in enumerate(RUN_LINES):
        words = line.split()[1:]
        if words[0] == "run":
            words += ["--limit", "60", "--seeds", "1", "--jobs", "1", "--out", f"run-{number}"]
        done = protovine_in(*words, cwd=tmp_path)
        assert done.returncode == 0, f"{line}: {done.stderr}"


def test_the_readme_says_each_word_of_the_field_once_with_a_link() -> None:
    text = (ROOT / "README.md").read_text()
    words = ("gossip learning", "federated learning", "non-IID", "prequential", "Byzantine", "age of information")
    assert [] == [word for word in words if text.count(f"[{word}](") != 1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def python_blocks() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        if page.parent.name == "tutorials":  # tests/test_tutorials.py runs their blocks in order.
            continue
        for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.S)):
            if ">>>" not in block:  # Those are doctests of their own.
                found.append((f"{page.name}-{number}", block))
    return found


@pytest.mark.parametrize(("name", "block"), python_blocks(), ids=[name for name, _ in python_blocks()])
def test_python_in_pages_runs(name: str, block: str, tmp_path: Path) -> None:
    (tmp_path / "block.py").write_text(block)
    done = copies.run(str(tmp_path / "block.py"), cwd=tmp_path, timeout=300)
    assert 0 == done.returncode, done.stderr


def test_the_toml_example_is_an_experiment() -> None:
    import tomllib

    (block,) = re.findall(r"```toml\n(.*?)```", (DOCS / "how-to" / "experiments.md").read_text(), flags=re.S)
    experiment = Experiment(**tomllib.loads(block))
    assert (10, 2) == (experiment.settings("paper-jsd").swarm.nodes, len(experiment.faults))


def test_ci_runs_the_readmes_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in script
    command = [line for line in shell_lines(ROOT / "README.md") if "pytest" in line]
    install = 'python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e ".[dev]"'
    assert [f"{install} && .venv/bin/pytest -n 3 --dist loadfile"] == command


def test_one_version_everywhere() -> None:
    assert f"version: {protovine.__version__}" in (ROOT / "CITATION.cff").read_text()
    assert f"## {protovine.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_map_of_the_house_is_complete() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for path in sorted((ROOT / "src" / "protovine").iterdir()):
        if path.suffix == ".py" and not path.name.startswith("__"):
            assert f"  {path.name} " in text, path.name
        elif path.is_dir() and path.name != "__pycache__":
            assert f"  {path.name}/ " in text, path.name


def test_no_file_is_above_500_lines() -> None:
    long = {path.name: n for path in ROOT.glob("src/**/*.py") if (n := len(path.read_text().splitlines())) > 500}
    assert {} == long


def test_pinned_versions_name_no_addresses() -> None:
    lines = (ROOT / "constraints.txt").read_text().split()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line) for line in lines)
    assert {"numpy", "numba", "river", "click"} <= {line.partition("==")[0].lower() for line in lines}


def test_the_parts_that_can_be_switched_off_are_listed() -> None:
    listed = (HedgedSettings.model_fields["ablate"].description or "").partition(": ")[2]
    assert list(PARTS) == listed.split(", ")
