"""What a node says about its input, what it ends with, and what `--check` finds."""

from __future__ import annotations

import itertools
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from protovine.cli import main
from protovine.errors import ConfigError, DataError
from protovine.net.causes import CAUSES_MAX, OTHERS, PERIOD_S, Causes
from protovine.net.config import NodeSettings
from protovine.net.doctor import examine_here
from protovine.net.service import prepare, run_member
from protovine.system import assignment

pytest.importorskip("zenoh", reason="the extra `net` is not installed")

SCHEMA = {"features": ["t", "h"], "classes": ["dry", "wet"]}
NETWORK = {"plain": True, "swarm": "s", "name": "n", "id": 1, "listen": ["tcp/127.0.0.1:0"]}
GOOD = ['{"x":{"t":1,"h":2},"y":"dry"}', '{"x":{"t":9,"h":8},"y":"wet"}']


def settings(**tables: Any) -> NodeSettings:
    return NodeSettings.read(None, {"schema": SCHEMA, "network": NETWORK, **tables})


@pytest.fixture
def node(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[bool, list[dict], list[str]]]:
    """Runs a new node over lines: whether it succeeded, its outputs, and its warnings and errors."""
    starts = itertools.count()

    def run(lines: list[str] | bytes, **tables: Any) -> tuple[bool, list[dict], list[str]]:
        path, out = tmp_path / "in", tmp_path / "out"
        path.write_bytes(lines if isinstance(lines, bytes) else "\n".join(lines).encode())
        out.unlink(missing_ok=True)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / f"state{next(starts)}"))
        caplog.clear()
        source = {"kind": "file", "path": str(path), **tables.pop("source", {})}
        made = settings(source=source, sink={"kind": "file", "path": str(out)}, **tables)
        succeeded = run_member(made, lambda: made)
        outputs = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
        said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        return succeeded, outputs, [text for text in said if "plain TCP" not in text]

    return run


def test_a_node_whose_every_message_is_refused_fails_and_says_why(node: Callable[..., Any]) -> None:
    succeeded, outputs, said = node(['{"t":1}'] * 50)
    assert (False, []) == (succeeded, outputs)
    assert said[0] == "in, line 1: unknown field 't': features stand in x, unless flat = true"
    assert "not one message of the source could be used" in said
    lines = ", ".join(map(str, range(1, 11)))
    assert said[-1] == f"in all 50 times (lines {lines} and others): {said[0]}"
    assert 3 == len(said)


