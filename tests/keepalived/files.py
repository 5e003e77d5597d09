"""Files of keepalived as tests write them: by their names, without a disk."""

from fnmatch import fnmatch

from exavrrp.keepalived.reading import Directive, Reading, Source, Unreadable, read

DIRECTORY = "/etc/keepalived"


def reading(main: str, config_id: str = "a", **included: str) -> Reading:
    """What the file says, and those that it includes: ``one="…"`` is one.conf, and ``no_x`` cannot be read."""

    def found(pattern: str, directory: str) -> list[Source | str]:
        assert directory == DIRECTORY
        return [
            f"{name}.conf cannot be read: no" if name.startswith("no_") else source(text, f"{name}.conf")
            for name, text in included.items()
            if fnmatch(f"{name}.conf", pattern)
        ]

    return read(source(main), found, config_id, "host")


def source(text: str, name: str = "k.conf") -> Source:
    return Source(name, DIRECTORY, text.encode())


def mistakes(main: str, **included: str) -> list[str]:
    """What is wrong with it."""
    try:
        reading(main, **included)
    except Unreadable as error:
        return [str(fault) for fault in error.faults]
    return []


def tree(main: str, config_id: str = "a", **included: str) -> list[object]:
    """Words, and blocks as (words, what is in them)."""
    return _shown(reading(main, config_id, **included).directives)


def _shown(directives: list[Directive]) -> list[object]:
    return [(*one.words, _shown(one.children)) if one.is_block else one.words for one in directives]
