"""The documentation: its links, its tables, its blocks of code, the commands that it names; the map of the modules, and
the names in recipes and docstrings.

A command counts as right if the files, tests, scenarios and options that it names exist; it is not run. A configuration
is right if ``exavrrp check`` says so. Those of other programs: ``system/test_guide.py``.
"""

import ast
import builtins
import importlib.util
import re
import shlex
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
import tomli
from click.testing import CliRunner
from msgspec import Struct

from exavrrp import counters
from exavrrp.chronicle import ADVERTISED, PHASE
from exavrrp.cli import CONFIGURATION, NO, main
from exavrrp.cli.import_ import STANZA, TOML
from exavrrp.config import kinds, schema
from exavrrp.vrrp.router import Discrepancy
from lab import __main__ as demo
from lab.bench import __main__ as bench
from lab.chaos import run as chaos
from tests.blocks import DAEMONS, HERE, PAGES, ROOT, Block, blocks, completed
from tests.ports import given_active

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

COMMANDS = ("ansible/", "exavrrp ", "pytest ", "python -m ", "python tests/", "lab/", "tests/run")
WITHIN = re.compile(r"(?:/bin/|\brunuser -u exabgp -- |\bssh \S+ |&& |[\"'])exavrrp ([a-z][^'\"|;&>#)]*)")
"""A command of ours within a line."""

PLACEHOLDERS = {"DURATION": "2m", "TIME": "03:00:00Z"}
OPTIONS_OF_PYTEST = {"--hypothesis-profile", "--rewrite", "--seed", "--seeds", "--first"}
MARKERS = {"ansible", "system", "lab", "mutants", "simulation"}


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchor(heading: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pages
def test_every_link_leads_somewhere(page: Path) -> None:
    text = prose(page)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, fragment = target.partition("#")
        linked = page if path == "" else page.parent / path
        assert linked.exists(), target
        headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE) if fragment else []
        assert not fragment or fragment in map(anchor, headings), target
    assert page.read_text(encoding="utf-8").count("\n```") % 2 == 0, "a block of code has no end"


@pages
def test_every_row_of_a_table_has_its_cells(page: Path) -> None:
    for table in re.findall(r"(?:^\|.*\n)+", prose(page), re.MULTILINE):
        head, rule, *rows = (re.split(r"(?<!\\)\|", line) for line in table.splitlines())
        assert all(re.fullmatch(r"-+", cell) for cell in rule[1:-1])
        assert {len(row) for row in rows} == {len(head)} == {len(rule)}, head


# CONTRIBUTING.md

PACKAGE = ROOT / "src" / "exavrrp"
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
DRAWN = CONTRIBUTING.partition("src/exavrrp/\n")[2].partition("```")[0]


def test_the_map_names_every_module_in_one_place() -> None:
    for place in (PACKAGE, *(PACKAGE / name for name in ("config", "system", "speaker", "vrrp"))):
        for path in place.iterdir():
            if not path.name.startswith("__"):
                assert re.search(rf"\b{path.stem}\b", DRAWN), path
    assert len(mapped()) == len(set(mapped()))


def test_the_map_stands_in_the_order_of_the_layers() -> None:
    contracts = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    [layers] = [one["layers"] for one in contracts if one.get("containers") == ["exavrrp"]]
    floor = {name: number for number, layer in enumerate(layers) for name in layer.split(" | ")}
    assert {*mapped(), "__main__"} == floor.keys()
    assert mapped() == sorted(mapped(), key=lambda name: floor[name])


def mapped() -> list[str]:
    """The modules at the top of the package in the order of the map; what a directory has in it is left out."""
    found, directory = [], False
    for line in DRAWN.splitlines():
        if line.startswith(("├", "└")):
            directory = line.split()[1].endswith("/")
        if line.startswith(("├", "└")) or not directory:
            heads = re.findall(r"[├└]── (.+?)(?:/|  |$)", line)
            found += [name.removesuffix(".py") for head in heads for name in head.split(", ")]
    return found


FILE = re.compile(r"(?<![\w/.])[\w.*-]+(?:/[\w.*-]+)*(?:\.(?:py|md|json|txt|toml|sh)\b|/(?![\w*]))")
"""A file, or a directory by the slash at its end."""


def places(text: str) -> dict[str, list[Path]]:
    """The files and directories that are named, and where they are."""
    named = dict.fromkeys(found[0] for found in FILE.finditer(text))
    return {name: [*ROOT.glob(name), *PACKAGE.glob(name)] for name in named}


