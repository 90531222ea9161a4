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
# A contender that waited for its core for more than this part of the time was not alone on it. Below, its
# own threads may have waited for one another: a log's writer takes a few percent.
QUIET = 0.1
# What every contender's CPU time is divided by, and what the column is called.
REFERENCES = {"nginx": "nginx", "relay": "relay", "nginx-lua-redis": "Lua"}


def median_cpu(measurements):
    return median(measurement.cpu.total for measurement in measurements)


def table(results):
    """The results of one body size, {name: [Measurement]}, as a Markdown table."""
    references = [name for name in REFERENCES if name in results]
    head = [
        "contender", "CPU µs/request", "user", "system", "min–max", *(f"÷ {REFERENCES[name]}" for name in references),
        "store µs", "requests/s", "p50 ms", "p99 ms", "core busy", "disturbed", "connects",
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
            f"{median(run.disturbed for run in runs):.0%}",
            f"{median(run.upstream_connections for run in runs):.0f}",
        ])
    return markdown(head, rows)


def disturbed(results):
    """The contenders whose core something else used as well, so much that their numbers are rough."""
    return [name for name, runs in results.items() if median(run.disturbed for run in runs) > QUIET]


def aims(results):
    """One line an aim that these results can tell about. What a store works for a contender at each request
    is part of what a request costs there: Waypost does its looking up itself."""
    lines = []
    for other, limit in AIMS:
        if "waypost" not in results or other not in results:
            continue
        store = median(run.helper_cpu for run in results[other])
        ratio = median_cpu(results["waypost"]) / (median_cpu(results[other]) + store)
        verdict = "met" if ratio <= limit else "not met"
        name = f"{other} with its store" if store else other
        lines.append(f"waypost ≤ {limit:g} × {name}: {verdict} ({ratio:.2f})")
    return lines


def scale_table(lines):
    """The JSON lines that the table's `scale` example prints, one a table size, as a Markdown table: a
    column a size, a row a measure."""
    records = [_flat(json.loads(line)) for line in lines if line.startswith("{")]
    sizes = [_cell(record.pop("hosts")) for record in records]
    measures = dict.fromkeys(key for record in records for key in record)
    rows = [[measure, *(_cell(record.get(measure, "")) for record in records)] for measure in measures]
    return markdown(["hosts", *sizes], rows)


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


def as_json(results_by_name, load, freshness, memcached):
    """Everything measured, for a program to read."""
    results = {
        str(what): {name: [asdict(run) for run in runs] for name, runs in results.items()}
        for what, results in results_by_name.items()
    }
    whole = {"machine": machine(), "load": asdict(load), "results": results}
    whole |= {"freshness": freshness, "memcached": memcached}
    return json.dumps(whole, indent=2) + "\n"


def markdown(head, rows):
    rows = [head, *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def _flat(record):
    """`record` with its inner objects' members as its own: {"busy": {"p50": 1}} is {"busy p50": 1}."""
    flat = {}
    for key, value in record.items():
        if isinstance(value, dict):
            flat |= {f"{key} {inner}": content for inner, content in value.items()}
        else:
            flat[key] = value
    return flat


def _cell(value):
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def _version(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except FileNotFoundError:
        return f"no {command[0]}"
    return ((done.stdout + done.stderr).splitlines() or [command[0]])[0].strip()
