"""Commands to running nodes from outside: the token, where it is kept, and the operator that uses it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from protovine.errors import ConfigError, RemoteProtocolError
from protovine.net.asking import query
from protovine.net.security.commands import (
    DONE,
    Action,
    Challenge,
    Command,
    ControlKey,
    Outcome,
    Signer,
    read_challenge,
)
from protovine.net.security.identity import OperatorName, check_key, name_of, read_certificate, read_file, read_key
from protovine.net.transport import Endpoints, open_session
from protovine.system import Section

TOKEN_ENV = "PROTOVINE_CONTROL_TOKEN"


class ControlTable(Section):
    """Where the token for commands is; without one the node takes none."""

    token_env: str | None = Field(
        None,
        description="environment variable with the token of operators who may change the running node, such as "
        f"`{TOKEN_ENV}` ([control](../how-to/watch.md#control-real-nodes)); none by default",
    )
    token_file: str | None = Field(None, description="file with the token, which only its owner can read (mode 0600)")

    def key(self, swarm: str) -> ControlKey | None:
        """The key that commands must have; None if the node takes none.

        Raises
        ------
        ConfigError
            Both keys are given, there is no token, others can read it, or it is too short.
        """
        if self.token_env is None and self.token_file is None:
            return None
        if self.token_env is not None and self.token_file is not None:
            raise ConfigError("control.token_env and control.token_file exclude each other")
        return control_key(self.token_env, self.token_file, swarm)


def control_key(token_env: str | None, token_file: str | Path | None, swarm: str) -> ControlKey:
    """The key of the token in a file or an environment variable; `ConfigError` as `ControlTable.key`."""
    if token_file is not None:
        where, path = str(token_file), Path(token_file)
        check_key(path)
        text = read_file(path).decode("ascii", "replace")
    else:
        where = f"environment variable {token_env or TOKEN_ENV}"
        text = os.environ.get(token_env or TOKEN_ENV, "")
        if not text:
            raise ConfigError(f"there is no control token in {where}")
    try:
        return ControlKey(text.strip(), swarm)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def load_signer(folder: Path) -> Signer:
    """The operator's certificate and key in a folder; `ConfigError` if it is a member's, or a file cannot be used."""
    certificate, path = read_certificate(folder / "member.pem"), folder / "member.key"
    check_key(path)
    name = name_of(certificate)
    if not isinstance(name, OperatorName):
        raise ConfigError(
            f"{folder / 'member.pem'} is of member {name.name}, and only operators give commands: "
            "protovine cert issue NAME --operator"
        )
    return Signer(certificate, read_key(path))


class Done(NamedTuple):
    """What came of a command to a node: `done` or a reason, in words, and whether the node proved its answer."""

    node: int
    reason: str
    text: str
    proved: bool

    @property
    def good(self) -> bool:
        """Whether the node says that it did it, and has the token."""
        return self.proved and self.reason == DONE


class Operator:
    """Gives commands to the members of a running swarm.

    Parameters
    ----------
    swarm : str
    endpoints : Endpoints
        Whom to dial, as a client.
    key : ControlKey
        Of the token.
    signer : Signer or None
        The operator's certificate; none on an open network.
    by : str
        What the operator calls itself, for logs.
    timeout_s : float
        How long to wait for each answer.
    denied : iterable of str
        Common names of revoked certificates.
    """

    def __init__(
        self,
        swarm: str,
        endpoints: Endpoints,
        key: ControlKey,
        signer: Signer | None = None,
        by: str = "",
        timeout_s: float = 2.0,
        denied: Iterable[str] = (),
    ) -> None:
        self.swarm, self.endpoints, self.timeout_s, self.denied = swarm, endpoints, timeout_s, frozenset(denied)
        self._key, self._signer, self._by = key, signer, by

    def send(self, commands: Sequence[tuple[int, Action]]) -> list[Done]:
        """Give commands to members by id, one after the other; `ConfigError` if nobody can be reached."""
        session = open_session(self.endpoints, self.denied)
        try:
            return [self._give(session, member, action) for member, action in commands]
        finally:
            session.close()

    def _give(self, session: Any, member: int, action: Action) -> Done:
        done = self._once(session, member, action)
        # Another operator was faster with the same challenge: nothing was done.
        return self._once(session, member, action) if done.proved and done.reason == "replay" else done

    def _once(self, session: Any, member: int, action: Action) -> Done:
        try:
            asked = query(session, self.swarm, member, "control", self.timeout_s).get(member)
            if asked is None:
                return Done(member, "silent", "takes no commands, or cannot be reached; nothing was done", False)
            data, mac = self._key.write(Command(_of(asked, member), self._by, action), self._signer)
            answer = query(session, self.swarm, member, "control", self.timeout_s, data).get(member)
            if answer is None:
                return Done(member, "silent", "gave no answer: perhaps it was done, perhaps not", False)
            outcome, proved = self._key.read_answer(mac, answer)
        except RemoteProtocolError as error:
            return Done(member, error.reason, str(error), False)
        return Done(member, outcome.reason, _words(outcome, proved), proved)


def _of(data: bytes, member: int) -> Challenge:
    found = read_challenge(data)
    if found.id != member:
        raise RemoteProtocolError("node", f"member {found.id} answers for member {member}")
    return found


def _words(outcome: Outcome, proved: bool) -> str:
    if proved or outcome.reason != "token":
        return outcome.text if proved else f"{outcome.text} (its answer is not proved)"
    return "it has another token"


def operator_of(
    swarm: str, endpoints: Endpoints, key: ControlKey, timeout_s: float, denied: Iterable[str] = ()
) -> Operator:
    """An operator with the certificate of its ``endpoints``; on an open network, without one, by the user's name."""
    if endpoints.certificates is not None:
        signer = load_signer(Path(endpoints.certificates))
        return Operator(swarm, endpoints, key, signer, timeout_s=timeout_s, denied=denied)
    return Operator(swarm, endpoints, key, by=os.environ.get("USER", "")[:63], timeout_s=timeout_s)
