"""Files of keepalived that are imported."""

import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import tomli

from exavrrp.config import ConfigError, load
from exavrrp.config.foreign import KEEPALIVED
from exavrrp.keepalived.exabgp import stanza
from exavrrp.keepalived.ledger import shown
from exavrrp.keepalived.reading import Source, Unreadable, read
from exavrrp.keepalived.report import report
from exavrrp.keepalived.translating import translated
from tests.fuzz.reader import ROOT, Reader, scratch

BETWEEN = b"\n#%\n"
"""What stands between two files; an include finds one by its number."""

SAMPLES = ROOT / "tests" / "keepalived" / "samples"


def imported(data: bytes) -> None:
    """A file is a configuration, with each directive once in the report, or a list of mistakes."""
    contents = data.split(BETWEEN)
    files = [Source(f"{number}.conf", "/etc/keepalived", content) for number, content in enumerate(contents)]

    def found(pattern: str, _: str) -> list[Source | str]:
        return [one for one in files if pattern in (one.name, "*")] or ([pattern] if pattern.startswith("!") else [])

    try:
        reading = read(files[0], found, "a", "host")
        # Of each byte string the same: what is found is found again.
        made = translated(reading, {}, on_link=len(data) % 2 == 1)
    except Unreadable as error:
        assert error.faults
        assert all(str(fault).isprintable() for fault in error.faults)
        return
    directives = [one for top in reading.directives for one in top.all()]
    asides = [
        *(one.place for one in reading.definitions),
        *(place for place, *_ in reading.includes),
        *(place for place, _ in reading.skipped),
    ]
    listed = Counter((entry.place, entry.text) for entry in made.entries)
    assert not Counter((one.place, shown(one.words)) for one in directives) - listed
    assert listed.total() == len(directives) + len(asides)
    told = report(made.entries, made.missing)
    assert all(line.isprintable() for line in told.splitlines())
    assert stanza((), sorted({router.family for router in made.routers}), "/x", "/y")
    tomli.loads(made.toml)
    path = scratch() / "imported.toml"
    path.write_text(made.toml, encoding="utf-8")
    with suppress(ConfigError):
        load(path, alone=True)


def _samples() -> list[bytes]:
    seeds = [path.read_bytes() for path in sorted(Path(SAMPLES).glob("*.conf"))]
    return [*seeds, seeds[0] + b"\ninclude 1.conf\n" + BETWEEN + b"$X=1\n@a vrrp_instance b {\n  @^b priority ${X}\n"]


def _words() -> list[bytes]:
    words = {word.rpartition(".")[2] for word in KEEPALIVED}
    grammar = [
        "{",
        "}",
        '"',
        "'",
        "\\",
        "@a ",
        "@^a ",
        "$X=",
        "$X",
        "${X}",
        "~SEQ(X, 1, 3) ",
        "include 1.conf",
        "weight 3",
    ]
    found = sorted(words | {word for text in _texts() for word in re.findall(r"[a-z_0-9]+", text)})
    return [word.encode() for word in (*grammar, *found)]


def _texts() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in Path(SAMPLES).glob("*.conf")]


READERS: Mapping[str, Reader] = {"import": Reader(imported, _samples, _words, longest=16384)}
