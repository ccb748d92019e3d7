"""Asking a node's server by HTTP, as Prometheus does."""

from __future__ import annotations

import asyncio
import http.client

from prometheus_client.parser import text_string_to_metric_families

from protovine.net.ops.server import Server

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def fetch(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), {k.lower(): v for k, v in answer.getheaders()}
    finally:
        connection.close()


async def ask(server: Server, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    return await asyncio.to_thread(fetch, server.port, path, "GET", **headers)


def parsed(text: str) -> Samples:
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def one(found: Samples, name: str, /, **labels: str) -> float:
    return found[f"protovine_{name}", tuple(sorted(labels.items()))]
