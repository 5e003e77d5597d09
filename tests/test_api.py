"""``docs/reference/api.md`` is true: its examples run, and it names all that is public, and nothing else."""

import doctest
import re
from pathlib import Path
from types import ModuleType

import pytest

from exavrrp import speaker
from exavrrp.vrrp import auth, packet, router

PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
MODULES = {module.__name__: module for module in (packet, auth, router, speaker)}
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_the_examples_run() -> None:
    assert len(EXAMPLES) == len(MODULES)
    # One after the other: each may use the names of those before it, as a reader of the page does.
    text = "\n".join(EXAMPLES)
    examples = doctest.DocTestParser().get_doctest(text, {}, "docs/reference/api.md", "docs/reference/api.md", 0)
    report: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(examples, out=report.append)
    assert not report, "".join(report)


def public(module: ModuleType) -> set[str]:
    """The names that the module defines: those of ``__all__``, or all without an underscore in front."""
    if hasattr(module, "__all__"):
        return set(module.__all__)
    assert module.__file__ is not None
    text = Path(module.__file__).read_text(encoding="utf-8")
    assigned = re.findall(r"^([A-Z]\w+)(?:, ([A-Z]\w+))?(?:: [^=\n]+)? = ", text, re.MULTILINE)
    defined = {name for name, it in vars(module).items() if getattr(it, "__module__", None) == module.__name__}
    return {name for name in defined.union(*assigned) if name and not name.startswith("_")}


@pytest.mark.parametrize("name", MODULES)
def test_the_page_names_what_is_public_and_nothing_else(name: str) -> None:
    module = MODULES[name]
    section = PAGE.partition(f"\n## `{name}`\n")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| ")]
    assert public(module) <= set(re.findall(r"`(\w+)`", str(rows)))
    assert set(re.findall(r"`(\w+)`", str([row[1] for row in rows]))) <= vars(module).keys()
