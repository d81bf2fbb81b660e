"""`dnsd status`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from dnsd.cli.commands import main
from dnsd.cli.local import STATUS_TIMEOUT_S, ask_server
from dnsd.cli.options import config_option, json_option
from dnsd.cli.show import print_json, print_table
from dnsd.process.link import MessageKind


@main.command("status")
@config_option
@json_option
def status_command(config: Path, *, as_json: bool) -> None:
    """Show the running server's state.

    Prints whether the server is ready, and why not; its data and their age; the messages received, answered and
    dropped; and the CPU time and memory of each process. The exit status is 0 whenever the server replies: a watchdog
    should request /healthz and /readyz from the `metrics` address instead.
    """
    status = ask_server(config, MessageKind.STATUS, {}, STATUS_TIMEOUT_S)
    if as_json:
        print_json(status)
    else:
        print_status(status)


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


def _duration(seconds: float) -> str:
    days, rest = divmod(int(seconds), 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{value} {unit}" for value, unit in parts if value) or "0 s"
