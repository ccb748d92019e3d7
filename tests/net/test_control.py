"""Commands of operators: what a node does for the right ones, and what it says to all others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from protovine.errors import ConfigError
from protovine.net import Envelope, MemberName, issue, load_identity, load_trust
from protovine.net.control import CHALLENGE_S, CHALLENGE_S_MAX, COMMANDS_BURST, Control
from protovine.net.operate import ControlTable, Done, Operator, control_key, load_signer
from protovine.net.ops.metrics import read
from protovine.net.runtime import Runtime
from protovine.net.security.commands import (
    COMMAND_BYTES_MAX,
    Action,
    Challenge,
    Command,
    ControlKey,
    Cut,
    Mend,
    Outcome,
    PauseSharing,
    ResumeSharing,
    Retune,
    Signer,
    Stop,
    action_of,
    read_challenge,
)
from protovine.net.transport import Endpoints
from protovine.records import SECOND_NS, Commanded, Record
from tests.net.conftest import NOW
from tests.net.loopback import Wire, make_runtime, sample, swarm, until

TOKEN = "correct-horse-battery-staple-and-more"
KEY = ControlKey(TOKEN, "barn")
ANN = MemberName("barn", "ann", 0)


def play(what: Callable) -> None:
    asyncio.run(what())


def challenge_of(control: Control) -> Challenge:
    return read_challenge(control.answer(b""))


def give(
    control: Control, action: Action, key: ControlKey = KEY, signer: Signer | None = None, **changes: object
) -> Outcome:
    """What a node answers to a command, whose challenge may have other fields."""
    challenge = msgspec.structs.replace(challenge_of(control), **changes)
    data, mac = key.write(Command(challenge, "kim", action), signer)
    outcome, proved = key.read_answer(mac, control.answer(data))
    # Only a node with the same token can prove its answer.
    assert proved == (outcome.reason not in ("token", "malformed", "oversize")), outcome
    return outcome


def bytes_of(control: Control, action: Action) -> bytes:
    return KEY.write(Command(challenge_of(control), "kim", action), None)[0]


def reason(control: Control, data: bytes) -> str:
    return KEY.read_answer(b"", control.answer(data))[0].reason


def test_the_right_token_changes_how_a_node_shares() -> None:
    records: list[Record] = []

    async def what() -> None:
        async with swarm("ann", "bob", record=records.append) as (ann, bob):
            ann.control = control = Control(ann, ANN, KEY)
            assert {"fanout": 9, "share_probability": 1.0, "budget_bytes_per_s": None, "paused": False, "cut": []} == (
                ann.status()["control"]
            )

            def share(count: int) -> None:
                for i in range(count):
                    ann.take(sample(0.1 * i, 0))

            def sent() -> int:
                return ann.tally.sent[1, "share"]

            share(4)
            assert 3 <= sent()
            assert "done" == give(control, PauseSharing()).reason
            assert "done" == give(control, PauseSharing()).reason
            before = sent()
            share(4)
            assert before == sent()
            assert (True, 1.0) == (control.status()["paused"], control.status()["share_probability"])
            assert "share_probability = 0.5" == give(control, Retune(share_probability=0.5)).text
            share(4)
            assert before == sent()
            assert "done" == give(control, ResumeSharing()).reason
            assert 0.5 == ann.node.exchange.tuning.share_probability
            assert "done" == give(control, Retune(share_probability=1.0, fanout=3)).reason
            share(4)
            assert before + 4 == sent()
            assert (3, 1.0) == ann.node.exchange.tuning[:2]

            # A cut link carries nothing, either way.
            await until(lambda: bob.tally.received[0, "share"] == sent())
            assert "cut the link to bob" == give(control, Cut(1)).text
            assert [1] == control.status()["cut"]
            share(2)
            assert before + 4 == sent()
            trained = ann.node.views[1].accepted
            bob.take(sample(5.0, 1))
            bob.take(sample(6.0, 1))
            await until(lambda: ann.tally.refused[1, "cut"] > 0)
            assert trained == ann.node.views[1].accepted
            assert "restored the link to bob" == give(control, Mend(1)).text
            share(1)
            assert before + 5 == sent()
            bob.take(sample(7.0, 1))
            await until(lambda: ann.node.views[1].accepted > trained)

            values = read(ann).labelled["commands"], read(ann).values
            assert {("done",): 7, ("node",): 0, ("operator",): 0, ("replay",): 0, ("token",): 0} == values[0]
            assert (False, 0) == (values[1]["sharing_paused"], values[1]["links_cut"])
            assert read(bob).labelled.get("commands") is None and bob.status()["control"] is None
            assert "stop" == give(control, Stop()).text
            await until(lambda: ann._stopped.is_set())

    play(what)
    commands = [record for record in records if isinstance(record, Commanded)]
    assert 8 == len(commands)
    assert {(0, "kim (not proved)")} == {(each.node, each.by) for each in commands}
    assert ["pause sharing", "pause sharing", "share_probability = 0.5"] == [each.command for each in commands[:3]]


def test_what_is_not_the_operators_is_refused_and_said(caplog: pytest.LogCaptureFixture) -> None:
    async def what() -> None:
        async with swarm("ann", "bob") as (ann, bob):
            control, other = Control(ann, ANN, KEY), Control(bob, MemberName("barn", "bob", 1), KEY)
            before = ann.node.exchange.tuning

            wrong = ControlKey(TOKEN + "x", "barn")
            assert "token" == give(control, Stop(), wrong).reason
            assert "token" == give(control, Stop(), ControlKey(TOKEN, "shed")).reason
            data = bytes_of(control, Retune(fanout=2))
            for damaged in (data[:-1] + bytes([data[-1] ^ 1]), data.replace(b"kim", b"tim")):
                assert "token" == reason(control, damaged)
            for garbage in (b"x", data[:-1], data + b"x", b"\xff" * 100, b"\x92\xc4\x00\xc4\x00", b"\x91" * 4000):
                assert "malformed" == reason(control, garbage)
            assert "oversize" == reason(control, bytes(COMMAND_BYTES_MAX + 1))

            assert "the command is for bob of barn" == give(other, Stop(), name="ann", id=0).text.replace("ann", "bob")
            for changes in ({"name": "bob"}, {"id": 1}, {"swarm": "shed"}):
                assert "node" == give(control, Stop(), **changes).reason
            for changes in ({"incarnation": 7}, {"value": bytes(16)}):
                assert "replay" == give(control, Stop(), **changes).reason
            assert before == ann.node.exchange.tuning and not ann._stopped.is_set()

            # The damaged commands used nothing up: the right one is carried out, and only once.
            assert "done" == reason(control, data)
            assert 2 == ann.node.exchange.tuning.fanout
            assert "done" == give(control, Retune(fanout=5)).reason
            assert ["replay", "replay"] == [reason(control, data), reason(control, data)]
            assert 5 == ann.node.exchange.tuning.fanout

            assert "met no member 77" in give(control, Cut(77)).text
            assert "not cut" in give(control, Mend(1)).text
            assert "has no budget" in give(control, Retune(budget_bytes_per_s=5.0)).text
            assert (5, 1.0, None) == ann.node.exchange.tuning
            assert 2 == ann.tally.commands["done"]

    caplog.set_level(logging.INFO, logger="protovine")
    play(what)
    assert "kim (not proved): fanout = 2" in caplog.messages
    assert any(text.startswith("refused a command of somebody: the token") for text in caplog.messages)
    assert not any(TOKEN in str(record.__dict__) for record in caplog.records)


@pytest.mark.parametrize(
    "table",
    [
        {"do": "retune"},
        {"do": "retune", "share_probability": float("nan")},
        {"do": "retune", "share_probability": float("inf")},
        {"do": "retune", "share_probability": -0.1},
        {"do": "retune", "share_probability": 1.1},
        {"do": "retune", "share_probability": "1"},
        {"do": "retune", "fanout": 0},
        {"do": "retune", "fanout": 1.5},
        {"do": "retune", "fanout": True},
        {"do": "retune", "fanout": 2**70},
        {"do": "retune", "budget_bytes_per_s": float("nan")},
        {"do": "retune", "budget_bytes_per_s": -1.0},
        {"do": "retune", "budget_bytes_per_s": 1e13},
        {"do": "retune", "fanout": 1, "more": 1},
        {"do": "cut"},
        {"do": "cut", "peer": -1},
        {"do": "cut", "peer": 1.0e9},
        {"do": "stop", "peer": 1},
        {"do": "explode"},
        {"do": None},
        {},
        [],
        None,
    ],
)
def test_values_out_of_range_are_refused_before_and_after_the_wire(table: object) -> None:
    with pytest.raises(ConfigError, match="not a command"):
        action_of(table)

    async def what() -> None:
        async with swarm("ann") as (ann,):
            control = Control(ann, ANN, KEY)
            before = ann.node.exchange.tuning
            # An operator that has the token sends what no client of ours would.
            try:
                packed = msgspec.msgpack.encode([challenge_of(control), "kim", table])
            except OverflowError:
                return
            signed = msgspec.msgpack.encode([packed, b"", b""])
            mac = KEY._mac(b"protovine command", signed)
            outcome, proved = KEY.read_answer(mac, control.answer(msgspec.msgpack.encode([signed, mac])))
            assert ("value", True) == (outcome.reason, proved)
            assert before == ann.node.exchange.tuning and not ann.tally.commands["done"]

    play(what)


def test_a_command_that_was_held_back_or_is_of_an_earlier_start_is_refused() -> None:
    async def what() -> None:
        now_ns = 10**18

        async with swarm("ann") as (ann,):
            ann.clock.steady = lambda: now_ns
            control = Control(ann, ANN, KEY)
            data = bytes_of(control, Retune(fanout=2))
            assert challenge_of(control) == challenge_of(control)
            now_ns += (CHALLENGE_S + 1) * SECOND_NS  # Asking now would give another challenge.
            assert "done" == reason(control, data)
            data, first = bytes_of(control, Retune(fanout=3)), challenge_of(control)
            now_ns += (CHALLENGE_S_MAX + 1) * SECOND_NS
            assert "replay" == reason(control, data)
            assert first != challenge_of(control)
            data = bytes_of(control, Retune(fanout=3))
            assert "replay" == reason(Control(ann, ANN, KEY), data), "the process has started again"
            assert "done" == reason(control, data)
            assert 3 == ann.node.exchange.tuning.fanout

    play(what)


def test_floods_are_bounded() -> None:
    async def what() -> None:
        async with swarm("ann") as (ann,):
            ann.clock.steady = lambda: 10**18
            control = Control(ann, ANN, KEY)
            given = [give(control, Retune(fanout=1 + i)).reason for i in range(COMMANDS_BURST + 3)]
            assert ["done"] * COMMANDS_BURST + ["flood"] * 3 == given
            assert COMMANDS_BURST == ann.node.exchange.tuning.fanout
            silent = [control.answer(b"") is None for _ in range(300)]
            assert not silent[0] and silent[-1], "queries are bounded, too"
            queries = [object()] * 200

            async def replies() -> None:
                for query in queries:
                    control._asked(query)

            control._reply = lambda query: None  # type: ignore[method-assign]
            await replies()
            assert 64 == control._waiting

    play(what)


def test_a_swarm_with_certificates_hears_operators_only(home: Path, tmp_path: Path) -> None:
    authority = home / "authority"
    issue(authority, "kim", tmp_path / "kim", now=NOW, operator=True)
    issue(authority, "lee", tmp_path / "lee", now=NOW, operator=True)
    issue(home / "twin" / "authority", "kim", tmp_path / "twin", now=NOW, operator=True)
    kim, lee, twin = (load_signer(tmp_path / name) for name in ("kim", "lee", "twin"))
    member = load_identity(home / "bob")
    with pytest.raises(ConfigError, match="is of member bob, and only operators give commands"):
        load_signer(home / "bob")

    async def what() -> None:
        trust = load_trust(authority)
        envelope = Envelope(load_identity(home / "ann"), trust, incarnation=1, schema=b"v1")
        records: list[Record] = []
        ann: Runtime = make_runtime(Wire(), 0, envelope, record=records.append)
        ann.now_ns = lambda: int(NOW.timestamp()) * SECOND_NS + SECOND_NS  # type: ignore[method-assign]
        control = Control(ann, ANN, KEY)
        for signer, words in (
            (None, "the command has none"),
            (Signer(member.certificate, member.key), "bob is a member, and only operators give commands"),
            (twin, "the certificate is not valid"),
            (Signer(kim.certificate, lee.key), "kim did not sign this command"),
        ):
            outcome = give(control, Retune(fanout=2), signer=signer)
            assert ("operator", True) == (outcome.reason, words in outcome.text), outcome
        assert 9 == ann.node.exchange.tuning.fanout
        assert "token" == give(control, Retune(fanout=2), ControlKey("y" * 40, "barn"), kim).reason
        assert "done" == give(control, Retune(fanout=2), signer=kim).reason
        assert "done" == give(control, Retune(fanout=3), signer=lee).reason
        assert ["operator kim", "operator lee"] == [record.by for record in records if isinstance(record, Commanded)]
        ann.trusting._envelope.update_trust(
            type(trust)(trust.certificate, frozenset([kim.certificate.serial_number]), trust.number + 1), ann.now_ns()
        )
        outcome = give(control, Retune(fanout=4), signer=kim)
        assert ("operator", True) == (outcome.reason, "was revoked" in outcome.text)
        assert 3 == ann.node.exchange.tuning.fanout

    play(what)


def test_a_node_that_was_started_to_share_nothing_cannot_begin() -> None:
    async def what() -> None:
        async with swarm("ann") as (ann,):
            ann.node.exchange.schedule.retune(None, 0.0)
            control = Control(ann, ANN, KEY)
            for action in (Retune(share_probability=0.5), PauseSharing(), ResumeSharing()):
                assert "share nothing" in give(control, action).text
            assert "done" == give(control, Retune(fanout=2)).reason

    play(what)


def test_tokens_are_long_secret_and_in_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="can be read by others: chmod 600"):
        ControlTable(token_file=str(file)).key("barn")
    file.chmod(0o600)
    key = ControlTable(token_file=str(file)).key("barn")
    assert KEY._key == key._key and TOKEN not in repr(key)
    for text, words in (("short", "got 5 characters"), ("ü" * 40, "visible ASCII"), ("a b" * 20, "visible ASCII")):
        file.write_text(text)
        with pytest.raises(ConfigError, match=words) as caught:
            ControlTable(token_file=str(file)).key("barn")
        assert str(file) in str(caught.value) and text not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot read"):
        ControlTable(token_file=str(tmp_path / "none")).key("barn")
    with pytest.raises(ConfigError, match="exclude each other"):
        ControlTable(token_file=str(file), token_env="X").key("barn")
    monkeypatch.delenv("PROTOVINE_CONTROL_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="no control token in environment variable PROTOVINE_CONTROL_TOKEN"):
        control_key(None, None, "barn")
    monkeypatch.setenv("MY_TOKEN", TOKEN)
    assert KEY._key == ControlTable(token_env="MY_TOKEN").key("barn")._key
    assert ControlTable().key("barn") is None


def test_an_operator_tries_again_after_another_and_believes_no_answer_without_proof(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def what() -> None:
        async with swarm("ann") as (ann,):
            control = Control(ann, ANN, KEY)
            kim = Operator("barn", Endpoints([], ["tcp/127.0.0.1:1"], "client"), KEY, by="kim")
            between: list[Callable[[bytes], bytes | None]] = []

            def query(session: object, swarm: str, member: int, what: str, timeout_s: float, data: bytes = b"") -> dict:
                """As the network, which may do something else with one command."""
                answer = between.pop()(data) if data and between else control.answer(data)
                return {} if answer is None else {member: answer}

            class Session:
                def close(self) -> None: ...

            monkeypatch.setattr("protovine.net.operate.open_session", lambda endpoints, denied: Session())
            monkeypatch.setattr("protovine.net.operate.query", query)

            def send(action: Action) -> Done:
                (done,) = kim.send([(0, action)])
                return done

            def faster(data: bytes) -> bytes | None:
                assert "done" == give(control, Retune(fanout=7)).reason
                return control.answer(data)

            between.append(faster)
            assert send(Retune(share_probability=0.5)).good
            assert (7, 0.5) == ann.node.exchange.tuning[:2]

            forged = ControlKey("f" * 40, "barn").write_answer(b"x", Outcome("done", "fanout = 2"))
            unproved = KEY.write_answer(b"", Outcome("done", "fanout = 2"))
            old: list[bytes] = []
            between.append(lambda data: old.append(control.answer(data)) or old[0])
            assert send(Retune(fanout=3)).good
            for answer, reason in ((forged, "done"), (unproved, "done"), (old[0], "done"), (b"\xff", "malformed")):
                between.append(lambda data, answer=answer: answer)
                done = send(Retune(fanout=2))
                assert (reason, False) == (done.reason, done.good)
            between.append(lambda data: None)
            assert "gave no answer: perhaps it was done, perhaps not" == send(Stop()).text
            assert 3 == ann.node.exchange.tuning.fanout

    play(what)
