"""Generate pages from the code: one for each command, one for all settings, and the API's tables.

python -m docs.make_pages
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dnsd.api.codes import CODES
from dnsd.api.routes import BASE, ROUTES
from dnsd.cli import main
from dnsd.settings.restart import NEEDS_START
from dnsd.settings.server import Settings
from dnsd.settings.shared import is_shared

DOCS = Path(__file__).parent
STATUSES = "0 success · 1 invalid input, or a change was refused · 2 wrong usage · 3 the server cannot be reached"
SETTINGS_INTRO = """# Settings

The settings are one YAML file: `-c FILE`, else `$DNSD_CONFIG`, else `config/dnsd.yaml`. The environment overrides every
key: `DNSD_LIMITS__TCP__IDLE_S` sets `limits.tcp.idle_s`. A value out of range is refused with its name and range. A
reload applies all settings except those marked *start*. Those marked *fleet* are the same on all nodes of a fleet,
which has them itself ([fleet.md](fleet.md), *Settings of all nodes*): there, a value in this file has no effect.
"""


def command_page(name: str, command: click.Command) -> str:
    """The page of a command and its subcommands, as Markdown."""
    parts = [f"# dnsd {name}", *command_parts(name, command)]
    for inner, one in sorted(command.commands.items()) if isinstance(command, click.Group) else ():
        parts += [f"## dnsd {name} {inner}", *command_parts(f"{name} {inner}", one)]
    return "\n\n".join(part.strip() for part in (*parts, f"Exit status: {STATUSES}.")) + "\n"


def command_parts(name: str, command: click.Command) -> list[str]:
    """Usage, help and options of a command."""
    context = click.Context(command, info_name=f"dnsd {name}", max_content_width=100)
    context.help_option_names = ["-h", "--help"]
    usage = command.get_usage(context).removeprefix("Usage: ")
    options = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [f"| `{escaped(names)}` | {escaped(text)} |" for names, text in filter(None, options) if text]
    table = "\n".join(["| option | meaning |", "|---|---|", *rows])
    return [f"```text\n{usage}\n```", inspect.cleandoc(command.help or ""), table]


def escaped(text: str) -> str:
    """The text, escaped for a cell of a table."""
    return text.replace("|", r"\|")


def settings_page() -> str:
    """The page of all settings."""
    rows = [f"| `{key}` | {default} | {bounds} | {text} |" for key, default, bounds, text in settings_rows(Settings)]
    return "\n".join([SETTINGS_INTRO, "| setting | default | range | meaning |", "|---|---|---|---|", *rows]) + "\n"


def settings_rows(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Yield key, default, range and meaning of each setting, nested ones included."""
    for name, field in model.model_fields.items():
        inner = inner_model(field)
        if inner:
            yield from settings_rows(inner, f"{prefix}{name}.")
            continue
        assert field.description, f"{prefix}{name} has no description"
        mark = "*start*; " if needs_start(prefix + name) else ""
        mark += "*fleet*; " if is_shared(tuple(f"{prefix}{name}".split("."))) else ""
        default = default_text(field)
        if field.is_required():
            default = f"required with `{prefix[:-1]}`" if prefix else "required"
        yield prefix + name, default, range_text(field), mark + field.description


def needs_start(key: str) -> bool:
    """Whether only a restart can change the setting."""
    return any(f"{key}.".startswith(".".join((*path, ""))) for path in NEEDS_START)


def inner_model(field: FieldInfo) -> type[BaseModel] | None:
    """The model of the settings nested in this one, None if it is a plain value."""
    for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def default_text(field: FieldInfo) -> str:
    """The default as written in a settings file."""
    value: Any = field.default
    if value is None or value == ():
        return "–"
    if isinstance(value, tuple):
        return ", ".join(f"`{one}`" for one in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def range_text(field: FieldInfo) -> str:
    """The least and the greatest value, "" if the setting has no range."""
    low = next((one.ge for one in field.metadata if hasattr(one, "ge")), None)
    high = next((one.le for one in field.metadata if hasattr(one, "le")), None)
    return "" if low is None or high is None else f"{low:,} … {high:,}"


def api_page(text: str) -> str:
    """The page of the API, with its tables of errors and routes made from the code."""
    codes = [f"| {code.number} | {code.status} | {code.meaning} |" for code in sorted(CODES.values())]
    routes = [f"| {route.method} | `{route.path}` | {route.permission} | {route.answer.__doc__} |" for route in ROUTES]
    text = with_table(text, "codes", "| code | status | meaning |\n|---|---|---|", codes)
    return with_table(text, "routes", f"Below `{BASE}`.\n\n| | | needs | |\n|---|---|---|---|", routes)


def with_table(text: str, name: str, head: str, rows: list[str]) -> str:
    """The text, with the table between the marks `name` replaced."""
    before, _, rest = text.partition(f"<!-- {name} -->")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    return "\n".join([f"{before}<!-- {name} -->", head, *rows, f"{end}{after}"])


def pages() -> dict[Path, str]:
    """Every made page, by its file."""
    context = click.Context(main)
    commands = [(name, one) for name in main.list_commands(context) if (one := main.get_command(context, name))]
    found = {DOCS / "commands" / f"{name}.md": command_page(name, command) for name, command in commands}
    lines = [f"- [dnsd {name}]({name}.md): {command.get_short_help_str(100)}" for name, command in commands]
    found[DOCS / "commands" / "README.md"] = "# Commands\n\n" + "\n".join(lines) + "\n"
    found[DOCS / "settings.md"] = settings_page()
    found[DOCS / "api.md"] = api_page((DOCS / "api.md").read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    for file, text in pages().items():
        file.write_text(text, encoding="utf-8")
