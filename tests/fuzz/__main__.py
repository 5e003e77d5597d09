"""Fuzzing by hand: ``python -m tests.fuzz NAME --seconds N``, guided by coverage (atheris, which is libFuzzer).

Inputs that reach new code are kept in ``.fuzz/NAME`` as seeds of the next run. An input that raises, or exceeds
``TIMEOUT`` or ``MEMORY``, ends the run and is kept in ``.fuzz`` as ``crash-…``, ``timeout-…`` or ``oom-…``. With files
as arguments they are replayed, without atheris:

    uv sync --group fuzz                                        once
    python -m tests.fuzz --list
    python -m tests.fuzz configuration --seconds 300            or "all" in place of a name
    python -m tests.fuzz configuration .fuzz/configuration-crash-…
    coverage run -m tests.fuzz configuration .fuzz/configuration     and coverage report: what has been reached
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

KEPT = Path(".fuzz")
SCRATCH = KEPT / "scratch"
"""Where the readers write their files."""
TIMEOUT = 5
"""Seconds that one input may take; the slowest good one takes some 20 ms."""
MEMORY = 512
"""MiB that a run may take, the fuzzer's own included: a reader that keeps what it is fed is noticed."""
INSTRUMENTED = ("exavrrp", "h11", "ipaddress", "json")
"""Packages whose branches guide: ours, and those that read for us and are written in Python."""
SPOILT = "exavrrp.system.client"
"""Not instrumented: atheris 2.3 breaks its generator, whose variables are something else after a yield (3.11)."""


def main() -> None:
    options = _options()
    if options.name == "all":
        from tests.fuzz.readers import READERS

        for name in READERS:  # libFuzzer ends its process
            ran = subprocess.run(
                [sys.executable, "-m", "tests.fuzz", name, f"--seconds={options.seconds}"], check=False
            )
            if ran.returncode != 0:
                sys.exit(f"{name}: see the last lines")
    elif options.list or not options.name:
        from tests.fuzz.readers import READERS

        for name, reader in READERS.items():
            print(f"{name:14} {(reader.feed.__doc__ or '').partition(chr(10))[0]}")
    elif options.files:
        _again(options.name, options.files)
    else:
        _fuzz(options.name, options.seconds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("name", nargs="?", help="of a reader, or all")
    parser.add_argument("files", nargs="*", type=Path, help="inputs, or directories of them, to be fed as they are")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--list", action="store_true", help="the readers")
    return parser.parse_args()


def _again(name: str, files: list[Path]) -> None:
    from tests.fuzz.readers import READERS

    inputs = [one for file in files for one in (sorted(file.iterdir()) if file.is_dir() else [file])]
    for one in inputs:
        try:
            READERS[name].feed(one.read_bytes())
        except Exception as error:
            error.add_note(str(one))
            raise
    print(f"{len(inputs)} inputs read")


def _fuzz(name: str, seconds: int) -> None:
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is missing: uv sync --group fuzz")
    with atheris.instrument_imports(include=list(INSTRUMENTED), exclude=[SPOILT], enable_loader_override=False):
        from tests.fuzz.readers import READERS
    reader = READERS[name]
    kept, seeds, words = KEPT / name, KEPT / "seeds", KEPT / "words"
    shutil.rmtree(seeds, ignore_errors=True)
    shutil.rmtree(SCRATCH, ignore_errors=True)  # libFuzzer ends the process before anybody could
    for directory in (kept, seeds, SCRATCH):
        directory.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(SCRATCH.absolute())
    for number, seed in enumerate(reader.seeds()):
        Path(seeds, str(number)).write_bytes(seed)
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in reader.words() or [b"\0"]))
    limits = [f"-max_total_time={seconds}", f"-timeout={TIMEOUT}", f"-rss_limit_mb={MEMORY}"]
    limits += [f"-max_len={reader.longest}", f"-dict={words}", f"-artifact_prefix={KEPT}/{name}-"]
    atheris.Setup([sys.argv[0], *limits, "-print_final_stats=1", str(kept), str(seeds)], reader.feed)
    atheris.Fuzz()  # does not return


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


main()
