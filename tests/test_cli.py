"""The command line as its users meet it; in a process of its own where only that shows something."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.commands import protovine

ROOT = Path(__file__).parent.parent


def process(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "protovine", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_run_prints_a_table_and_leaves_a_folder(tmp_path: Path) -> None:
    words = ("--limit", "150", "--seeds", "2", "--preset", "paper-isolated", "--preset", "paper-base", "--jobs", "1")
    done = process("run", *words, cwd=tmp_path)
    assert (0, "") == (done.returncode, done.stderr), "quiet in a pipe"
    assert "phishing: 5 nodes, 2 seeds" in done.stdout
    assert "±" in done.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    assert {"experiment.toml", "resolved.toml", "traces", "result.json", "report.html"} == {
        p.name for p in folder.iterdir()
    }
    assert f"runs/{folder.name}/report.html" in done.stdout
    replayed = protovine("replay", str(folder), "--preset", "paper-base", cwd=tmp_path)
    assert 0 == replayed.returncode
    assert [True, True] == [line.endswith(" same") for line in replayed.stdout.splitlines()[:2]]
    assert "2 of 2 runs came out the same" == replayed.stdout.splitlines()[2]


def test_json_is_one_object_on_standard_output(tmp_path: Path) -> None:
    done = protovine(
        "run", "--limit", "100", "--seeds", "1", "--preset", "paper-jsd", "-s", "2", "-T", "0.5", "--json", cwd=tmp_path
    )
    made = json.loads(done.stdout)
    assert {"fanout": 2, "share_probability": 0.5} == made["experiment"]["gossip"]
    assert 2 == made["experiment"]["resolved"]["paper-jsd"]["gossip"]["fanout"]


def test_every_option_reaches_its_setting(tmp_path: Path) -> None:
    (tmp_path / "links.txt").write_text("0 1\n1,2  # a comment\n")
    (tmp_path / "e.toml").write_text("seeds = 9\n[gossip]\nshare_probability = 0.9\nfanout = 3\n[link]\nloss = 0.5\n")
    options = (
        "--preset paper-base --data bananas --limit 120 --nodes 3 --split label-skew:0.5 -T 0.4 --order sequential "
        "--topology ./links.txt --rate 20 --arrivals clock --label-delay 0.1 --labelled 0.9 --train-rate 50 --seed 5 "
        "--seeds 1 --jobs 1 --set link.loss=0.1 --set gossip.fanout=2 --out out --positive true --holdout "
        "--byzantine label-flip:1 --schedule oldest"
    )
    done = protovine("run", "e.toml", *options.split(), "--json", cwd=tmp_path)
    assert 0 == done.returncode, done.stderr
    resolved = json.loads(done.stdout)["experiment"]["resolved"]["paper-base"]
    gossip = {"fanout": 2, "share_probability": 0.4, "schedule": "oldest", "schedule_parameters": {}}
    assert gossip == resolved["gossip"]
    swarm = {
        "nodes": 3,
        "split": "label-skew:0.5",
        "topology": str(tmp_path / "links.txt"),
        "rate_hz": 20.0,
        "order": "sequential",
        "arrivals": "clock",
        "label_delay_s": 0.1,
        "labelled": 0.9,
        "train_rate_hz": 50.0,
        "train_local": False,
        "clock_skew_s": 0.0,
        "clock_drift_ppm": 0.0,
        "centralised": False,
        "byzantine": "label-flip:1",
        "slow": {},
        "lag_s": 0.0,
        "feature_shift": 0.0,
        "devices": "",
        "trace_nodes": 1000,
    }
    assert swarm == resolved["swarm"]
    assert (120, "true", True) == tuple(resolved["data"][k] for k in ("limit", "positive", "holdout"))
    assert "bananas" == json.loads(done.stdout)["experiment"]["data"]["source"]
    assert 0.1 == resolved["link"]["loss"]
    assert [5] == [run["seed"] for run in json.loads(done.stdout)["runs"]]
    assert (tmp_path / "out" / "report.html").exists()


def test_a_budget_is_given_in_bytes_and_kept(tmp_path: Path) -> None:
    options = "--preset default --limit 300 --seeds 1 --budget 40 --json"
    done = protovine("run", *options.split(), cwd=tmp_path)
    assert 0 == done.returncode, done.stderr
    made = json.loads(done.stdout)
    assert 40 == made["experiment"]["exchange"]["budget_bytes_per_s"]
    (run,) = made["runs"]
    assert 0 < run["bytes_total"] / 5 <= 40 * (run["virtual_s"] + 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run --preset paper-jds", "unknown preset 'paper-jds' (did you mean 'paper-jsd'?)"),
        ("run --data phising", "unknown data set 'phising' (did you mean 'phishing'?)"),
        ("run --data nothing.csv", "no such file: nothing.csv"),
        ("run --data empty.csv", "empty.csv"),
        ("run --data header.csv", "header.csv"),
        ("run --data one.csv", "at least two classes"),
        ("run --data infinite.csv", "infinite.csv"),
        ("run --data bad.csv --label clas", "did you mean 'class'"),
        ("run -T 1.5", "gossip.share_probability must be between 0 and 1, got 1.5"),
        ("run -s 0", "gossip.fanout must be at least 1, got 0"),
        ("run --budget -5", "exchange.budget_bytes_per_s must be between 0 and"),
        ("run --byzantine flood:9", "Byzantine nodes must be 1 to 4 of 5, as ATTACK:COUNT, got 'flood:9'"),
        ("run --byzantine flod:1", "unknown attack 'flod' (did you mean 'flood'?)"),
        ("run bad.toml", "unknown key 'gosip' (did you mean 'gossip'?)"),
        ("run none.toml", "cannot read the experiment none.toml: No such file or directory"),
        ("run --set gossip", "--set takes key=value, got 'gossip'"),
        ("run --topology rign", "did you mean 'ring'"),
        ("run --split blocs", "did you mean 'blocks'"),
        ("run --out bad.toml/out", "cannot write to the output folder bad.toml/out: Not a directory"),
        ("run --out .", "is not empty"),
        ("replay .", "is no run folder"),
        ("data info nothing", "unknown data set 'nothing'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path, arguments: str, message: str) -> None:
    (tmp_path / "bad.toml").write_text("[gosip]\nT = 1\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("a,class\n")
    (tmp_path / "one.csv").write_text("a,class\n1,x\n2,x\n")
    (tmp_path / "infinite.csv").write_text("a,class\n1,x\ninf,y\n")
    (tmp_path / "bad.csv").write_text("a,class\n1,x\n2,y\n")
    before = sorted(tmp_path.iterdir())
    done = protovine(*arguments.split(), cwd=tmp_path)
    assert (2, "") == (done.returncode, done.stdout)
    assert message in done.stderr
    assert 1 == len(done.stderr.splitlines()), done.stderr
    assert before == sorted(tmp_path.iterdir()), "nothing was written"


@pytest.mark.parametrize("words", ["run --preset paper-jds", "run none.toml", "age calc -T 2", "age plan"])
def test_a_process_ends_as_the_command_does(tmp_path: Path, words: str) -> None:
    """The other tests run commands in their own process."""
    ended, done = process(*words.split(), cwd=tmp_path), protovine(*words.split(), cwd=tmp_path)
    assert (2, "", done.stderr) == (ended.returncode, ended.stdout, ended.stderr)
    assert 2 == done.returncode and 1 == len(done.stderr.splitlines())


def test_wrong_usage_is_exit_code_2(tmp_path: Path) -> None:
    assert 2 == process("run", "--no-such-option", cwd=tmp_path).returncode
    assert 2 == protovine("run", "--order", "loud", cwd=tmp_path).returncode
    assert 2 == protovine("runn", cwd=tmp_path).returncode


def test_missing_elec2_names_both_ways(tmp_path: Path) -> None:
    # River's folder is empty and its download is sent to a port where nothing listens.
    done = process(
        "run", "--data", "elec2", cwd=tmp_path, PROTOVINE_DATA="", HOME=str(tmp_path), https_proxy="http://127.0.0.1:9"
    )
    assert 2 == done.returncode
    assert "PROTOVINE_DATA" in done.stderr
    assert "River" in done.stderr


def test_data_commands(tmp_path: Path) -> None:
    listed = json.loads(protovine("data", "list", "--json", cwd=tmp_path).stdout)
    assert {
        "phishing",
        "bananas",
        "image-segments",
        "elec2",
        "sea",
        "agrawal",
        "hyperplane",
        "rbf-drift",
        "led-drift",
    } <= {entry["name"] for entry in listed}
    assert "phishing" in protovine("data", "list", cwd=tmp_path).stdout
    info = json.loads(protovine("data", "info", "phishing", "--json", cwd=tmp_path).stdout)
    assert (1250, 9, {"False": 702, "True": 548}) == (info["rows"], len(info["features"]), info["classes"])
    (tmp_path / "d.csv").write_text("colour,size,class\nred,1,x\nblue,,y\n")
    said = protovine("data", "info", "d.csv", cwd=tmp_path).stdout
    assert "colour=blue: 0 to 1" in said
    assert "note:" in said


def test_version() -> None:
    import protovine as package

    assert f"protovine {package.__version__}\n" == process("--version", cwd=ROOT).stdout


def long_run_under_way(folder: Path, output: int) -> subprocess.Popen:
    """A run in two processes, in a group of its own, that has finished at least two of its 160 runs."""
    # They are ready to run soonest, and short.
    presets = ("--preset", "paper-base", "--preset", "paper-isolated", "--limit", "500")
    process = subprocess.Popen(
        [sys.executable, "-m", "protovine", "run", *presets, "--out", "out", "--jobs", "2", "--seeds", "80"],
        cwd=folder,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    # Each process may still be busy with the last trace that it wrote.
    while len(list(folder.glob("out/traces/*.gz"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


def test_ctrl_c_leaves_a_valid_partial_folder(tmp_path: Path) -> None:
    process = long_run_under_way(tmp_path, subprocess.PIPE)
    os.killpg(process.pid, signal.SIGINT)  # As a terminal does: to the whole group.
    said = process.communicate(timeout=60)[0]
    assert 130 == process.returncode, said
    assert "Traceback" not in said
    assert "marked partial" in said
    kept = json.loads((tmp_path / "out" / "result.json").read_text())
    assert "partial" == kept["status"]
    assert 2 <= len(kept["runs"]) < 160
    traces = {f"{run['preset']}-seed{run['seed']}.jsonl.gz" for run in kept["runs"]}
    assert traces <= {path.name for path in (tmp_path / "out" / "traces").iterdir()}
    assert [] == list(tmp_path.rglob("*.part"))
    assert "the experiment was interrupted" in (tmp_path / "out" / "report.html").read_text()


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    process = long_run_under_way(tmp_path, subprocess.DEVNULL)
    process.kill()
    process.wait(timeout=30)
    deadline = time.monotonic() + 60
    while group_is_alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not group_is_alive(process.pid)
    assert "running" == json.loads((tmp_path / "out" / "result.json").read_text())["status"]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_table_cuts_nothing_in_a_narrow_terminal(columns: int) -> None:
    import io

    from rich.console import Console

    import protovine as package
    from protovine.experiments.report.tables import print_result

    presets = ["paper-isolated", "paper-base", "paper-queue", "paper-cluster"]
    result = package.run(package.Experiment(presets=presets, data={"limit": 100}, seeds=2))
    out = io.StringIO()
    print_result(result, Console(file=out, width=columns))
    shown = out.getvalue()
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= columns
    assert all(preset in shown for preset in presets)
    assert {60: 4, 80: 2, 120: 1}[columns] == shown.count("┏") == shown.count("mean age [s]")


def test_the_papers_numbers_are_shown_with_its_presets_and_f1_names_its_class() -> None:
    import io

    from rich.console import Console

    import protovine as package
    from protovine.experiments.report.pages import run as pages
    from protovine.experiments.report.tables import print_result

    def shown(**settings: Any) -> tuple[str, str]:
        result = package.run(package.Experiment(data={"limit": 60, **settings.pop("data", {})}, seeds=1, **settings))
        out = io.StringIO()
        print_result(result, Console(file=out, width=160))
        return " ".join(out.getvalue().split()), pages.render_report(result)

    of_paper = ("F1, as in the paper", "traffic, as in the paper [B/s]")
    text, html = shown(presets=["paper-base"])
    assert all(words in text for words in of_paper)
    assert html.index(of_paper[1]) < html.index("more metrics")
    assert "F1 is that of class True (the last in sorted order" in text and "F1 is that of class True" in html
    text, html = shown(presets=["isolated"], data={"positive": "false"})
    assert not any(words in text for words in of_paper)
    assert html.index(of_paper[1]) > html.index("more metrics")
    assert "F1 is that of class False" in text and "F1 is that of class False" in html
    assert (
        "F1 is the macro average over the classes" in shown(presets=["isolated"], data={"source": "image-segments"})[0]
    )


def test_data_info_names_the_label_and_how_it_was_chosen(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text("class,wind,rain\na,1,no\nb,2,yes\na,3,no\n")
    text = protovine(*["data", "info", "w.csv"], cwd=tmp_path).stdout
    assert "label rain: the last column; --label names another" in text
    assert "class no: 2 rows (66.7%)" in text and "F1 is that of class yes, the last one" in text
    named = ("data", "info", "w.csv", "--label", "class")
    assert "label class: as the option label says\n" in protovine(*named, cwd=tmp_path).stdout
    found = json.loads(protovine(*named, "--json", cwd=tmp_path).stdout)
    assert ("class", "as the option label says") == (found["label"], found["label_rule"])
    (tmp_path / "w.arff").write_text(
        "@relation w\n@attribute class {a,b}\n@attribute wind numeric\n@data\na,1\nb,2\na,3\n"
    )
    assert "label class: the class attribute of the file" in protovine(*["data", "info", "w.arff"], cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            "run --presets x",
            "no such option '--presets' (did you mean .*'--preset'.*\\?) (protovine run --help.*",
        ),
        ("nonsense", "no such command 'nonsense' (protovine --help says more)"),
        ("--foo", "no such option '--foo' (protovine --help says more)"),
        ("data inf", "no such command 'inf' (did you mean 'info'\\?) (protovine data --help says more)"),
        ("cert issue", "missing argument 'NAME' (protovine cert issue --help says more)"),
        ("run --seeds x", "invalid value for '--seeds': 'x' is not a valid integer (protovine run --help says more)"),
        ("run --preset", "option '--preset' requires an argument .*"),
        (
            "data info x --text z",
            "invalid value for '--text': 'z' is not one of 'one-hot', 'ordinal' (protovine.*",
        ),
    ],
)
def test_a_wrong_option_is_one_line_as_every_other_error(arguments: str, said: str, tmp_path: Path) -> None:
    done = protovine(*arguments.split(), cwd=tmp_path)
    assert (2, "") == (done.returncode, done.stdout)
    pattern = "protovine: " + said.replace("(", "\\(").replace(")", "\\)") + "\n"
    assert re.fullmatch(pattern, done.stderr), done.stderr


@pytest.mark.parametrize("arguments", ["", "data", "--help", "run --help"])
def test_help_is_still_help(arguments: str, tmp_path: Path) -> None:
    done = protovine(*arguments.split(), cwd=tmp_path)
    assert "Usage: protovine" in done.stdout + done.stderr and "Options:" in done.stdout + done.stderr


def group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_person_sees_progress_with_rate_and_time_left(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "protovine", "run", "--preset", "paper-base", "--seeds", "1", "--jobs", "1"],
        cwd=tmp_path,
        stdin=slave,
        stdout=subprocess.DEVNULL,
        stderr=slave,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(slave)
    shown, deadline = b"", time.monotonic() + 120
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.2)[0]:
            try:
                shown += os.read(master, 65536)
            except OSError:  # The terminal was closed.
                break
        elif process.poll() is not None:
            break
    os.close(master)
    assert 0 == process.wait(timeout=30)
    assert b"samples/s" in shown
    assert b"/1250" in shown
    assert b"0:00:0" in shown


@pytest.mark.slow
def test_a_wheel_works_outside_the_checkout(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith("report/pages/run.html.jinja") for name in names)
    assert any(name.endswith("LICENSE") for name in names)
    home = tmp_path / "venv"
    venv.create(home)
    python = home / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, str(wheel)], check=True, timeout=300)
    # Dependencies come from the environment that runs this test; its own protovine does not.
    ours = next(path for path in map(Path, sys.path) if path.name == "site-packages" and path.is_dir())
    (theirs,) = home.glob("lib/python*/site-packages")
    (theirs / "dependencies.pth").write_text(f"{ours}\n")
    # So do kernels, where they are compiled from what the wheel has too: tests/test_jit.py.
    for kept in (ROOT / "src").rglob("__pycache__/*.nb[ci]"):
        shutil.copy2(kept, theirs / kept.relative_to(ROOT / "src"))
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PROTOVINE_DATA")}
    where = subprocess.run(
        [python, "-c", "import protovine; print(protovine.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert where.startswith(str(home))
    done = subprocess.run(
        [home / "bin" / "protovine", "run", "--preset", "paper-base", "--limit", "100", "--seeds", "2", "--jobs", "2"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    assert "phishing: 5 nodes" in done.stdout


def test_age_calc_says_what_theory_says(tmp_path: Path) -> None:
    ended = protovine("age", "calc", "--nodes", "5", "-s", "4", "-T", "0.1", "--json", cwd=tmp_path)
    found = json.loads(ended.stdout)
    assert (1.0, 9.0, 0.0) == (found["mean_s"], found["version_mean"], found["error"])
    shown = protovine("age", "calc", "--topology", "ring", "-s", "1", "--forwarding", "source", cwd=tmp_path).stdout
    assert "p95_s         not known in closed form" in shown and "method        exact" in shown


def test_age_calc_says_what_a_busy_node_trains(tmp_path: Path) -> None:
    busy = ("age", "calc", "--rate", "5", "-T", "1", "--service-rate", "300")
    found = json.loads(protovine(*busy, "--delay", "fixed:0.1", "--discipline", "fifo", "--json", cwd=tmp_path).stdout)
    assert (0.059, 204.1) == pytest.approx((found["training"]["fraction_trained"], found["training"]["trained_mean_s"]))
    assert None is found["training"]["known_peak_s"]
    shown = protovine(*busy, "--set-size", "50", "--queue-max", "1000", cwd=tmp_path).stdout
    assert "fraction_trained  0.295" in shown and "known_mean_s      0.206808" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-T", "2"], "share_probability must be between 0 and 1, got 2"),
        (["--rate", "0"], "rate_hz must be between 1e-09 and 1e+06, got 0"),
        (["--fanout", "9"], "fanout must be between 1 and 4, got 9"),
        (["--delay", "nowhere"], "cannot read 'nowhere'"),
        (["--set-size", "9"], "--set-size needs --service-rate"),
        (["--service-rate", "0"], "service_hz must be between 0.001 and 1e+09, got 0"),
        (["--service-rate", "9", "--discipline", "lif"], "unknown discipline 'lif' (did you mean 'lifo'?)"),
        (["--service-rate", "9", "--schedule", "counter"], "--schedule must be coin, got 'counter'"),
        (["--service-rate", "9", "--delay", "exp:1"], "--delay must be none or fixed:S"),
    ],
)
def test_bad_ages_end_with_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    ended = protovine("age", "calc", *arguments, cwd=tmp_path)
    assert 2 == ended.returncode and message in ended.stderr and 1 == len(ended.stderr.splitlines())


def test_ages_are_measured_from_a_folder_and_from_a_trace(tmp_path: Path) -> None:
    options = "--preset paper-base --preset paper-isolated --limit 300 --seeds 1 --jobs 1 --out out"
    assert 0 == protovine("run", *options.split(), cwd=tmp_path).returncode
    done = protovine("age", "measure", "out", cwd=tmp_path)
    assert (0, "") == (done.returncode, done.stderr)
    assert "paper-base, seed 0: 20 pairs" in done.stdout
    assert "The assumptions hold, but too little was measured for an interval." in done.stdout
    assert "paper-isolated, seed 0: 20 pairs, 20 of them silent; no node received anything f" in done.stdout
    trace = "out/traces/paper-base-seed0.jsonl.gz"
    (alone,) = json.loads(protovine("age", "measure", trace, "--json", cwd=tmp_path).stdout)["runs"]
    found = protovine("age", "measure", "out", "--json", "--preset", "paper-base", "--figure", "ages.png", cwd=tmp_path)
    (run,) = json.loads(found.stdout)["runs"]
    assert 1.001 == pytest.approx(run["predicted"]["mean_s"])
    assert None is alone["predicted"]
    assert run["each"] == alone["each"]
    assert 20 == len(run["each"])
    assert b"\x89PNG" == (tmp_path / "ages.png").read_bytes()[:4]
    (tmp_path / "cut.jsonl.gz").write_bytes((tmp_path / trace).read_bytes()[:-200])
    for arguments, message in (
        ("cut.jsonl.gz", "cut.jsonl.gz is damaged"),
        (".", ". is no run folder"),
        ("out --figure a.png", "--figure draws one run, not 2"),
    ):
        wrong = protovine("age", "measure", *arguments.split(), cwd=tmp_path)
        assert 2 == wrong.returncode, arguments
        assert message in wrong.stderr
        assert 1 == len(wrong.stderr.splitlines())


def test_age_plan_says_what_to_run(tmp_path: Path) -> None:
    found = json.loads(
        protovine("age", "plan", "--budget", "100", "--message-bytes", "25", "--json", cwd=tmp_path).stdout
    )
    best = found["recommended"]
    assert ("age-threshold", 4, 0.1, 100.0) == (
        best["schedule"],
        best["fanout"],
        best["share_probability"],
        best["bytes_per_s"],
    )
    assert 0.505 == pytest.approx(best["mean_s"]) and 4.8 == pytest.approx(found["sequential_ratio"])
    assert ["coin", "round-robin", "counter", "age-threshold"] == [each["schedule"] for each in found["schedules"]]
    ended = protovine("age", "plan", "--target-mean", "1", "--figure", "plan.svg", cwd=tmp_path)
    assert (
        "gossip.schedule = age-threshold, gossip.fanout = 4, gossip.share_probability = 0.0501257 (mean age 1 s"
        in ended.stdout
    )
    assert (tmp_path / "plan.svg").read_text().lstrip().startswith("<?xml")
    shown = protovine(
        "age", "plan", "--budget", "1000", "--topology", "ring", "--forwarding", "peers", cwd=tmp_path
    ).stdout
    assert "unknown" in shown and "Left out: round-robin, counter, age-threshold; with forwarding" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("age calc --seed -1", "seed must be >= 0, got -1"),
        ("age plan --target-mean 1 --seed -1", "seed must be >= 0, got -1"),
        ("age calc --loss 1 --figure x.png", "with loss = 1 no message ever arrives"),
        ("age calc --rate 1e-300", "rate_hz must be between 1e-09 and 1e+06, got 1e-300"),
        ("age calc --schedule counter -T 1e-300", "share_probability must be 0, or at least 1e-09, got 1e-300"),
        ("age calc --service-rate 1e300", "service_hz must be between 0.001 and 1e+09, got 1e+300"),
        ("age plan --budget 1e-9", "the budget allows one share in 3,999,999,999,996 samples; the most that is tried"),
        (
            "data devices d.csv --seconds 1e9 --up 1 --down 1",
            "the trace would have about 5,000,000,005 rows, and must have at most 5,000,000",
        ),
        ("data devices d.csv --up 5", "--up 5 needs --down"),
    ],
)
def test_numbers_beyond_any_swarm_are_one_line_at_once(words: str, message: str, tmp_path: Path) -> None:
    """They ended in tracebacks, or did not end."""
    done = protovine(*words.split(), cwd=tmp_path)
    assert 2 == done.returncode
    assert done.stderr.startswith(f"protovine: {message}") and 1 == len(done.stderr.splitlines())


def test_a_share_probability_that_a_plan_prints_can_be_typed_in(tmp_path: Path) -> None:
    """Plans print `1/7`, which -T refused; `age measure` then said that 1/T is 7, not a whole number."""
    shown = protovine("age", "plan", "--target-mean", "0.4", cwd=tmp_path).stdout
    assert "1/7" in shown and "sequential (for comparison)" in shown
    ages = {}
    for T in ("1/7", repr(1 / 7)):
        done = protovine("age", "calc", "--schedule", "counter", "-T", T, "--json", cwd=tmp_path)
        ages[T] = json.loads(done.stdout)["mean_s"]
    assert set(ages.values()) == {0.4}
    words = ("--preset", "paper-base", "--schedule", "counter", "--limit", "300", "--seeds", "1")
    for T, out in (("1/7", "a"), ("0.142857", "b")):
        assert 0 == protovine("run", *words, "-T", T, "--out", out, cwd=tmp_path).returncode
        assert "whole number" not in protovine("age", "measure", out, cwd=tmp_path).stdout
    for T in ("1/0", "x", "1/2/3"):
        refused = protovine("run", "-T", T, cwd=tmp_path)
        assert 2 == refused.returncode and f"got '{T}'" in refused.stderr


def test_age_plan_of_peers(tmp_path: Path) -> None:
    (tmp_path / "peers.txt").write_text("1:1\n" * 4)
    ended = protovine("age", "plan", "--budget", "5", "--peer", "./peers.txt", "--peer", "16:1", "--json", cwd=tmp_path)
    found = json.loads(ended.stdout)
    assert ([0.625] * 4 + [2.5], 0.64, 1.0) == (
        found["rates_hz"],
        pytest.approx(found["weighted_mean_s"]),
        pytest.approx(found["equal_rates_mean_s"]),
    )
    shown = protovine("age", "plan", "--target-mean", "0.64", "--peer", "1:1", "--peer", "16:1", cwd=tmp_path).stdout
    assert "Weighted mean age 0.64 s at" in shown


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_age_calc_draws(ending: str, tmp_path: Path) -> None:
    ended = protovine("age", "calc", "--figure", f"age.{ending}", "--json", cwd=tmp_path)
    assert (0, 1.0) == (ended.returncode, json.loads(ended.stdout)["mean_s"])
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert (tmp_path / f"age.{ending}").read_bytes().startswith(starts[ending])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one goal is needed of --target-mean, --target-p95 and --budget, got none"),
        (["--target-mean", "1", "--budget", "5"], "got --target-mean and --budget"),
        (
            ["--target-mean", "0.05"],
            "the least is 0.1 s, with schedule 'coin', fanout 4 and share probability 1, at 4000 bytes per node",
        ),
        (["--target-mean", "-1"], "mean_s must be a finite number > 0, got -1"),
        (["--budget", "0"], "budget_bps must be a finite number > 0, got 0"),
        (["--budget", "5", "--rate", "-1"], "rate_hz must be between 1e-09 and 1e+06, got -1"),
        (["--budget", "5", "-s", "9"], "fanout must be between 1 and 4, got 9"),
        (["--budget", "5", "--topology", "./pieces.txt"], "does not connect nodes 0 and 2: their ages are infinite"),
        (["--budget", "5", "--forwarding", "source"], "unknown forwarding 'source'"),
        (["--budget", "5", "--figure", "plan.gif"], "a figure must end in .png, .svg or .pdf, got 'plan.gif'"),
        (["--budget", "5", "--figure", "no/plan.png"], "there is no folder 'no'"),
        (["--budget", "5", "--peer", "1:1", "--nodes", "4"], "with --peer there is no --nodes"),
        (["--target-p95", "5", "--peer", "1:1"], "with --peer there is no --target-p95"),
        (["--budget", "5", "--peer", "1"], "a peer is WEIGHT:BYTES"),
        (["--target-mean", "0.01", "--peer", "1:1"], "cannot be met; the least is 0.1 s"),
    ],
)
def test_bad_plans_end_with_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "pieces.txt").write_text("0 1\n2 3\n3 4\n")
    ended = protovine("age", "plan", *arguments, cwd=tmp_path)
    assert 2 == ended.returncode and message in ended.stderr and 1 == len(ended.stderr.splitlines())
    assert "" == ended.stdout


@pytest.mark.parametrize("line", ["swarm --limit 100", "cert init x --swarm b", "node x.toml"])
def test_without_the_extra_a_command_says_what_to_install(tmp_path: Path, line: str) -> None:
    (tmp_path / "x.toml").write_text("")
    code = (
        "import sys\n"
        "class Nothing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'cryptography': raise ImportError('no', name=name)\n"
        "sys.meta_path.insert(0, Nothing())\n"
        "from protovine.cli import main\n"
        f"main({line.split()!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert 2 == done.returncode
    assert "protovine: this needs cryptography: pip install 'protovine[net]'\n" == done.stderr


def groups_of_commands() -> list[tuple[list[str], Any]]:
    import click

    from protovine.cli import main

    found: list[tuple[list[str], Any]] = [([], main)]
    for path, group in found:  # It grows while it is read.
        found += [([*path, name], each) for name, each in group.commands.items() if isinstance(each, click.Group)]
    return found


@pytest.mark.parametrize("columns", [52, 80])
@pytest.mark.parametrize(
    ("path", "group"), groups_of_commands(), ids=[" ".join(path) or "main" for path, _ in groups_of_commands()]
)
def test_help_lists_commands_with_whole_sentences(path: list[str], group: Any, columns: int) -> None:
    import inspect

    import click

    # click leaves two columns of a terminal free.
    shown = group.get_help(click.Context(group, info_name=" ".join(path), terminal_width=columns - 2))
    listed = shown.partition("\nCommands:\n")[2]
    assert "..." not in listed
    assert max(map(len, listed.splitlines())) <= columns
    for name, command in group.commands.items():
        about = " ".join(inspect.cleandoc(command.help or "").split("\n\n")[0].split())
        sentence = command.short_help or about.partition(". ")[0].removesuffix(".") + "."
        assert f"{name} {sentence}" in " ".join(listed.split())
    # In a terminal of the usual width each is one line.
    assert columns < 80 or len(group.commands) == len(listed.splitlines())
