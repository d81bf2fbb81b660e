"""`dnsd schema`."""

from __future__ import annotations

from typing import Any

import click

from dnsd.cli.commands import main
from dnsd.cli.show import print_json
from dnsd.model.accounts import AccountFields
from dnsd.model.fields import Fields
from dnsd.model.maps import MapFields
from dnsd.model.zones import ZoneFields
from dnsd.settings.server import Settings

SCHEMAS: dict[str, type[Fields]] = {
    "settings": Settings,
    "account": AccountFields,
    "map": MapFields,
    "zone": ZoneFields,
}


@main.command("schema")
@click.argument("kind", type=click.Choice(list(SCHEMAS)), required=False)
def schema_command(kind: str | None) -> None:
    """Print a JSON Schema for editors.

    Without a KIND of file, the schema covers all kinds.
    """
    dialect = "https://json-schema.org/draft/2020-12/schema"
    if kind:
        print_json({"$schema": dialect, **SCHEMAS[kind].model_json_schema()})
        return
    kinds: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for name, model in SCHEMAS.items():
        schema = model.model_json_schema()
        definitions |= schema.pop("$defs", {})
        kinds[name] = schema
    choices = [{"$ref": f"#/$defs/{name}"} for name in kinds]
    print_json({"$schema": dialect, "anyOf": choices, "$defs": {**definitions, **kinds}})
