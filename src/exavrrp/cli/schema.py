"""``exavrrp schema``: for editors that complete and check while one writes."""

import click
from msgspec import json

from exavrrp.config import json_schema


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of the configuration.

    Editors with taplo (Even Better TOML) use it if the first line of the file is "#:schema ./exavrrp.schema.json".
    """
    click.echo(json.format(json.encode(json_schema()), indent=2))
