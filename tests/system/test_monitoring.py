"""What is shipped for Prometheus: each alert fires when it has to, and each query of the dashboard finds data."""

import http.client
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.system import running
from tests.system.conftest import LIMIT, Namespace, Need
from tests.system.running import Fabric, wait_until

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "monitoring" / "rules.yml"

TICK = 15
"""Seconds between two scrapes."""


def of(name: str, node: str = "node1", **labels: str) -> str:
    """A series of a node."""
    listed = {"job": "exavrrp", "instance": node, **labels}
    return f"{name}{{{','.join(f'{key}={json.dumps(value)}' for key, value in listed.items())}}}"


WEB = {"router": "web"}
UP1, UP2 = of("exavrrp_up"), of("exavrrp_up", "node2")
ACTIVE1, ACTIVE2 = (of("exavrrp_router_state", node, **WEB, state="active") for node in ("node1", "node2"))
BACKUP1, BACKUP2 = (of("exavrrp_router_state", node, **WEB, state="backup") for node in ("node1", "node2"))
ANNOUNCED, ANNOUNCED2 = (of("exavrrp_route_announced", node, **WEB, state="active") for node in ("node1", "node2"))
STANDBY = of("exavrrp_router_standby_ready", **WEB)
QUIET = of("exavrrp_path_quiet", "node2", **WEB, peer="10.0.0.1", path="eth0")
FAULTS = of("exavrrp_router_faults", **WEB)
DRAINED = of("exavrrp_router_drain", **WEB, state="drained")
EFFECTIVE = of("exavrrp_router_priority", **WEB, kind="effective")
SESSIONS = of("exavrrp_router_sessions", **WEB)
EXABGP = of("exavrrp_exabgp_up")
LATENESS = of("exavrrp_loop_lateness_seconds")
SKEW = of("exavrrp_clock_skew_seconds", "node2", **WEB, peer="10.0.0.1")
DIFFERS = of("exavrrp_config_differs_from_file")
GAINED = of("exavrrp_transitions_total", **WEB, to="active", reason="preempted")
LOST = of("exavrrp_transitions_total", **WEB, to="backup", reason="superseded")

GOOD: dict[str, str] = {
    of("up"): "1",
    of("up", "node2"): "1",
    UP1: "1",
    UP2: "1",
    ACTIVE1: "1",
    ACTIVE2: "0",
    BACKUP1: "0",
    STANDBY: "1",
    BACKUP2: "1",
    ANNOUNCED: "1",
    ANNOUNCED2: "0",
    of("exavrrp_route_announced", **WEB, state="leaving"): "0",
    QUIET: "0",
    FAULTS: "0",
    DRAINED: "0",
    of("exavrrp_router_priority", **WEB, kind="configured"): "200",
    EFFECTIVE: "200",
    SESSIONS: "1",
    of("exavrrp_router_sessions_required", **WEB): "1",
    EXABGP: "1",
    LATENESS: "0.01",
    of("exavrrp_router_advert_interval_seconds", **WEB): "0.1",
    of("exavrrp_router_advert_interval_seconds", router="dns"): "1",
    of("exavrrp_router_state", router="database", state="active"): "1",
    of("exavrrp_router_state", "node2", router="database", state="backup"): "1",
    SKEW: "-2",
    of("exavrrp_clock_window_seconds", "node2", **WEB): "5",
    DIFFERS: "0",
    GAINED: "1",
    LOST: "1",
}
"""Each series and its value when nothing is wrong: node1 serves, node2 waits; nobody announces the database."""

NODE1, NODE2 = {"instance": "node1", "job": "exavrrp"}, {"instance": "node2", "job": "exavrrp"}

