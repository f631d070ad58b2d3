"""The table at the end of ``pytest bench``."""

from __future__ import annotations

import pytest
from measure import copy_bandwidth, machine
from rich.console import Console
from rich.table import Table


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    session = getattr(config, "_benchmarksession", None)
    if session is None or not session.benchmarks:
        return
    copy = copy_bandwidth()
    here = machine()
    table = Table(title=f"{here['cpu']}, {here['date']}, {here['backend']} backend; memcpy {copy / 1e9:.1f} GB/s")
    for name in ("kernel", "by", "n", "threads", "ns/coordinate", "min - max", "GB/s", "of memcpy"):
        table.add_column(name, justify="left" if name in ("kernel", "by") else "right")
    for bench in session.benchmarks:
        info, stats = bench.extra_info, bench.stats
        per = 1e9 / info["d"]
        rate = info["bytes"] / stats.median
        spread = f"{stats.min * per:,.1f} - {stats.max * per:,.1f}"
        cells = (info["kernel"], info["by"], info["n"], info["threads"], f"{stats.median * per:,.1f}", spread)
        table.add_row(*map(str, cells), f"{rate / 1e9:.2f}", f"{rate / copy:.2f}")
    Console(width=120).print(table)
