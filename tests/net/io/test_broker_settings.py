"""Settings of brokers and keys that are refused before anything is connected."""

import pytest

from protovine.errors import ConfigError
from protovine.net import Mqtt, Schema, ZenohKeys

SCHEMA = Schema(("wind", "sky=clear", "sky=grey"), ("dry", "wet"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"host": ""}, "^host must be a host's name or address, got ''$"),
        ({"topics": "a"}, "^topics must be a list of at least one topic, got 'a'$"),
        ({"topics": []}, "^topics must be a list of at least one topic"),
        ({"topics": ["a#"]}, r"^in a topic \+ stands for a level and # for the last ones, got 'a#'$"),
        ({"topics": ["#/a"]}, r"^in a topic \+ stands for a level"),
        ({"topics": ["a/+b"]}, r"^in a topic \+ stands for a level"),
        ({"topics": [""]}, "^a topic must be a text of 1 to 65535 bytes"),
        ({"topics": ["barn\n"]}, r"^a topic must have no control characters, got 'barn\\n'$"),
        ({"port": 0}, "^port must be between 1 and 65535, got 0$"),
        ({"qos": 3}, r"^qos must be 0 \(at most once\), 1 \(at least once\) or 2 \(exactly once\), got 3$"),
        ({"queue": 0}, "^queue must be between 1 and "),
        ({"username_env": "NO_SUCH"}, "^username_env names the environment variable 'NO_SUCH', which is not set$"),
        ({"password_env": "NO_SUCH"}, "^password_env needs username_env$"),
        ({"ca_file": "nothing.pem"}, "^ca_file: no such file: nothing.pem$"),
        ({"key_file": "nothing.pem"}, "^certificate_file and key_file go together$"),
        ({"client_id": ""}, "^client_id must be a text of 1 to 65535 bytes"),
        ({"retry_s_min": 5.0, "retry_s_max": 1.0}, "^retry_s_max must be between 5 and 3600, got 1.0$"),
    ],
)
def test_settings_of_a_broker_out_of_range_are_refused(settings, message):
    pytest.importorskip("aiomqtt")
    with pytest.raises(ConfigError, match=message):
        Mqtt(SCHEMA, **{"host": "localhost", "topics": ["a/+/b", "#", "c/#"], **settings})


def test_files_that_are_no_certificates_are_refused(tmp_path):
    pytest.importorskip("aiomqtt")
    path = tmp_path / "a.pem"
    path.write_text("nothing")
    with pytest.raises(ConfigError, match=r"^ca_file: .* holds no certificates in PEM"):
        Mqtt(SCHEMA, "localhost", ["a"], ca_file=path)
    with pytest.raises(ConfigError, match=r"^certificate_file and key_file: .* are not a certificate and its key"):
        Mqtt(SCHEMA, "localhost", ["a"], certificate_file=path, key_file=path)
    assert 8883 == Mqtt(SCHEMA, "localhost", ["a"], tls=True).broker.port


def test_a_key_that_is_none_is_refused():
    pytest.importorskip("zenoh")
    for key in ("", "/a", "a//b", "a/#"):
        with pytest.raises(ConfigError, match=r"^key must be a Zenoh key expression, such as farm/\*/weather, got"):
            ZenohKeys(SCHEMA, None, key)