def missing(recipe: str) -> set[str]:
    """What a recipe names that does not exist: a file, or a name that none of its files has.

    What is to be added is no name: it stands behind "say". For commands see ``test_every_command_can_be_run``.
    """
    text = re.sub(r"\(say [^)]*\)", "", recipe)
    found = places(text)
    files = {
        file
        for paths in found.values()
        for path in paths
        for file in ([path] if path.is_file() else path.rglob("*.py"))
    }
    there = frozenset(dir(builtins)).union(*map(names, files))
    spans = {re.sub(r"\s+", " ", span) for span in re.findall(r"`([^`]+)`", text)} - found.keys()
    words = {span.strip('"@') for span in spans if not span.startswith("exavrrp ") and not any(ROOT.glob(span))}
    return {name for name, paths in found.items() if not paths} | (words - there)


@cache
def names(path: Path) -> frozenset[str]:
    """What stands in a file under a name, or as a whole text; what a class or module has, behind its name, too."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return frozenset(re.findall(r"[\w-]+", text))
    tree = ast.parse(text)
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    members = {f"{one.name}.{name}" for one in classes for name in defined(one)}
    module = path.parent.name if path.stem == "__init__" else path.stem
    return frozenset({*defined(tree), *members, *(f"{module}.{name}" for name in defined(tree))})


def defined(part: ast.AST) -> Iterator[str]:
    for node in ast.walk(part):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case ast.arg(arg=name) | ast.alias(name=name) | ast.Constant(value=str(name)):
                yield name


RECIPES = [f"## {one}" for one in CONTRIBUTING.partition("\n## To add")[2].partition("\n## ")[0].split("\n### ")]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.splitlines()[0].strip("# "))
def test_a_recipe_names_what_exists(recipe: str) -> None:
    assert missing(recipe) == set()


def test_contributing_names_files_that_exist() -> None:
    found = places(prose(ROOT / "CONTRIBUTING.md"))
    assert len(found) > 100
    assert [name for name, paths in found.items() if not paths] == []


@pytest.mark.parametrize(
    "wrong",
    [
        "`system/gone.py`",
        "`tests/gone/`",
        "`Wire.gone` in `system/wire.py`",
        "`Wire` in `system/senders.py`",
        "`paths.Wire`: `system/paths.py`, `system/wire.py`",
        '`"gone"` in `config/schema.py`',
        "`need_gone` in `lab/bootstrap.sh`",
        "`exavrrp_gone`, `node.py`",
    ],
)
def test_a_name_that_does_not_exist_is_found(wrong: str) -> None:
    assert len(missing(wrong)) == 1


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


# Docstrings


@cache
def known() -> frozenset[str]:
    """What the package has behind a dot: modules, what stands in them, and what their classes have."""
    files = list(PACKAGE.rglob("*.py"))
    parts = [("exavrrp", *path.relative_to(PACKAGE).with_suffix("").parts) for path in files]
    modules = {".".join([one for one in each if one != "__init__"][-2:]) for each in parts}
    return frozenset(modules).union(*map(names, files))


OF_OTHERS = {"Peer._main", "check.key", "kind.word"}
"""Of ExaBGP, and what stands for any name."""
TABLES: dict[str, type[Struct]] = {
    "agent": schema.Agent,
    "node": schema.Node,
    "virtual_router": schema.VirtualRouter,
    "check": kinds.Check,
}


def test_docstrings_name_what_exists() -> None:
    """As far as a name has a dot: this package has it, it is a key of the configuration, or of another package."""
    texts = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    named = {(name, path) for path, text in texts.items() for name in re.findall(r"``((?:\w+\.)+[a-zA-Z_]\w*)``", text)}
    assert len(named) > 100
    assert {one for one in named if not is_known(one[0])} == set()


def is_known(name: str) -> bool:
    first, *_, last = parts = name.split(".")
    if last in {"c", "jsonl", "next", "py", "toml"}:
        return last != "py" or any(PACKAGE.rglob(name))
    if first in TABLES and last in TABLES[first].__struct_fields__:
        return True
    other = not any(PACKAGE.glob(f"{first}*")) and importlib.util.find_spec(first) is not None
    return ".".join(parts[-2:]) in known() or name in OF_OTHERS or (first != "exavrrp" and other)


@pytest.mark.parametrize(
    "wrong",
    ["Node.vanished", "ports.Vanished", "exavrrp.vanished", "vanished.Node", "vanished.py", "node.node1.vanished"],
)
def test_a_docstring_that_names_nothing_is_found(wrong: str) -> None:
    assert not is_known(wrong)


# The log


LOGS = re.compile(r"log\.(info|warning|error|limited)$|\._warn$")


def logged(path: Path) -> Iterator[str]:
    """The names of the events that a module logs, as far as they stand there."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        called = ast.unparse(node.func).strip("()") if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and LOGS.search(called):
            name = node.args[2 if called.endswith(".limited") else 0]
            if isinstance(name, ast.Constant):
                yield str(name.value)