def test_a_signal_does_not_hide_that_every_message_was_refused(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    words = ["--plain", "s/n/1", "--listen", "tcp/127.0.0.1:0", "--schema", "schema.json", "--source", "stdin"]
    command = [sys.executable, "-m", "protovine", "node", *words]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None and child.stderr is not None
        try:
            child.stdin.write('{"t":1}\n')
            child.stdin.flush()
            assert any("unknown field 't'" in line for line in child.stderr)
            child.terminate()
            assert "not one message of the source could be used" in child.stderr.read()
            assert child.wait() == 1
        finally:
            child.kill()


def test_the_same_id_as_number_and_as_text_is_the_same(node: Callable[..., Any]) -> None:
    assert (True, 3, []) == _counts(node([*GOOD, '{"id":7,"x":{"t":9,"h":1}}', '{"id":"7","y":"wet"}']))


def test_a_prediction_and_a_refusal_name_the_row_of_a_csv_file(node: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text("t,h,y\n1,2,dry\n\n8,9,wet\n,1,dry\nhot,1,dry\n2,2,\n")
    source = {"kind": "csv", "path": str(tmp_path / "w.csv")}
    succeeded, outputs, said = node([], source=source, node={"preset": "paper-base"})
    assert succeeded and [2, 4, 7] == [each["line"] for each in outputs]
    assert "w.csv, line 5: a local sample was refused: a value for feature 't' is missing" in said[0]
    assert "w.csv, line 6: feature 't' must be a number or true/false, got 'hot'" == said[1]


def _counts(result: tuple[bool, list[dict], list[str]]) -> tuple[bool, int, list[str]]:
    return result[0], len(result[1]), result[2]


def test_labels_that_find_no_sample_are_said(node: Callable[..., Any]) -> None:
    succeeded, outputs, said = node([*GOOD, '{"id":7,"y":"wet"}', '{"id":7,"x":{"t":9,"h":1}}', '{"id":8,"y":"wet"}'])
    assert succeeded and 3 == len(outputs)
    assert said[0].startswith("in, line 3: a label for id 7, but no sample of this device with that id awaits one")
    assert said[-1].startswith("in all 2 times (lines 3, 5): in, line 3: a label for id 7,")
    assert not node(['{"id":7,"y":"wet"}'])[0]


def test_an_id_that_comes_again_before_its_label_is_said(node: Callable[..., Any]) -> None:
    lines = [*GOOD, '{"id":7,"x":{"t":1,"h":1}}', '{"id":7,"x":{"t":9,"h":9}}', '{"id":7,"y":"wet"}']
    said = node(lines)[2]
    assert (
        said[0]
        == "in, line 4: id '7' came again before the label of its sample: a label now belongs to the newer sample"
    )


def test_the_second_cause_of_a_reason_is_said_too(node: Callable[..., Any]) -> None:
    lines = ['{"x":{"t":1,"h":1,"battery":9},"y":"dry"}'] * 2 + ['{"x":{"t":"9.5 C","h":1},"y":"wet"}'] * 50
    said = node([*GOOD, *lines])[2]
    assert "there is no feature 'battery'" in said[0] and "ignore" in said[0]
    assert "feature 't' must be a number or true/false, got '9.5 C'" in said[1]
    assert ["in all 50 times", "in all 2 times"] == [text.partition(" (lines")[0] for text in said[2:]]


@pytest.mark.parametrize(
    ("line", "taken"),
    [
        ('{"x":{"t":"9.5","h":" 8 "},"y":"wet"}', True),
        ('{"x":{"t":NaN,"h":8},"y":"wet"}', True),
        ('{"x":{"t":"unavailable","h":8},"y":"wet"}', True),
        ('{"x":{"t":1e999,"h":8},"y":"wet"}', False),
    ],
)
def test_numbers_as_text_and_missing_values_are_taken_infinite_ones_are_not(
    node: Callable[..., Any], line: str, taken: bool
) -> None:
    succeeded, outputs, said = node([line])
    assert (taken, int(taken)) == (succeeded, len(outputs))
    assert taken or "feature 't' must be within ±1e+38, got inf" in said[0]


def test_a_learner_that_takes_no_missing_values_says_which(node: Callable[..., Any]) -> None:
    succeeded, outputs, said = node(['{"x":{"t":null,"h":8},"y":"wet"}'], node={"preset": "paper-base"})
    assert (False, []) == (succeeded, outputs)
    assert said[0] == (
        "in, line 1: a local sample was refused: "
        "a value for feature 't' is missing, and this learner takes no missing values"
    )


def test_a_byte_order_mark_blank_lines_and_crlf_do_not_matter(node: Callable[..., Any]) -> None:
    data = b"\xef\xbb\xbf" + ("\r\n\r\n".join(GOOD) + "\r\n").encode()
    assert (True, 2, []) == _counts(node(data))


def test_a_feature_that_never_has_a_value_is_said(node: Callable[..., Any]) -> None:
    said = node(['{"a":{"t":1},"y":"dry"}'], source={"map": {"features": {"t": "a.t", "h": "a.hum"}}})[2]
    assert ["no sample had a value for 'h'"] == said


def test_predictions_name_the_device(node: Callable[..., Any]) -> None:
    lines = [f'{{"id":1,"device":"{name}","x":{{"t":{t},"h":1}}}}' for name, t in (("a", 1), ("b", 10))]
    outputs = node([*GOOD, *lines])[1]
    assert [None, None, "a", "b"] == [output.get("device") for output in outputs]


def test_the_process_ends_with_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "protovine", "node", "--plain", "s/n/1", "--listen", "tcp/127.0.0.1:0"),
            *("--schema", "schema.json", "--source", "stdin", "--sink", "stdout"),
        ],
        cwd=tmp_path,
        input="?\n",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (1, "") == (done.returncode, done.stdout)
    assert "protovine: not one message of the source could be used; the log says why" in done.stderr


