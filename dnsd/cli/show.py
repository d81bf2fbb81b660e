"""The output of commands: tables and coloured text on a terminal, plain text in a pipe, or JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import click

from dnsd.compile.explain import Explanation, NameExplained
from dnsd.errors import Problem, printable
from dnsd.wire.reply_text import reply_data


def say(text: str) -> None:
    """Print a line for the operator on stderr; a closed stderr is ignored."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def report(problems: Iterable[Problem]) -> None:
    """Print each problem on a line of stderr."""
    for problem in problems:
        say(problem.line())


def print_json(data: Any) -> None:
    """Print data as JSON."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def print_explanation(found: Explanation) -> None:
    """Print an answer, and the steps to it."""
    data = reply_data(found.reply)
    click.echo(f"{click.style(data['rcode'], bold=True)}")
    for section in ("answer", "authority", "additional"):
        for line in data[section]:
            click.echo(f"  {line}" if section == "answer" else f"  {line}  ; {section}")
    for step in found.names:
        click.echo()
        _print_step(step)


def _print_step(step: NameExplained) -> None:
    click.secho(step.name, bold=True)
    rows = [("zone", step.zone or "not served here"), ("account", step.account), ("node", step.node)]
    for label, value in (*rows, ("served", step.served)):
        if value:
            click.echo(f"  {label:8} {value}")
    width = max((len(verdict.map) for verdict in step.maps), default=0)
    for number, verdict in enumerate(step.maps):
        mark = click.style("used   ", fg="green") if verdict.taken else "skipped"
        label = "maps" if number == 0 else ""
        click.echo(f"  {label:8} {mark}  {verdict.map:{width}}  {verdict.step:9}  {verdict.why}")


def print_status(status: dict[str, Any]) -> None:
    """Print the status of a running server."""
    source, data, traffic = status["source"], status["data"], status["traffic"]
    ready = click.style("ready", fg="green") if status["ready"] else click.style("not ready", fg="red", bold=True)
    if status["answering"] and not status["ready"]:
        ready += ", but answering"
    elif status["reasons"]:
        ready += ", with problems"
    click.echo(f"dnsd {status['version']}, {ready}, up {_duration(status['uptime_s'])}, revision {status['revision']}")
    for reason in status["reasons"]:
        click.echo(f"  {click.style(reason, fg='red')}")
    loaded = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(source["loaded_at"]))
    rows = [
        ("listening", ", ".join(status["listening"])),
        *((what, f"http{'s' * (what in status['tls'])}://{address}") for what, address in status["http"].items()),
        ("source", f"{'good' if source['ok'] else 'not good'}, read {loaded} in {source['seconds']:.2f} s"),
        ("data", ", ".join(f"{count:,} {what}" for what, count in data.items())),
        ("traffic", ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in traffic.items())),
        ("state", status["state"]),
    ]
    for label, value in rows:
        click.echo(f"  {label:9} {value}")
    click.echo()
    columns = ("process", "pid", "revision", "starts", "cpu s", "memory MiB", "fds", "threads")
    print_table(columns, [_process_row(process) for process in status["processes"]])


def _process_row(process: dict[str, Any]) -> tuple[str, ...]:
    return (
        process["process"],
        str(process["pid"]),
        str(process["revision"] or "-"),
        str(process["starts"] or 1),
        f"{process.get('cpu_s', 0):.1f}",
        f"{process.get('resident_bytes', 0) / 2**20:.1f}",
        str(process.get("open_fds", "-")),
        str(process.get("threads", "-")),
    )


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> None:
    """Print a table: the first `words` columns aligned left, the others, which are numbers, aligned right."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in (columns, *rows)) for index in range(len(columns))]
    for number, row in enumerate((columns, *rows)):
        sides = [str.ljust] * words + [str.rjust] * (len(columns) - words)
        cells = [side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)]
        click.secho("  " + "  ".join(cells).rstrip(), bold=number == 0)


def print_rows(rows: Sequence[tuple[str, str]]) -> None:
    """Print labels with their values; a row with an empty value is left out."""
    width = max((len(label) for label, _ in rows), default=0)
    for label, value in rows:
        if value:
            click.echo(f"  {label:{width}}  {printable(value)}")


def labelled(label: str, values: Sequence[str]) -> list[tuple[str, str]]:
    """Rows for the values of one label; only the first row shows the label."""
    return [("" if number else label, value) for number, value in enumerate(values)]


def _duration(seconds: float) -> str:
    days, rest = divmod(int(seconds), 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{value} {unit}" for value, unit in parts if value) or "0 s"
