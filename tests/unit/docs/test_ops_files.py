"""The dashboard and the alert rules in ops/: well-formed, and about metrics, labels and headings that exist."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from tests.support.checkout import ROOT
from tradebook.operations.metrics import catalog

RUNBOOK = ROOT / "docs" / "operations.md"
METRICS = (*catalog.PROCESS_METRICS, *catalog.DATABASE_METRICS)
PARTS = {"histogram": ("_bucket", "_sum", "_count")}
SERIES = {m.name: [m.name + part for part in PARTS.get(m.kind, ("",))] for m in METRICS}
NAMES = {name for names in SERIES.values() for name in names}
LABELS = {label for metric in METRICS for label in metric.labels} | {"le", "instance", "job"}
INCIDENTS = {
    "incident-the-database-does-not-answer",
    "incident-no-metrics",
    "incident-unresolved-alerts",
    "incident-a-feed-repeats-fills",
    "incident-calls-fail",
    "incident-trades-are-slow",
    "incident-many-conflicts",
    "incident-connections-are-lost",
    "incident-the-pool-is-exhausted",
    "incident-a-blocking-session",
    "incident-a-long-transaction",
    "incident-dead-rows",
    "incident-reads-come-from-disk",
    "incident-the-server-runs-out-of-connections",
    "incident-a-standby-lags",
    "incident-the-log-is-not-archived",
    "incident-a-slot-keeps-the-log",
    "incident-sessions-are-hidden",
}
_WORDS = {"and", "or", "unless", "bool", "offset"}
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"\{([^}]*)\}")


def dashboard() -> dict[str, Any]:
    return json.loads((ROOT / "ops" / "grafana-dashboard.json").read_text())


def rules() -> list[dict[str, Any]]:
    loaded = yaml.safe_load((ROOT / "ops" / "alert-rules.yml").read_text())
    assert set(loaded) == {"groups"}
    assert all(set(group) == {"name", "rules"} for group in loaded["groups"])
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def names_in(expression: str) -> set[str]:
    """The metrics that a PromQL expression asks for: what is no function, label, duration or word of it."""
    bare = _GROUPING.sub("", _SELECTOR.sub("", re.sub(r'"[^"]*"', '""', expression)))
    bare = re.sub(r"\[[^\]]*\]", "", bare)
    found = re.findall(r"(?<![\w.])([A-Za-z_:][\w:]*)(?!\s*\(|[\w:])", bare)
    return set(found) - _WORDS


def labels_in(expression: str) -> set[str]:
    grouped = re.findall(r"\w+", " ".join(_GROUPING.findall(expression)))
    selected = re.findall(r"(\w+)\s*(?:=|!=|=~|!~)\s*\"", " ".join(_SELECTOR.findall(expression)))
    return {*grouped, *selected}


def expressions() -> list[str]:
    panels = dashboard()["panels"]
    shown = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [*shown, *(rule["expr"] for rule in rules())]


def test_the_names_in_an_expression_are_found() -> None:
    expression = 'sum by (le, a) (rate(one_total{b="c"}[5m])) / on (d) (two > 3e2 and max(three)) '
    assert names_in(expression) == {"one_total", "two", "three"}
    assert labels_in(expression) == {"le", "a", "b", "d"}
    assert names_in("absent(tradebok_up) == 0") == {"tradebok_up"}


@pytest.mark.parametrize("expression", expressions())
def test_every_metric_and_label_that_is_asked_for_is_exported(expression: str) -> None:
    assert names_in(expression)
    assert names_in(expression) <= NAMES
    assert labels_in(expression) <= LABELS


def test_every_metric_is_on_the_dashboard() -> None:
    shown = set().union(*map(names_in, expressions()))
    assert [m.name for m in METRICS if not shown & set(SERIES[m.name])] == []


def test_the_dashboard_has_what_grafana_asks_for() -> None:
    board = dashboard()
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= set(board)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in board["panels"]:
        assert {"type", "title", "gridPos"} <= set(panel)
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${source}"
            assert [t["refId"] for t in panel["targets"]] == ["A", "B", "C", "D"][
                : len(panel["targets"])
            ]
    assert [variable["name"] for variable in board["templating"]["list"]] == ["source"]


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not taken & cells
        taken |= cells


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_says_how_bad_it_is_what_happened_and_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Tradebook[A-Z]\w+", rule["alert"])
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
    assert rule["annotations"]["summary"].endswith(".")
    document, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert document == "docs/operations.md"
    assert anchor in INCIDENTS


def test_no_two_alerts_have_one_name_and_every_incident_has_an_alert() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    anchors = {rule["annotations"]["runbook_url"].partition("#")[2] for rule in rules()}
    assert anchors == INCIDENTS


def test_every_incident_is_a_heading_of_the_runbook() -> None:
    if RUNBOOK.exists():
        headings = re.findall(r"^#+ (.*)$", RUNBOOK.read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in headings}
        assert anchors >= INCIDENTS


def test_the_documentation_lists_every_metric() -> None:
    lines = ["| metric | kind | labels | description |", "|---|---|---|---|"]
    sources = {
        "the application's process": catalog.PROCESS_METRICS,
        "`tradebook metrics`": catalog.DATABASE_METRICS,
    }
    for source, metrics in sources.items():
        lines.append(f"| **from {source}** | | | |")
        for m in metrics:
            lines.append(f"| `{m.name}` | {m.kind} | {', '.join(m.labels)} | {m.description} |")
    table = "\n".join(lines) + "\n"
    assert table in (ROOT / "docs" / "monitoring.md").read_text(), table
