"""Where an agent spends its time: py-spy's samples as text, without a change to the agent.

Samples are taken while the agent runs on (`--nonblocking`), after the measurement, so that they do not count in it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from lab.servers import ROOT
from lab.topology import LabError, run

PY_SPY = ROOT / ".envs" / "profile" / "bin" / "py-spy"
"Installed by lab/bench/run."
RATE = 200
"Samples a second."
SECONDS = 10
ROWS = 40


def sample(process: int, directory: Path) -> str:
    """The samples of a running process: py-spy's "raw" format, collapsed stacks."""
    if not PY_SPY.exists():
        raise LabError(f"{PY_SPY} is not there; lab/bench/run installs it")
    file = directory / "samples"
    words = ["--pid", str(process), "--duration", str(SECONDS), "--rate", str(RATE), "--output", str(file)]
    run([str(PY_SPY), "record", "--nonblocking", "--format", "raw", *words])
    return file.read_text()


def text(samples: str) -> str:
    """From collapsed stacks ("outer;inner NUMBER") to the functions in which the time was spent (self), and those in
    which it was spent or which called them (total), as shares of all samples.
    """
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for line in samples.splitlines():
        stack, _, number = line.rpartition(" ")
        frames = [frame.rsplit(":", 1)[0] + ")" if ":" in frame else frame for frame in stack.split(";")]
        own[frames[-1]] += int(number)
        for frame in set(frames):
            total[frame] += int(number)
    taken = own.total()
    parts = [f"{taken} samples in which it ran\n"]
    for title, counted in (("self", own), ("total", total)):
        parts.append(f"\n{title:>7}\n")
        parts += [f"{number / taken:7.1%}  {frame}\n" for frame, number in counted.most_common(ROWS)]
    return "".join(parts)
