"""Writes a page for each command into docs/commands/, from the command's own help.

python docs/make_commands.py
"""

from __future__ import annotations

import inspect
from pathlib import Path

import click

from dnsd.cli import main

FOLDER = Path(__file__).parent / "commands"
STATUSES = "0 ok · 1 invalid input, or a change that was refused · 2 usage · 3 the server cannot be reached"


def page(name: str, command: click.Command) -> str:
    """The page of one command, as Markdown."""
    context = click.Context(command, info_name=f"dnsd {name}", max_content_width=100)
    context.help_option_names = ["-h", "--help"]
    usage = command.get_usage(context).removeprefix("Usage: ")
    options = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [f"| `{names}` | {text} |" for names, text in filter(None, options)]
    parts = [f"# dnsd {name}", f"```text\n{usage}\n```", inspect.cleandoc(command.help or "")]
    parts += ["\n".join(["| option | meaning |", "|---|---|", *rows]), f"Exit status: {STATUSES}."]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def pages() -> dict[Path, str]:
    """Every page by its file."""
    found = {FOLDER / f"{name}.md": page(name, command) for name, command in sorted(main.commands.items())}
    lines = [
        f"- [dnsd {name}]({name}.md): {command.get_short_help_str(100)}"
        for name, command in sorted(main.commands.items())
    ]
    found[FOLDER / "README.md"] = "# Commands\n\n" + "\n".join(lines) + "\n"
    return found


if __name__ == "__main__":
    for file, text in pages().items():
        file.write_text(text, encoding="utf-8")