# -- Causes. -----------------------------------------------------------------------------------------------------------


def test_causes_are_reported_at_a_bounded_rate_and_their_number_is_bounded() -> None:
    now_s, said = [0.0], []
    causes = Causes(lambda *report: said.append(report), clock=lambda: now_s[0])
    for second in range(int(2.5 * PERIOD_S)):
        now_s[0] = float(second)
        causes.add("features", f"wrong {second}", field="t", topic="a")
    assert [("features", "from 'a': wrong 0"), ("features", "from 'a': wrong 60 (61 times so far)")] == said[:2]
    assert 3 == len(said)
    for number in range(10 * CAUSES_MAX):
        causes.add("features", "wrong", field=f"t{number}", topic="\x1b[2J")
    assert CAUSES_MAX + 1 == len(causes.sorted()) and 10 * CAUSES_MAX + 150 == causes.messages
    most = causes.sorted()[0]
    assert (OTHERS, OTHERS, 9 * CAUSES_MAX + 1) == (most.field, most.topic, most.count)
    assert all(cause.topic.isprintable() for cause in causes.sorted())
    assert len(said) <= 3 + CAUSES_MAX


# -- What --check finds. -----------------------------------------------------------------------------------------------

MQTT = {"kind": "mqtt", "host": "localhost", "topics": ["a"]}


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"source": {**MQTT, "topics": ["a/#/b"]}}, "in a topic"),
        ({"source": {**MQTT, "topics": [""]}}, "a topic must be"),
        ({"source": {**MQTT, "topics": ["a+"]}}, "in a topic"),
        ({"source": {**MQTT, "topics": ["$share/a"]}}, "a shared topic is"),
        ({"source": {**MQTT, "host": "mqtt://localhost"}}, "host must be .*got 'mqtt://localhost': without a protocol"),
        ({"source": {**MQTT, "host": "localhost:1883"}}, "host must be .*: without a protocol, port or path"),
        ({"source": {**MQTT, "host": "broker/x"}}, "host must be "),
        ({"source": {**MQTT, "host": "two words"}}, "host must be "),
        ({"source": {**MQTT, "port": 70_000}}, "port must be between"),
        ({"source": {**MQTT, "ca_file": "nowhere.pem"}}, "ca_file: no such file"),
        ({"source": {**MQTT, "certificate_file": "c.pem", "key_file": "k.pem"}}, "certificate_file: no such file"),
        ({"source": {**MQTT, "username_env": "NO_SUCH_VARIABLE"}}, "which is not set"),
        ({"source": {**MQTT, "device": "a/{name}"}}, "is the only name in braces"),
        ({"source": {**MQTT, "device": "#/{device}"}}, "# must be the last level"),
        ({"source": {**MQTT, "map": {"topics": {"a": "wind"}}}}, "the schema has no feature 'wind'"),
        ({"source": {**MQTT, "map": {"topics": {"a": "t"}}, "combine_s": 1}}, "must name at least two"),
        ({"source": {**MQTT, "map": {"features": {"wind": "a"}}}}, "the schema has no feature 'wind'"),
        ({"source": {**MQTT, "map": {"features": {"t": "a..b"}}}}, "a path has names between dots"),
        ({"source": {**MQTT, "map": {"features": {"t": "a", "h": "a.b"}}}}, "must not go on where another one ends"),
        ({"source": {**MQTT, "map": {"x": "a", "features": {"t": "b"}}}}, "exclude each other"),
        ({"source": {**MQTT, "flat": True, "map": {"x": "a"}}}, "flat means"),
        ({"source": {**MQTT, "time_zone": "Mars/Base"}}, "time_zone must be a zone"),
        ({"source": {**MQTT, "words": {"5": 1}}}, "is a number or true/false already"),
        ({"source": {"kind": "stdin", "map": {"topics": {"a": "t"}}}}, "needs a source with topics"),
        ({"source": {"kind": "zenoh", "key": "a//b"}}, "key must be a Zenoh key expression"),
        ({"source": {"kind": "zenoh", "key": "a/**", "device": "a/**x"}}, "in a pattern"),
        ({"source": {"kind": "file", "path": "nowhere"}}, "no such file"),
        ({"source": {"kind": "csv", "path": "rows.csv"}}, "the schema has no feature 'wind'"),
        ({"source": {"kind": "csv", "path": "nowhere.csv"}}, "no such file"),
        ({"sink": {"kind": "zenoh", "key": "a/*"}}, "wildcard"),
        ({"sink": {"kind": "zenoh", "key": "/a"}}, "key must be a Zenoh key expression"),
        ({"sink": {"kind": "zenoh", "key": "a/{x}"}}, "is the only name in braces"),
        ({"sink": {"kind": "mqtt", "host": "localhost", "topic": "a/+"}}, "wildcards"),
        ({"sink": {"kind": "mqtt", "host": "tcp://b", "topic": "a"}}, "host must be "),
        ({"sink": {"kind": "file", "path": "nowhere/out"}}, "cannot be written: No such file"),
        ({"sink": {"kind": "file", "path": "folder"}}, "cannot be written: Is a directory"),
        ({"node": {"state": "rows.csv"}}, "cannot use the state folder .*: Not a directory"),
        ({"node": {"state": "rows.csv/state"}}, "cannot use the state folder"),
        ({"node": {"tape": "nowhere/tape"}}, "node.tape: .* cannot be written"),
        ({"node": {"metrics": "localhost"}}, "HOST:PORT"),
        ({"network": {**NETWORK, "listen": ["tcp/127.0.0.1:70000"]}}, "the port of an endpoint is from 1 to 65535"),
        ({"network": {**NETWORK, "listen": ["tcp/:1"]}}, "an endpoint is PROTOCOL/HOST:PORT"),
        ({"schema": "nowhere.json"}, "cannot be read"),
        ({"schema": "rows.csv"}, "not a schema in JSON"),
    ],
)
def test_check_finds_what_a_start_would_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tables: dict[str, Any], message: str
) -> None:
    pytest.importorskip("aiomqtt")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "rows.csv").write_text("wind,label\n1,dry\n")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((ConfigError, DataError), match=message) as found:
        prepare(settings(**tables))
    assert "\n" not in str(found.value)
    with pytest.raises((ConfigError, DataError), match=message):
        run_member(settings(**tables), lambda: settings(**tables))
    assert before == sorted(tmp_path.rglob("*"))


