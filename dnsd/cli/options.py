"""Options of several commands."""

from __future__ import annotations

import os
from pathlib import Path

import click

config_option = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path, readable=False),
    default=lambda: Path(os.environ.get("DNSD_CONFIG") or "config/dnsd.yaml"),
    help="Settings file; default: $DNSD_CONFIG, else config/dnsd.yaml.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