CASES: dict[str, tuple[dict[str, str], int, dict[str, str]]] = {
    "ExavrrpDown": ({UP2: "0"}, 60, NODE2),
    "ExavrrpNoActive": ({ACTIVE1: "0"}, 30, WEB),
    "ExavrrpTwoActives": ({ACTIVE2: "1", ANNOUNCED2: "1"}, 60, WEB),
    "ExavrrpNotAnnounced": ({ANNOUNCED: "0"}, 60, {**NODE1, **WEB, "state": "active"}),
    "ExavrrpNoReadyStandby": ({BACKUP2: "0"}, 300, WEB),
    "ExavrrpPathQuiet": ({QUIET: "1"}, 60, {**NODE2, **WEB, "peer": "10.0.0.1", "path": "eth0"}),
    "ExavrrpFault": ({FAULTS: "2"}, 60, {**NODE1, **WEB}),
    "ExavrrpDrainedForLong": ({DRAINED: "1"}, 86400, {**NODE1, **WEB, "state": "drained"}),
    "ExavrrpPriorityChanged": ({EFFECTIVE: "150"}, 900, {**NODE1, **WEB}),
    "ExavrrpTooFewSessions": ({SESSIONS: "0"}, 30, {**NODE1, **WEB}),
    "ExavrrpExabgpStalled": ({EXABGP: "0"}, 15, NODE1),
    "ExavrrpLoopLate": ({LATENESS: "0.101"}, 0, NODE1),
    "ExavrrpClockSkew": ({SKEW: "-3"}, 60, {**NODE2, **WEB, "peer": "10.0.0.1"}),
    "ExavrrpConfigurationDiffers": ({DIFFERS: "1"}, 900, NODE1),
    "ExavrrpFlapping": ({GAINED: "1x9 2x19 3x70", LOST: "1x19 2x19 3x60"}, 600, {**NODE1, **WEB}),
}
"""Alert → (what is wrong from the first scrape on, seconds until it fires, the labels with which it does)."""


def run_promtool(program: str, path: Path, **document: object) -> None:
    path.write_text(json.dumps(document))  # JSON is YAML
    done = subprocess.run([program, "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def case(wrong: dict[str, str], until: int, checks: list[dict[str, object]]) -> dict[str, object]:
    scrapes = until // TICK + 8
    values = {name: value if "x" in value else f"{value}x{scrapes}" for name, value in (GOOD | wrong).items()}
    series = [{"series": name, "values": value} for name, value in values.items()]
    return {"interval": f"{TICK}s", "input_series": series, "promql_expr_test": checks}


def firing(seconds: int, *samples: dict[str, object]) -> dict[str, object]:
    """What is checked: the alerts that fire at that time."""
    return {"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{seconds}s", "exp_samples": list(samples)}


def test_no_alert_fires_when_nothing_is_wrong(tmp_path: Path, need: Need) -> None:
    run_promtool(
        need("promtool"),
        tmp_path / "tests.json",
        rule_files=[str(RULES)],
        evaluation_interval=f"{TICK}s",
        tests=[case({}, 3600, [firing(3600)])],
    )


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_for_what_it_is_about_and_not_before(alert: str, tmp_path: Path, need: Need) -> None:
    fires(alert, *CASES[alert], promtool=need("promtool"), path=tmp_path / "tests.json")


def test_an_active_alone_knows_that_no_standby_is_ready(tmp_path: Path, need: Need) -> None:
    wrong = {STANDBY: "0"}
    fires("ExavrrpNoReadyStandby", wrong, 300, WEB, promtool=need("promtool"), path=tmp_path / "tests.json")


def fires(
    alert: str, wrong: dict[str, str], seconds: int, labels: dict[str, str], *, promtool: str, path: Path
) -> None:
    """It does after so many seconds, and not before."""
    text = RULES.read_text().partition(f"- alert: {alert}\n")[2]
    severity = re.search(r"severity: (\w+)", text)
    assert severity is not None
    listed = {"alertname": alert, "alertstate": "firing", "severity": severity[1], **labels}
    expected = f"ALERTS{{{','.join(f'{key}={json.dumps(value)}' for key, value in listed.items())}}}"
    before = [firing(seconds - TICK)] if seconds else []
    run_promtool(
        promtool,
        path,
        rule_files=[str(RULES)],
        evaluation_interval=f"{TICK}s",
        tests=[case(wrong, seconds, [*before, firing(seconds, {"labels": expected, "value": 1})])],
    )


def test_each_alert_has_its_case(need: Need) -> None:
    assert set(re.findall(r"- alert: (\w+)", RULES.read_text())) == set(CASES)
    subprocess.run([need("promtool"), "check", "rules", str(RULES)], capture_output=True, check=True)


# With a real Prometheus, real exporters and real agents

DASHBOARD = ROOT / "monitoring" / "dashboard.json"
PROMETHEUS = 9090
PORTS = {"a": 9112, "b": 9113}


@pytest.fixture
def fabric(namespace: Callable[[], Namespace], need: Need) -> Iterator[Fabric]:
    with running.fabric(namespace, need, 6) as built:
        yield built


class Watched:
    """A Prometheus that scrapes both hosts' exporters each second, all in a namespace of their own."""

    def __init__(self, fabric: Fabric, host: Namespace, program: str, directory: Path) -> None:
        self.host = host
        for name, port in PORTS.items():
            configuration = str(fabric.hosts[name].directory / "exavrrp.toml")
            host.popen([*running.AGENT, "exporter", "--config", configuration, "--port", str(port)])
        targets = [{"targets": [f"127.0.0.1:{port}"], "labels": {"instance": name}} for name, port in PORTS.items()]
        document = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "exavrrp", "static_configs": targets}],
        }
        (directory / "prometheus.json").write_text(json.dumps(document))
        with (directory / "prometheus.log").open("w") as log:
            host.popen(
                [
                    program,
                    f"--config.file={directory / 'prometheus.json'}",
                    f"--storage.tsdb.path={directory / 'data'}",
                    f"--web.listen-address=127.0.0.1:{PROMETHEUS}",
                ],
                stdout=log,
                stderr=log,
            )

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        """The data that the API answers; empty while it does not answer."""
        with self.host:
            connection = http.client.HTTPConnection("127.0.0.1", PROMETHEUS, timeout=LIMIT)
            try:
                connection.request("GET", f"/api/v1/{path}?{urlencode(parameters)}")
                answer = json.loads(connection.getresponse().read())
            except (OSError, ValueError):
                return {}
            finally:
                connection.close()
        assert answer["status"] == "success", answer
        data: dict[str, Any] = answer["data"]
        return data

    def health(self) -> set[str]:
        """What became of the last evaluations of all rules."""
        return {rule["health"] for group in self.get("rules").get("groups", []) for rule in group["rules"]}

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that it finds now."""
        found: list[dict[str, Any]] = self.get("query", query=expression).get("result", [])
        return found


def queries(where: str) -> list[tuple[str, str]]:
    """(title, expression) of the dashboard's ``panels`` or ``annotations``, with its variables filled in."""
    document = json.loads(DASHBOARD.read_text())
    asked = {
        "panels": [(panel["title"], target["expr"]) for panel in document["panels"] for target in panel["targets"]],
        "annotations": [(one["name"], one["expr"]) for one in document["annotations"]["list"]],
    }
    values = {"$__rate_interval": "10s", "$instance": ".*", "$router": ".*"}
    return [(title, re.sub(r"\$\w+", lambda name: values[name[0]], expr)) for title, expr in asked[where]]


