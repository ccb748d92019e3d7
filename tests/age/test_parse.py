from __future__ import annotations

from pathlib import Path

import pytest

from protovine.age import parse_delay, parse_peers
from protovine.errors import ConfigError, DataError


def test_delays_are_read_from_text_or_file(tmp_path: Path) -> None:
    (tmp_path / "delays.txt").write_text("0.1\n0.3\n", encoding="utf-8-sig")
    assert 0.2 == pytest.approx(parse_delay(str(tmp_path / "delays.txt")).mean_s)
    assert parse_delay("none") is None and 0.5 == parse_delay("fixed:0.5").mean_s
    with pytest.raises(ConfigError, match="needs a number of seconds, as fixed:S, got 'fixed:x'"):
        parse_delay("fixed:x")
    with pytest.raises(DataError, match="cannot read"):
        parse_delay(str(tmp_path / "none.txt"))
    (tmp_path / "delays.txt").write_text("0.1\nsoon\n")
    with pytest.raises(DataError, match="a delay must be a number of seconds, got 'soon' in line 2 of"):
        parse_delay(str(tmp_path / "delays.txt"))
    (tmp_path / "delays.txt").write_text("# measured\n0.1 # near\n\n0.3\n")
    assert (0.1, 0.3) == parse_delay(str(tmp_path / "delays.txt")).values_s
    for value in ("nan", "-1", "inf", "1e10"):
        (tmp_path / "delays.txt").write_text(f"0.1\n# far\n{value}\n")
        with pytest.raises(DataError, match=r"delay must be between 0 and 1e\+09, got .* in line 3 of '.*delays.txt'"):
            parse_delay(str(tmp_path / "delays.txt"))
    (tmp_path / "delays.txt").write_text("# nothing\n")
    with pytest.raises(DataError, match="has no delays"):
        parse_delay(str(tmp_path / "delays.txt"))


def test_peers_are_read_from_text_or_file(tmp_path: Path) -> None:
    path = tmp_path / "peers.txt"
    path.write_text("1:200  # near\n\n16:100\n")
    assert ([1.0, 16.0, 2.5], [200.0, 100.0, 50.0]) == parse_peers([str(path), "2.5:50"])
    path.write_text("1:200\n16\n")
    with pytest.raises(ConfigError, match="got '16' in line 2 of"):
        parse_peers([str(path)])
    with pytest.raises(ConfigError, match=r"two numbers > 0, or a file of such lines, got '-1:5'"):
        parse_peers(["-1:5"])
    with pytest.raises(DataError, match="cannot read"):
        parse_peers([str(tmp_path / "none.txt")])
