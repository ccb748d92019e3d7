"""Tables for terminals: nothing is cut at any width."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import io
import itertools
import os
import pty
import struct
import subprocess
import sys
import termios
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from protovine.cli.swarm import _status_table
from protovine.experiments.report.tables import SuiteTable, print_suite
from protovine.experiments.report.tables import suite as suite_tables
from protovine.terminal import Column, print_table, printable, tables
from tests.commands import protovine


def shown(columns: list[Column], width: int) -> str:
    out = io.StringIO()
    print_table(Console(file=out, width=width), columns)
    return out.getvalue()


def cells_of(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("│┃").split("│" if "│" in line else "┃")] for line in text.splitlines()
    ]


WORDS = st.text("abcdefgh0123456789.-", min_size=1, max_size=12)


@given(st.lists(st.lists(WORDS, min_size=3, max_size=3), min_size=2, max_size=9), st.integers(40, 120))
def test_every_cell_is_whole_and_beside_its_name(table: list[list[str]], width: int) -> None:
    text = shown([Column(head, cells) for head, *cells in table], width)
    assert max(map(len, text.splitlines())) <= width
    rows = cells_of(text)
    for head, *cells in table[1:]:
        assert any(head in row[1:] and row[0] == table[0][0] for row in rows)
        for name, cell in zip(table[0][1:], cells, strict=True):
            assert any(row[0] == name and cell in row[1:] for row in rows)


@given(st.text("abc", min_size=1, max_size=200), st.integers(20, 60))
def test_what_is_wider_than_the_terminal_is_folded(name: str, width: int) -> None:
    text = shown([Column("name", [name]), Column("x", ["1.5"]), Column("y", ["22"])], width)
    assert max(map(len, text.splitlines())) <= width
    letters = "".join(row[0] for row in cells_of(text) if set(row[0]) <= set("abc"))
    assert len(letters) % len(name) == 0 and letters.startswith(name)
    assert "1.5" in text and "22" in text


def test_only_words_are_wrapped_and_heads_of_groups_are_repeated() -> None:
    about = "thirty clusters of three classes that move through the unit cube"
    columns = [Column("name", ["rbf-drift"], "left"), Column("about", [about], "left", wraps=True)]
    words = list(itertools.chain(*(row[1].split() for row in cells_of(shown(columns, 50)) if len(row) == 2)))
    assert f"about {about}".split() == words
    grouped = [
        Column("", ["row"]),
        *(Column(name, [f"{name}.5"], above=f"preset-{name[0]}") for name in ("a1", "a2", "b1")),
    ]
    assert 1 == shown(grouped, 60).count("preset-a") == shown(grouped, 60).count("preset-b")
    assert [2, 2, 2] == [len(table.columns) for table in tables(grouped, 22)]
    assert 2 == shown(grouped, 22).count("preset-a")
    assert "漢字漢字" in shown([Column("n", [Text("漢字漢字")]), Column("m", ["漢字漢字"])], 23)


def test_the_table_of_a_suite_cuts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = ["", "paper-base\nF1", "\ntraffic [B/s]", "paper-jsd\nF1", "\ntraffic [B/s]"]
    rows = [["phishing, all", "0.812 ± 0.010", "1,234 ± 567", "0.798 ± 0.020", "901 ± 2"]]
    monkeypatch.setattr(suite_tables, "suite_table", lambda result: SuiteTable(heads, rows, "mean"))
    made = SimpleNamespace(suite=SimpleNamespace(name="targets", about="age or bytes"), left_out={})
    for width, n_tables, n_heads in ((200, 1, 1), (50, 2, 1), (40, 4, 2)):
        out = io.StringIO()
        print_suite(made, Console(file=out, width=width))  # type: ignore[arg-type]
        assert all(cell in out.getvalue() for cell in rows[0]) and "…" not in out.getvalue()
        assert (n_tables, n_heads) == (out.getvalue().count("┏"), out.getvalue().count("paper-jsd"))


def test_the_live_table_of_members_cuts_nothing() -> None:
    peers = [{"age_s": 1234.5, "alive": True, "name": f"bee{i}", "revoked": i > 0} for i in range(4)]
    status = {"name": "hive", "up_s": 123456, "samples": 1_234_567, "accuracy": 0.5, "samples_learnt": 7_654_321}
    status |= {"prototypes": 4321, "bytes_sent": 987_654_321, "peers": peers, "refused": {"stale": 12}}
    out = io.StringIO()
    Console(file=out, width=80).print(_status_table([status, None], 80))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    for value in ("1,234,567", "7,654,321", "987,654,321", "1234.5", "accuracy", "oldest view [s]", "bee3"):
        assert value in text


@pytest.mark.parametrize("words", ["data list", "age plan --target-mean 1", "age plan --budget 1e6 --nodes 50"])
def test_commands_cut_neither_names_nor_numbers(words: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def at(width: int) -> str:
        out = io.StringIO()
        for name in ("age", "data"):
            module = importlib.import_module(f"protovine.cli.{name}")  # As an attribute it is the command.
            monkeypatch.setattr(module, "console_on", lambda stderr: Console(file=out, width=width))
        assert 0 == protovine(*words.split(), cwd=tmp_path).returncode
        return out.getvalue()

    wide, narrow = cells_of(at(400)), at(80)
    assert "…" not in narrow and max(map(len, narrow.splitlines())) <= 80
    whole = {cell for row in cells_of(narrow) for cell in row}
    cells = {cell for row in wide for cell in row if "━" not in cell and "─" not in cell}
    assert {cell for cell in cells if " " not in cell} <= whole
    folded = set(" ".join(whole).split())
    assert {word for cell in cells for word in cell.split()} <= folded
    names = {row[0] for row in wide if len(row) > 1}
    assert names <= {row[0] for row in cells_of(narrow)}


@given(st.text())
def test_nothing_that_is_shown_controls_a_terminal(text: str) -> None:
    shown = printable(text, keep="\n")
    assert all(unicodedata.category(each) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for each in shown if each != "\n")
    assert printable(shown, keep="\n") == shown
    assert shown == text or any(not each.isprintable() for each in text)
    assert "\x1b" not in shown_table([text], 40)


def shown_table(names: list[str], width: int) -> str:
    return shown([Column("name", names), Column("x", ["1"] * len(names))], width)


@pytest.mark.parametrize("width", [80, 200])
def test_the_name_of_a_file_does_not_colour_a_terminal(tmp_path: Path, width: int) -> None:
    name = "e\x1b[31mz.csv"
    (tmp_path / name).write_text("a\x1b[2J,b\n" + "".join(f"{i},{'xy'[i % 2]}\x1b[0m\n" for i in range(40)))
    out = terminal("run", "--data", name, "--seeds", "1", "--preset", "isolated", cwd=tmp_path, width=width)
    assert "e\\x1b[31mz.csv: 5 nodes, 1 seed" in out and "\x1b[31m" not in out and "is that of class y\\x1b[0m" in out
    assert all(each.isprintable() for folder in (tmp_path / "runs").iterdir() for each in folder.name)
    info = terminal("data", "info", name, cwd=tmp_path, width=width)
    assert "a\\x1b[2J: 0 to 39" in info and "\x1b" not in info
    missing = terminal("data", "info", "no\x1b[31m.csv", cwd=tmp_path, width=width)
    assert "protovine: no such file: no\\x1b[31m.csv" in missing and "\x1b" not in missing
    option = terminal("run", "--nodes", "3\x1b[31m", cwd=tmp_path, width=width)
    assert "3\\x1b[31m" in option and "\x1b[31m" not in option


def terminal(*arguments: str, cwd: Path, width: int) -> str:
    """What a terminal gets."""
    master, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    started = subprocess.Popen([sys.executable, "-m", "protovine", *arguments], cwd=cwd, stdout=end, stderr=end)
    os.close(end)
    read = b""
    with contextlib.suppress(OSError):  # The end of a terminal.
        while part := os.read(master, 65536):
            read += part
    os.close(master)
    started.wait()
    return read.decode().replace("\r\n", "\n")
