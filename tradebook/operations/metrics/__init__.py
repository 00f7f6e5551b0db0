"""Metrics for Prometheus: of an application by `instrument(book)`, of a database by `tradebook metrics`.

    from prometheus_client import start_http_server
    from tradebook.operations import metrics

    metrics.instrument(book)
    start_http_server(9465)

Needs the extra `prometheus`. `catalog.py` lists every metric.
"""

from __future__ import annotations

from tradebook.operations.metrics.process import instrument

__all__ = ["instrument"]