COUNTERS = (name for name, _ in counters.events(given_active().node.view()))
OTHERS = {*Discrepancy, "line-too-long", PHASE, ADVERTISED, *COUNTERS}
"""Events whose names stand elsewhere."""


def test_the_page_of_the_log_names_every_event() -> None:
    page = (ROOT / "docs" / "reference" / "log.md").read_text(encoding="utf-8").partition("\n## ")[2]
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    documented = re.findall(r"`([a-z-]+)`", " ".join(rows))
    found = {name for path in (ROOT / "src" / "exavrrp").rglob("*.py") for name in logged(path)}
    assert sorted(documented) == sorted(found | OTHERS)
    assert all("-" in name or name in ("transition", "counters") for name in documented), "noun and state"


# Commands


def commands(page: Path) -> Iterator[str]:
    """The commands in quotes, and those in blocks of shell."""
    for span in re.findall(r"`([^`]+)`", prose(page)):
        if span.startswith(COMMANDS):
            yield " ".join(span.split())
    for block in blocks("", "ini", "sh"):
        for line in block.text.splitlines() if block.page == page else ():
            if (command := line.strip().removeprefix("$ ")).startswith(COMMANDS):
                yield re.split(r"  +(?![-\\])", command)[0]
            elif block.language:
                yield from (f"exavrrp {words}" for words in WITHIN.findall(line))


