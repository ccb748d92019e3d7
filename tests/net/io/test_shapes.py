"""Random messages of devices whose ids collide: every label reaches its own sample, every number its own feature."""

import asyncio
import contextlib
import itertools
import json
import math
import random
import types

import pytest

from protovine.learn import Prediction
from protovine.net import JsonLines, Messages, Mqtt, Schema, ZenohKeys
from protovine.net.causes import Causes
from protovine.net.io.paths import path_text
from protovine.net.samples import LocalSamples
from protovine.net.tally import Tally

SHAPES = 1000
NAMES = ["t", "h", "a.b", "wind speed", "x1", 'qu"ote', "0", "ÿ", "Temp[1]", "time2"]
IDS = [1, 2, "1", "2", 3.0, "3", "a", "A"]
MISSING = [None, math.nan, "", "unavailable", "Unknown", "n/a", "NaN", " null "]
END = 10**6


class Learner:
    takes_missing = True

    def __init__(self, dim):
        self.dim = dim

    def __len__(self):
        return 0


class Recorder:
    """Takes the place of a node, and keeps what it would learn."""

    def __init__(self, dim):
        self.learner = Learner(dim)
        self.waiting, self.learnt, self.seen = {}, [], []

    def observe(self, x, y, *, now_ns, event_ns, sample_id, awaits):
        self.seen.append((x.tolist(), event_ns))
        if y is None and awaits:
            self.waiting[sample_id] = x.tolist()
        elif y is not None:
            self.learnt.append((x.tolist(), y))
        return Prediction(-1, x)

    def give_up(self, number, now_ns):
        del self.waiting[number]

    def label(self, number, y, now_ns):
        self.learnt.append((self.waiting.pop(number), y))
        return True


class Shape:
    """A form of messages: how to write a sample or a label in it, and the settings that read it."""

    def __init__(self, rng, topics):
        self.rng = rng
        self.features = tuple(rng.sample(NAMES, rng.randint(1, 4)))
        self.schema = Schema(self.features, ("dry", "wet"))
        self.kind = rng.choice(["envelope", "flat", "map", "container"])
        self.lists = self.kind == "map" and rng.random() < 0.5
        self.ignore = "*" if self.lists or rng.random() < 0.3 else rng.sample(["battery", "a.noise", "link.q"], 2)
        self.places = {name: (name,) for name in self.features}
        settings = {}
        if self.kind == "flat":
            settings["flat"] = True
        elif self.kind == "envelope":
            self.places = {name: ("x", name) for name in self.features}
        elif self.kind == "container":
            home = self.path("fields")
            settings["x"] = path_text(home)
            self.places = {name: (*home, name) for name in self.features}
        else:
            self.places = {
                name: self.path(f"leaf.{i}" if i % 2 else f"leaf{i}") for i, name in enumerate(self.features)
            }
            settings["features"] = {name: path_text(place) for name, place in self.places.items()}
        for key, default in (("label", "y"), ("id", "id"), ("time", "time"), ("device", "device")):
            self.places[key, ""] = (default,)
            if rng.random() < 0.3:
                self.places[key, ""] = self.path(f"the {key}")
                if key != "device":
                    settings[key] = path_text(self.places[key, ""])
        self.names_device = rng.random() < (0.3 if topics else 0.7)
        self.device_set = self.names_device and self.places["device", ""] != ("device",)
        if self.device_set:
            settings["device"] = path_text(self.places["device", ""])
        elif not self.names_device:
            self.places["device", ""] = ("device",)
        if rng.random() < 0.2:
            settings["each"] = "batch"
        self.batch = "each" in settings
        self.messages = Messages(**settings, ignore=self.ignore)
        # Where samples and labels come on topics of their own, a pattern finds the device.
        self.apart = topics and rng.random() < 0.5

    def path(self, leaf):
        inner = []
        for _ in range(self.rng.randint(0, 2) if self.kind in ("map", "container") else 0):
            inner += (
                ["list", self.rng.randint(0, 2)] if self.lists and self.rng.random() < 0.3 else [self.rng.choice("abc")]
            )
        if "list" in inner:
            inner = ["list", 1, *[key for key in inner if key in ("a", "b", "c")]]
        return (*inner, leaf)

    def number(self, value):
        return self.rng.choice([value, str(value), f" {value} ", f"{value:e}", float(value)])

    def message(self, entries):
        root = {}
        for place, value in entries:
            here = root
            for key, following in itertools.pairwise(place):
                inner = [{}, {}, {}] if isinstance(following, int) else {}
                if isinstance(key, int):
                    here = here[key]
                else:
                    here = here.setdefault(key, inner)
            here[place[-1]] = value
        items = list(root.items())
        self.rng.shuffle(items)
        return dict(items)


