"""Zenoh keys of sources and sinks."""

from __future__ import annotations

from protovine.errors import ConfigError


def check_key(key: str) -> None:
    """`ConfigError` unless ``key`` is a Zenoh key expression and Zenoh is installed."""
    try:
        import zenoh
    except ImportError as error:
        raise ConfigError(f"Zenoh needs eclipse-zenoh ({error}): pip install 'protovine[net]'") from error
    try:
        zenoh.KeyExpr(key)
    except zenoh.ZError as error:
        raise ConfigError(f"key must be a Zenoh key expression, such as farm/*/weather, got {key!r}") from error