@cache
def names_in(path: Path) -> frozenset[str]:
    """The names of the tests in a file, or in all files of a directory, each with the name of its file."""
    files = path.rglob("test_*.py") if path.is_dir() else [path]
    return frozenset(
        f"{file.name}::{name}"
        for file in files
        for name in re.findall(r"^ *(?:async )?def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    )


def check_pytest(words: list[str]) -> None:
    given = iter(words)
    paths: list[Path] = []
    wanted = ""
    for word in given:
        if word == "-k":
            wanted = next(given)
        elif word == "-m":
            assert next(given) in MARKERS
        elif word.startswith("-"):
            assert word.partition("=")[0] in OPTIONS_OF_PYTEST, word
            if word in ("--seed", "--seeds", "--first"):
                next(given)
        else:
            paths.append(ROOT / word)
    assert all(path.exists() for path in paths), words
    found = [test for path in paths or [ROOT / "tests"] for test in names_in(path)]
    for pattern in wanted.split(" or "):
        assert any(pattern in test for test in found), f"no test is called {pattern!r}"


def check_arguments(parser: ArgumentParser, words: list[str]) -> None:
    try:
        parser.parse_args([re.sub(r"^(N|DIR)$", "1", word) for word in words])
    except SystemExit:
        pytest.fail(f"no command line of {parser.prog}: {words}")


def check_exavrrp(words: list[str]) -> None:
    """There are such a command and such options; ``[…]`` and ``...`` stand for what may be left out or repeated."""
    name, *arguments = (PLACEHOLDERS.get(word, word) for word in words)
    if name in ("COMMAND", "--help", "--version"):
        return
    context = click.Context(main, **main.context_settings)
    command = main.get_command(context, name)
    assert command is not None, name
    try:
        command.make_context(name, arguments, parent=context)
    except click.exceptions.Exit:  # of --help
        pass
    except click.ClickException as error:
        pytest.fail(f"exavrrp {name}: {error.format_message()}")


def check(command: str) -> None:
    match shlex.split(command):
        case ["exavrrp", *_]:
            first = re.split(r" &&| [>|#] |;", command)[0]
            check_exavrrp(shlex.split(re.sub(r"[\[\]]|\.\.\.|…", "", first))[1:])
        case ["pytest", *words]:
            check_pytest(words)
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module) is not None
        case ["python", path, *_]:
            assert (ROOT / path).exists()
        case ["lab/demo", "chaos", *words]:
            check_arguments(chaos.parser(), words)
        case ["lab/demo", *words]:
            check_arguments(demo.parser(), words)
        case ["lab/bench/run", *words]:
            check_arguments(bench.parser(), words)
        case [path, *words]:
            assert any(ROOT.glob(path)), path
            assert words in ([], ["quick"])


HISTORY = {"CHANGELOG.md"}
"""Pages that speak of what was."""


@pages
def test_every_command_can_be_run(page: Path) -> None:
    for command in commands(page) if page.name not in HISTORY else ():
        check(command)


def test_somebody_says_of_every_block_whether_it_is_right() -> None:
    for block in blocks():
        assert block.language in HERE | DAEMONS, block


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_a_shell_understands_every_block_of_shell(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


NODE = {
    "ssh": 'NODE=$1; export NODE; shift; exec sh -c "$*"',
    "exavrrp": 'echo "$NODE $1" >>"$SEEN"',
    "systemctl": 'echo "$NODE $1" >>"$SEEN"; printf "4\\n4\\n1\\n0\\n" >"$SEEN.undrain"',
    "apt-get": "",
    "sleep": "",
}
"""Programs in place of nodes whose agents answer at the third attempt, and take part after the fourth."""


def test_no_node_is_drained_before_the_one_before_takes_part_again(tmp_path: Path) -> None:
    (loop,) = (one for one in blocks("sh") if one.page.name == "maintenance.md" and "ssh" in one.text)
    seen = tmp_path / "seen"
    programs = dict(NODE)
    programs["exavrrp"] += """
[ "$*" != "undrain --wait" ] || { read -r status <"$SEEN.undrain"; sed -i 1d "$SEEN.undrain"; exit $status; }"""
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SEEN": str(seen)}
    subprocess.run(["sh", "-c", loop.text], env=environment, timeout=30, check=True)
    one = ["drain", "restart", "undrain", "undrain", "undrain", "undrain"]
    assert seen.read_text().split("\n")[:-1] == [f"node{node} {what}" for node in (3, 2, 1) for what in one]


@pages
def test_a_page_needs_no_program_that_a_debian_may_not_have(page: Path) -> None:
    """sudo(8) is not on a Debian whose root has a password; runuser(1) is on each."""
    assert not [block for block in blocks() if block.page == page and re.search(r"\bsudo\b", block.text)]


def test_what_import_makes_is_in_its_place_before_keepalived_ends() -> None:
    """Without a file of ExaBGP's the unit is not started, and nothing serves."""
    steps = [one.text for one in blocks("sh") if "disable --now keepalived" in one.text]
    # With BGP it goes into a copy of the file that is there.
    for step, exabgp in zip(steps, ("exabgp.conf", STANZA), strict=True):
        before, _, after = step.partition("disable --now keepalived")
        for made, place in ((TOML, CONFIGURATION), (exabgp, "/etc/exabgp/exabgp.conf")):
            assert f"/root/exavrrp/{made} {place}\n" in before
        assert "runuser -u exabgp -- exavrrp check\n" in before.rpartition("/etc/")[2]
        assert "enable --now exavrrp" in after


STEP = 'mode: is "receive-only"'
"""A warning that stands for as long as adverts begin to be signed."""


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_every_configuration_is_accepted_without_a_warning(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "exavrrp.toml"
    path.write_text(completed(block.text), encoding="utf-8")
    scope = "--all-nodes" if "[node." in block.text else "--elsewhere"
    done = CliRunner().invoke(main, ["check", scope, str(path)])
    assert (done.exit_code, [line for line in done.output.splitlines() if STEP not in line]) == (0, [])


@pytest.mark.parametrize("block", blocks("keepalived"), ids=str)
def test_every_keepalived_conf_is_one_that_can_be_imported(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "keepalived.conf"
    path.write_text(block.text, encoding="utf-8")
    done = CliRunner().invoke(main, ["import", str(path)])
    assert done.exit_code in (0, NO), done.output


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_every_block_of_yaml_stands_in_a_file_that_ansible_runs(block: Block) -> None:
    files = [path.read_text(encoding="utf-8") for path in (ROOT / "ansible").rglob("*.yml")]
    lines = [line.strip() for line in block.text.splitlines()]
    assert any(lines == part for text in files for part in windows(text, len(lines)))


def windows(text: str, size: int) -> Iterator[list[str]]:
    """Each ``size`` lines that follow each other."""
    lines = [line.strip() for line in text.splitlines()]
    return (lines[first : first + size] for first in range(len(lines) - size + 1))


def test_a_configuration_with_a_mistake_is_found(tmp_path: Path) -> None:
    path = tmp_path / "exavrrp.toml"
    path.write_text(completed("[agent]\nadvert_interva = 0.1\n"), encoding="utf-8")
    assert CliRunner().invoke(main, ["check", "--elsewhere", str(path)]).exit_code == 1


def test_each_claim_has_a_command() -> None:
    text = (ROOT / "docs" / "why" / "claims.md").read_text(encoding="utf-8")
    rows = [re.split(r"(?<!\\)\|", line)[1:3] for line in text.splitlines() if line.startswith("| ")]
    claims = [(claim, shown) for claim, shown in rows if claim.strip() != "claim"]
    assert len(claims) > 50
    for claim, shown in claims:
        assert any(span.startswith(COMMANDS) for span in re.findall(r"`([^`]+)`", shown)), claim
        for variable in re.findall(r"`(EXAVRRP_\w+)", shown):
            assert any(variable in path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")), (
                variable
            )


CARRIED = {
    '`"routed"`': {"ourselves", "keepalived"},
    '`"unicast"`': {"ourselves", "keepalived"},
    '`"multicast"`': {"ourselves", "keepalived", "FRR"},
    '`"multicast"` in a VXLAN': {"ourselves", "keepalived"},
    '`"multicast"`, addresses on a link': {"ourselves", "keepalived"},
    'VRRPv2, `"unicast"` and `"multicast"`': {"ourselves", "keepalived"},
    'VRRPv2, `"multicast"`': {"FRR"},
}
"""How adverts go, and each peer that can take part in such an election. FRR's vrrpd knows multicast alone."""


def test_each_transport_is_run_with_each_peer_in_both_directions_and_families() -> None:
    """Each cell of that table has a command, whose tests or scenarios are run with both IP versions."""
    text = (ROOT / "docs" / "how-to" / "keepalived.md").read_text(encoding="utf-8")
    table = text.partition("## Each transport")[2].partition("| transport |")[2].splitlines()[2:]
    rows = [[cell.strip() for cell in line.split("|")[1:5]] for line in table if line.startswith("|")]
    told: dict[str, set[str]] = {}
    for transport, peer, takes, gives in rows:
        who = re.split("[ ,]", peer)[0]
        told.setdefault(transport, set()).add(who)
        for cell in (takes, takes if gives == "the same" else gives):
            families = {family for span in re.findall(r"`([^`]+)`", cell) for family in _families(span, who)}
            assert families == ({"ipv4"} if transport.startswith("VRRPv2") else {"ipv4", "ipv6"}), cell
    assert told == CARRIED
    assert not _families("pytest tests/system/test_lan.py -k two_agents_of_version_2", "keepalived")


NAMED = {"ourselves": "^(?!.*(keepalived|vrrpd))", "keepalived": "keepalived", "FRR": "vrrpd"}
"""What a test with a peer, or its file, is called."""


def _families(command: str, peer: str) -> set[str]:
    """The IP versions that the tests with ``peer``, or the scenario, of a command are run with."""
    match command.split():
        case ["lab/demo", *words]:
            return {"ipv4" if "--family 4" in command else "ipv6"} if words else set()
        case ["pytest", path, *rest]:
            wanted = rest[1] if rest[:1] == ["-k"] else ""
            named = ((name, family) for name, family in _collected() if re.search(NAMED[peer], name))
            return {family for name, family in named if f"{path}::" in name and wanted in name}
        case _:
            pytest.fail(f"no command: {command}")


@cache
def _collected() -> list[tuple[str, str]]:
    """The system tests of this table, each with the IP version in its parameters."""
    files = [f"tests/system/test_{name}.py" for name in ("keepalived", "lan", "link", "vrrpd", "vxlan")]
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "", "-p", "no:xdist", *files]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return re.findall(r"^(\S+\[.*(ipv[46]).*\])$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "wrong",
    [
        "pytest tests/test_gone.py",
        "pytest tests/test_docs.py -k nothing_is_called_this",
        "pytest -m slow",
        "pytest --sed 1",
        "python -m tests.benchmarks.gone",
        "python tests/gone",
        "lab/demo gone",
        "lab/demo kill-node --exabgp 3",
        "lab/demo chaos --minutes one",
        "lab/bench/run scale --cost",
        "lab/gone",
        "exavrrp gone",
        "exavrrp drain --gone",
        "exavrrp status --is-active",
    ],
)
def test_a_command_that_cannot_be_run_is_found(wrong: str) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(wrong)