def scenario(seed, topics):
    """Messages as (topic, bytes), the shape, and what has to come of them: learnt pairs, samples, useless labels."""
    rng = random.Random(seed)
    shape = Shape(rng, topics)
    awaited, learnt, seen, unknown, out, refused = {}, [], [], 0, [], 0
    for number in range(rng.randint(4, 14)):
        barn, inner = rng.choice("12"), rng.choice("pq")
        is_label = number > 1 and rng.random() < 0.4
        name = rng.choice(IDS)
        entries = [(shape.places["id", ""], name)]
        if shape.names_device:
            entries.append((shape.places["device", ""], inner))
        bad = False
        if is_label:
            y = rng.randint(0, 1)
            entries.append((shape.places["label", ""], rng.choice([("dry", "wet")[y], f" {('dry', 'wet')[y]} "])))
        else:
            truth = {feature: rng.randint(-999, 999) / 4 for feature in shape.features}
            kept = rng.sample(shape.features, rng.randint(1, len(shape.features)))
            x = [truth[feature] if feature in kept else math.nan for feature in shape.features]
            for feature in shape.features:
                if feature in kept:
                    entries.append((shape.places[feature], shape.number(truth[feature])))
                elif rng.random() < 0.5:
                    entries.append((shape.places[feature], rng.choice(MISSING)))
            if rng.random() < 0.15:
                bad = True
                entries.append((shape.places[kept[0]], rng.choice(["9,5", "1e999", "12 C", [1], {"v": 1}, "1_0"])))
            both = rng.random() < 0.2
            if both:
                y = rng.randint(0, 1)
                entries.append((shape.places["label", ""], ("dry", "wet")[y]))
            at = rng.choice([None, rng.randint(10**9, 2 * 10**9)])
            if at is not None:
                entries.append((shape.places["time", ""], rng.choice([at, at * 1000, str(at), at * 10**9])))
        if rng.random() < 0.3:
            extra = rng.choice([("battery",), ("noise",)])
            entries.append((extra, 5))
            bad = bad or (shape.ignore != "*" and extra[0] not in shape.ignore)
        message = shape.message(entries)
        device = (barn if topics else "", inner if shape.names_device else "")
        key = (device, str(int(name)) if isinstance(name, float) else str(name))
        if bad:
            refused += 1
        elif is_label:
            if key in awaited:
                learnt.append((awaited.pop(key), y))
            else:
                unknown += 1
        else:
            seen.append((x, None if at is None else at * 10**9))
            if both:
                learnt.append((x, y))
            else:
                awaited[key] = x
        topic = f"barn/{barn}" + (rng.choice(["/weather", "/label"]) if shape.apart else "")
        data = json.dumps({"batch": [message]} if shape.batch else message, ensure_ascii=rng.random() < 0.5).encode()
        out.append((topic, rng.choice([b"", b"\xef\xbb\xbf"]) + data + rng.choice([b"", b"\r", b" "])))
    return shape, out, (learnt, seen, unknown, refused)


def outcome(events, refusals, dim):
    """What a node would learn from the events."""
    node, tally = Recorder(dim), Tally(causes=Causes())
    samples = LocalSamples(node, tally)
    for now_ns, event in enumerate(events):
        samples.take(event, now_ns)
    return node.learnt, node.seen, tally.unknown_labels, refusals.total()


async def drained(source, put, out):
    """The events of messages that are put before they are read; the last one ends it."""
    async with contextlib.aclosing(source.events()) as events:
        first = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for message in out:
            put(*message)
        found = [await first]
        while found[-1].id != END:
            found.append(await anext(events))
    return found[:-1]


def ending(shape):
    """A sample that ends a scenario."""
    entries = [(shape.places["id", ""], END), (shape.places[shape.features[0]], 0)]
    entries += [(shape.places["device", ""], "end")] if shape.names_device else []
    message = shape.message(entries)
    return "barn/end/weather" if shape.apart else "barn/end", json.dumps(
        {"batch": [message]} if shape.batch else message
    ).encode()


def same(found, expected):
    # A NaN equals nothing, but has one text.
    assert repr(expected) == repr(found)


@pytest.mark.parametrize("part", range(4))
def test_lines_of_a_file(tmp_path, part):
    path = tmp_path / "lines"
    for seed in range(part, SHAPES, 4):
        shape, out, expected = scenario(seed, topics=False)
        path.write_bytes(b"\n".join(data for _, data in out))
        source = JsonLines(shape.schema, path, messages=shape.messages)

        async def read(source=source):
            return [event async for event in source.events()]

        same(outcome(asyncio.run(read()), source.refusals, len(shape.features)), expected)


@pytest.mark.parametrize("part", range(4))
def test_mqtt(monkeypatch, part):
    pytest.importorskip("aiomqtt")
    for seed in range(part, SHAPES, 4):
        shape, out, expected = scenario(seed, topics=True)
        device = "barn/{device}/#" if shape.apart else None
        source = Mqtt(shape.schema, "localhost", ["barn/#"], device=device, messages=shape.messages)
        # What the broker would send goes straight to the source.
        monkeypatch.setattr(source.broker, "connect", lambda *_: asyncio.ensure_future(asyncio.sleep(60)))

        def put(topic, data, source=source):
            source._take(types.SimpleNamespace(topic=topic, payload=data, retain=False))

        found = asyncio.run(drained(source, put, [*out, ending(shape)]))
        same(outcome(found, source.refusals, len(shape.features)), expected)


@pytest.mark.parametrize("part", range(4))
def test_zenoh(part):
    zenoh = pytest.importorskip("zenoh")
    for seed in range(part, SHAPES, 4):
        shape, out, expected = scenario(seed, topics=True)
        taken = []

        class Session:
            def declare_subscriber(self, key, take, taken=taken):
                taken.append(take)
                return types.SimpleNamespace(undeclare=lambda: None)

        device = "barn/{device}/**" if shape.apart else None
        source = ZenohKeys(shape.schema, Session(), "barn/**", device=device, messages=shape.messages)

        def put(topic, data, taken=taken):
            payload = types.SimpleNamespace(to_bytes=lambda: data)
            taken[0](types.SimpleNamespace(kind=zenoh.SampleKind.PUT, key_expr=topic, payload=payload))

        found = asyncio.run(drained(source, put, [*out, ending(shape)]))
        same(outcome(found, source.refusals, len(shape.features)), expected)


def test_the_oracle_sees_every_kind_of_case():
    totals = [0, 0, 0, 0]
    for seed in range(200):
        learnt, seen, unknown, refused = scenario(seed, topics=True)[2]
        totals = [a + b for a, b in zip(totals, (len(learnt), len(seen), unknown, refused), strict=True)]
    assert all(total > 50 for total in totals), totals