def test_every_query_finds_data_and_the_series_of_a_killed_agent_are_gone_within_one_scrape(
    fabric: Fabric, namespace: Callable[[], Namespace], need: Need, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text(f"hex:{bytes(range(32)).hex()}\n")
    key.chmod(0o600)
    checks = ["[check.fit]", 'file = "/"', "interval = 0.5"]
    signed = [*checks, "[authentication.nodes]", "active_key = 1", f'keys = {{ 1 = {{ file = "{key}" }} }}']
    for host in (fabric.a, fabric.b):
        host.configure('checks = ["fit"]', agent=['authentication = "nodes"'], checks=signed)
    fabric.start()
    watched = Watched(fabric, namespace(), need("prometheus"), tmp_path)
    for title, expression in queries("panels"):
        wait_until(partial(watched.query, expression), f"data for {title}: {expression}")
    active = 'exavrrp_router_state{state="active",instance="a"}'
    assert [one["value"][1] for one in watched.query(active)] == ["1"]
    wait_until(lambda: watched.health() == {"ok"}, lambda: f"healthy rules: {watched.get('rules')}")

    fabric.a.exabgp.send_signal(signal.SIGSTOP)  # which would start another agent at once
    os.kill(fabric.a.agent, signal.SIGKILL)
    wait_until(lambda: watched.query('exavrrp_up{instance="a"} == 0'), "the next scrape")
    left = {one["metric"]["__name__"] for one in watched.query('{__name__=~"exavrrp_.*",instance="a"}')}
    assert left - {"exavrrp:transitions:total"} == {"exavrrp_up"}
    fabric.b.becomes("active")
    wait_until(lambda: watched.query('exavrrp_router_state{state="active",instance="b"} == 1'), "b to be shown")
    for title, expression in queries("annotations"):
        wait_until(partial(watched.query, expression), f"data for {title}: {expression}")
