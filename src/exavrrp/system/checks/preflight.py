"""Why a check cannot be carried out on this host: for ``exavrrp check``, before anything depends on it."""

from pathlib import Path

from exavrrp.config.kinds import Http, Probe, Program, Shell
from exavrrp.system.checks.web import context, why
from exavrrp.system.privileges import Privileges, Refused, unable


def preflight_error(probe: Probe) -> tuple[str, str] | None:
    """(key, text) if this user cannot carry out the check: the wrong key, and the reason with the remedy. Else None."""
    match probe:
        case Program(command):
            found = _missing(command[0]) or _forbidden(command[0], probe.user)
            return None if found is None else _blamed("command", f'begins with "{command[0]}", which ', found)
        case Shell():
            found = _missing(probe.arguments[0]) or _forbidden(probe.arguments[0], probe.user)
            return None if found is None else _blamed("shell", "needs /bin/sh, which ", found)
        case Http(ca_file=str(path)):
            try:
                context(probe)
            except OSError as error:
                return "ca_file", f'is "{path}", which cannot be used ({why(error)}); name a file of PEM certificates'
    return None


def _blamed(key: str, prelude: str, found: tuple[str, str]) -> tuple[str, str]:
    blamed, text = found
    return (key, prelude + text) if blamed == "program" else (blamed, text)


def _missing(program: str) -> tuple[str, str] | None:
    path = Path(program)
    try:
        if path.is_dir():
            return "program", "is a directory; write the program in it"
        if not path.exists():
            words = " (arguments are words of their own; a command line is for shell)" if " " in program else ""
            return "program", f"does not exist; install it, or correct the path{words}"
    except OSError as error:
        return "program", f"cannot be looked at ({error.strerror}); correct the path"
    return None


def _forbidden(program: str, user: str | None) -> tuple[str, str] | None:
    try:
        identity = Privileges(program, user).identity()
        text = unable(program, identity)
    except Refused as refused:
        return refused.key, refused.text
    except OSError as error:
        return "program", f"cannot be looked at ({error.strerror}); correct the path"
    return None if text is None else ("program", text)