@pytest.mark.parametrize(
    ("assigned", "message"),
    [
        ("schema_=x", "unknown key 'schema_' (did you mean 'schema'?)"),
        ("xyzzy=1", "unknown key 'xyzzy' (known: control, drift, exchange, gossip, learner, network, node, schema, "),
        ("schema=1", "schema: input should be a valid string, got 1"),
        ("schema.features=1", "schema.features must be a list, such as [1], got 1"),
        (
            "schema={features = ['a'], classes = [1], feature = 1}",
            "unknown key 'schema.feature' (did you mean 'features'?)",
        ),
        ("schema={features = ['a'], classes = [[1]]}", "schema.classes.0: input should be a valid boolean, got [1]"),
        ("source={kind = 'zenoh', key = 'a', device = 1}", "source.device: input should be a valid string, got 1"),
        ("source={kind = 'zenoh', key = 'a', device = [1]}", "source.device.0: input should be a valid string, got 1"),
    ],
)
def test_a_wrong_key_is_named_as_a_person_writes_it(assigned: str, message: str) -> None:
    with pytest.raises(ConfigError) as found:
        settings(**assignment(assigned))
    assert str(found.value).startswith(message)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--state", ""], "node.state"),
        (["--set", "node.state= "], "node.state"),
        (["--set", "node.tape="], "node.tape"),
        (["--certificates", ""], "network.certificates"),
        (["--schema", ""], "schema"),
        (["--set", "control.token_file="], "control.token_file"),
        (["--set", "source={kind = 'file', path = ''}"], "source.path"),
        (["--set", "source={kind = 'mqtt', host = 'a', topics = ['a'], ca_file = ''}"], "source.ca_file"),
        (["--set", "sink={kind = 'file', path = ''}"], "sink.path"),
    ],
)
def test_an_empty_path_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], name: str) -> None:
    """It would mean the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "node.toml").write_text('[network]\nplain = true\nlisten = ["tcp/127.0.0.1:1"]\n')
    done = CliRunner().invoke(main, ["node", "node.toml", *words, "--check"])
    assert 2 == done.exit_code and done.stderr.startswith(f"protovine: {name} must name a file or folder, got '")
    assert 1 == len(done.stderr.splitlines())
    assert ["node.toml"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize(
    "words",
    [
        ["state", "import", "rows", ""],
        ["cert", "init", ""],
        ["run", "--data", "phishing", "--out", ""],
        ["status", "--connect", "tcp/127.0.0.1:1", "--certificates", ""],
    ],
)
def test_commands_refuse_an_empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows").touch()
    done = CliRunner().invoke(main, words)
    assert 2 == done.exit_code and "got ''" in done.stderr, done.output
    assert ["rows"] == [path.name for path in tmp_path.iterdir()]


def test_check_makes_nothing_and_connects_nothing(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(
        'schema = { features = ["t", "h"], classes = ["dry", "wet"] }\n'
        '[node]\nstate = "state/deep"\ntape = "tape"\n'
        '[network]\nplain = true\nswarm = "s"\nname = "n"\nid = 1\nlisten = ["tcp/127.0.0.1:1"]\n'
        '[source]\nkind = "mqtt"\nhost = "nowhere.invalid"\ntopics = ["a/+"]\ndevice = "a/{device}"\n'
        '[sink]\nkind = "file"\npath = "out"\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "protovine", "node", "node.toml", "--check"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ},
    )
    assert (0, "n, number 1 of swarm s: 2 features and 2 classes\n") == (done.returncode, done.stdout), done.stderr
    assert ["node.toml"] == [path.name for path in tmp_path.iterdir()]


def test_paths_in_a_file_count_from_its_folder_and_those_of_options_from_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, here = tmp_path / "etc", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    (home / "node.toml").write_text(
        'schema = "schema.json"\nnode = {state = "state", tape = "tape"}\ncontrol = {token_file = "token"}\n'
        'network = {certificates = "ann", listen = ["tcp/127.0.0.1:0"]}\nsource = {kind = "file", path = "in"}\n'
    )
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(tmp_path))
    above = {"node": {"tape": "tape"}, "source": {"path": "in"}, "sink": {"kind": "file", "path": "~/out"}}
    read = NodeSettings.read(Path("../etc/node.toml"), above)
    paths = (
        *(read.schema_, read.node.state, read.node.tape, read.control.token_file, read.network.certificates),
        *(read.source.path, read.sink.path),
    )
    found = [Path(path).resolve().relative_to(tmp_path).as_posix() for path in paths]
    assert ["etc/schema.json", "etc/state", "here/tape", "etc/token", "etc/ann", "here/in", "out"] == found
    assert "none" == NodeSettings.read(Path("../etc/node.toml"), {"node": {"state": "none"}}).node.state


def test_a_reader_that_goes_is_reported_while_the_node_runs(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    options = ["--schema", "schema.json", "--plain", "s/n/1", "--listen", "tcp/127.0.0.1:0", "--state", "none"]
    line = [sys.executable, "-m", "protovine", "node", *options, "--source", "stdin", "--sink", "stdout"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(line, cwd=tmp_path, text=True, **pipes) as child:
        child.stdin.write(f"{GOOD[0]}\n")
        child.stdin.flush()
        assert "prediction" in child.stdout.readline()
        child.stdout.close()
        stop = threading.Event()

        def feed() -> None:
            end_s = time.monotonic() + 60
            while not stop.wait(0.05) and time.monotonic() < end_s:
                child.stdin.write(f"{GOOD[1]}\n")
                child.stdin.flush()
            child.stdin.close()

        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            # Only while it is fed: as it ends it would say so in any case.
            assert any("standard output: cannot be written any more" in said for said in child.stderr)
            assert feeder.is_alive()
        finally:
            stop.set()
            feeder.join()
        child.stderr.read()
        assert 0 == child.wait(60)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"node": {"tape": "in"}}, "node.tape must be another file than source.path, got {}/in"),
        ({"node": {"tape": "schema.json"}}, "node.tape must be another file than schema, got {}/schema.json"),
        ({"node": {"tape": "link"}}, "node.tape must be another file than source.path, got {}/link"),
        (
            {"node": {"tape": "state/snapshot.bin", "state": "state"}},
            "node.tape must be another file than snapshot.bin in node.state, got {}/state/snapshot.bin",
        ),
        ({"node": {"tape": "node.toml"}}, "node.tape: {}/node.toml is there and is no tape: name another file"),
        (
            {"node": {"tape": "out"}, "sink": {"kind": "file", "path": "out"}},
            "sink.path must be another file than node.tape, got {}/out",
        ),
        (
            {"sink": {"kind": "file", "path": "node.toml"}},
            "path: {}/node.toml has no JSON lines: name another file, or one that is empty",
        ),
        (
            {"sink": {"kind": "file", "path": "schema.json"}},
            "sink.path must be another file than schema, got {}/schema.json",
        ),
    ],
)
def test_a_node_writes_into_no_file_that_is_something_else(
    tmp_path: Path, tables: dict[str, Any], message: str
) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "in").write_text("\n".join(GOOD))
    (tmp_path / "link").symlink_to("in")
    (tmp_path / "state").mkdir()
    (tmp_path / "node.toml").write_text(
        'schema = "schema.json"\nnode = {state = "none"}\nsource = {kind = "file", path = "in"}\n'
        'network = {plain = true, swarm = "s", name = "n", id = 1, listen = ["tcp/127.0.0.1:0"]}\n'
    )
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    at = {"tape", "path", "state"}
    above = {
        name: {key: str(tmp_path / value) if key in at else value for key, value in table.items()}
        for name, table in tables.items()
    }
    with pytest.raises(ConfigError) as refused:
        prepare(NodeSettings.read(tmp_path / "node.toml", above))
    assert message.format(tmp_path) == str(refused.value)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


def test_what_is_looked_at_before_a_start_covers_the_saved_state(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("\n".join(GOOD * 10))

    def made(**tables: Any) -> NodeSettings:
        source = {"kind": "file", "path": str(tmp_path / "in")}
        return settings(node={"state": str(tmp_path / "state")}, source=source, **tables)

    def found(fresh: bool = False, **tables: Any) -> list[str]:
        chosen = made(**tables)
        return [each.text for each in examine_here(chosen, prepare(chosen, fresh)) if each.state != "ok"]

    for _ in range(2):  # There is a previous snapshot, too.
        assert run_member(made(), made)
    assert [] == found() == found(exchange={"bits": 6})
    for other in ({"learner": {"size_max": 3}}, {"learner": {"kind": "xuilvq"}}):
        with pytest.raises(ConfigError, match="does not fit the settings"):
            found(**other)
        assert [] == found(fresh=True, **other)
    (tmp_path / "state" / "snapshot.bin").write_bytes(b"noise")
    (said,) = found()
    assert said.startswith(f"state: {tmp_path}/state/snapshot.bin is damaged, and a start sets it aside: ")
    (tmp_path / "state" / "snapshot.previous.bin").write_bytes(b"noise")
    assert "state: no snapshot is whole, so a start begins with nothing" == found()[2]
    assert b"noise" == (tmp_path / "state" / "snapshot.bin").read_bytes()
