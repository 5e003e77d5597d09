"""Recordings, and their replay."""

import functools
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields

from exavrrp import config, ports, speaker
from exavrrp.recording import Damaged, Head, Told, lost
from exavrrp.replay import replay, sentences, transitions
from exavrrp.routes import Attributes, Route
from tests.fuzz.reader import Reader
from tests.ports import VIP, check, given_active, recorder, router


def recording(data: bytes) -> None:
    """Each line comes into the node again; what comes of it is what was recorded, or a difference is told."""
    with suppress(Damaged):
        for story in replay(data.splitlines(keepends=True)):
            assert all(line.isprintable() for line in (*sentences(story), *transitions(story)))


@functools.cache
def _lines() -> tuple[bytes, ...]:
    lines: list[bytes] = []
    rig = given_active(router(checks=["fit"]), check("fit"), checks=["fit"], make=recorder(lines))
    rig.hear(250).after(1.0).check("fit", passed=False)
    rig.handle(ports.AddressLost(VIP, OSError(16, "busy")), speaker.Anomaly("2 lines"))
    rig.reconfigure(router(2)).after(12.0).handle(ports.End("SIGTERM")).after(3.0)
    return tuple(lines)


def _recordings() -> list[bytes]:
    head, *lines = _lines()
    return [
        b"".join((head, *lines)),
        head + lines[0] + lost(3) + lines[1] + lines[2][:40] + head,
        *(head + lines[0] + line for line in lines[1:12]),
    ]


def _words() -> list[bytes]:
    names = {name for kind in (Head, Told) for name in kind.__struct_fields__}
    names.update(field.name for kind in (config.Agent, config.VirtualRouter) for field in fields(kind))
    names.update(kind.__name__ for kind in (ports.Link, ports.Arrived, speaker.Answered, Route, Attributes))
    numbers = ["0", "-1", "1e-300", "1e9", "1e308", "255", "4095", "9" * 20, '"::1"', '"alarm"', "null", "[]", "{}"]
    return [json.dumps(name).encode() for name in sorted(names)] + [one.encode() for one in numbers]


READERS: Mapping[str, Reader] = {"recording": Reader(recording, _recordings, _words, longest=1 << 16)}
