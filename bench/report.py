"""What the measurements say: medians, ratios, and whether the stated aims are met."""

import json
import os
import platform
import subprocess
from dataclasses import asdict
from pathlib import Path
from statistics import median

# Waypost's CPU time a request against another's: (the other, the most it may be of the other's).
AIMS = [("nginx", 1.0), ("relay", 1.25), ("nginx-lua-redis-reconnecting", 1 / 5), ("nginx-lua-redis", 1 / 5)]
# What every contender's CPU time is divided by, and what the column is called.
REFERENCES = {"nginx": "nginx", "relay": "relay", "nginx-lua-redis": "Lua"}


def median_cpu(measurements):
    return median(measurement.cpu.total for measurement in measurements)


def table(results):
    """The results of one body size, {name: [Measurement]}, as a Markdown table."""
    references = [name for name in REFERENCES if name in results]
    head = [
        "contender", "CPU µs/request", "user", "system", "min–max", *(f"÷ {REFERENCES[name]}" for name in references),
        "store µs", "requests/s", "p50 ms", "p99 ms", "core busy", "connects",
    ]
    rows = []
    for name, runs in sorted(results.items(), key=lambda result: median_cpu(result[1])):
        cpu = median_cpu(runs)
        totals = [run.cpu.total for run in runs]
        helper = median(run.helper_cpu for run in runs)
        rows.append([
            name,
            f"{cpu:.2f}",
            f"{median(run.cpu.user for run in runs):.2f}",
            f"{median(run.cpu.system for run in runs):.2f}",
            f"{min(totals):.2f}–{max(totals):.2f}",
            *(f"{cpu / median_cpu(results[reference]):.2f}" for reference in references),
            f"{helper:.2f}" if helper else "",
            f"{median(run.requests_per_second for run in runs):,.0f}",
            f"{median(run.p50_ms for run in runs):.2f}",
            f"{median(run.p99_ms for run in runs):.2f}",
            f"{median(run.busy for run in runs):.0%}",
            f"{median(run.upstream_connections for run in runs):.0f}",
        ])
    return markdown(head, rows)


def aims(results):
    """One line an aim that these results can tell about."""
    lines = []
    for other, limit in AIMS:
        if "waypost" not in results or other not in results:
            continue
        ratio = median_cpu(results["waypost"]) / median_cpu(results[other])
        verdict = "met" if ratio <= limit else "not met"
        lines.append(f"waypost ≤ {limit:g} × {other}: {verdict} ({ratio:.2f})")
    return lines


def scale_table(lines):
    """The JSON lines that the table's `scale` example prints, as a Markdown table."""
    records = [json.loads(line) for line in lines if line.startswith("{")]
    columns = list(dict.fromkeys(key for record in records for key in record))
    return markdown(columns, [[_cell(record.get(column, "")) for column in columns] for record in records])


def machine():
    """The machine and the programs, one line each."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return [
        f"{model}, {os.cpu_count()} cores, Linux {platform.release()}",
        ", ".join(_version(command) for command in (["nginx", "-v"], ["haproxy", "-v"], ["redis-server", "-v"])),
    ]


def as_json(results_by_body, load):
    """Everything measured, for a program to read."""
    results = {
        str(body): {name: [asdict(run) for run in runs] for name, runs in results.items()}
        for body, results in results_by_body.items()
    }
    return json.dumps({"machine": machine(), "load": asdict(load), "results": results}, indent=2) + "\n"


def markdown(head, rows):
    rows = [head, *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def _cell(value):
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _version(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except FileNotFoundError:
        return f"no {command[0]}"
    return ((done.stdout + done.stderr).splitlines() or [command[0]])[0].strip()
