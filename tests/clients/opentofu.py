"""OpenTofu with Cloudflare's provider, unmodified, in a folder of its own, for one server."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.api.server import Api
from tests.clients.tools import PROVIDER, tool

EMPTY, CHANGES = 0, 2  # exit statuses of `plan -detailed-exitcode`
RUN_S = 600.0
STATE = "terraform.tfstate"
HEAD = """
terraform {
  required_providers {
    cloudflare = { source = "cloudflare/cloudflare" }
  }
}
provider "cloudflare" {}
"""
CLI = """
provider_installation {
  dev_overrides { "cloudflare/cloudflare" = "%s" }
  direct {}
}
"""


class Tofu:
    """A working folder of OpenTofu."""

    def __init__(self, folder: Path, api: Api, token: str) -> None:
        folder.mkdir()
        self.folder = folder
        self._tofu = tool("tofu")
        (folder / "cli.tfrc").write_text(CLI % tool(PROVIDER).parent)
        self._environment = {
            **os.environ,
            "TF_CLI_CONFIG_FILE": str(folder / "cli.tfrc"),
            "CLOUDFLARE_BASE_URL": f"{api.origin}/client/v4",
            "CLOUDFLARE_API_TOKEN": token,
            "CHECKPOINT_DISABLE": "1",
            "TF_CLI_ARGS": "-no-color",
        }

    def run(self, *arguments: str, status: int = 0) -> str:
        """The output of a command that must end with this status."""
        done = subprocess.run(
            [self._tofu, *arguments],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_S,
        )
        said = done.stdout + done.stderr
        assert done.returncode == status, said
        return said

    def write(self, *parts: str) -> None:
        """Make these parts the whole configuration."""
        (self.folder / "main.tf").write_text("".join((HEAD, *parts)))

    def apply(self, *parts: str) -> None:
        """Apply a configuration; the plan after it must be empty."""
        self.write(*parts)
        self.run("apply", "-auto-approve", "-input=false")
        self.plan(EMPTY)

    def plan(self, status: int) -> str:
        """The plan, which must be empty or have changes."""
        return self.run("plan", "-detailed-exitcode", "-input=false", status=status)

    def forget(self) -> None:
        """Lose the state, as if the objects had been made otherwise."""
        (self.folder / STATE).unlink()

    def adopt(self, resource: str, import_id: str) -> None:
        """Import an object."""
        self.run("import", "-input=false", resource, import_id)

    def attribute(self, resource: str, name: str) -> Any:
        """An attribute of a resource in the state."""
        kind, label = resource.split(".")
        state = json.loads((self.folder / STATE).read_text())
        (found,) = (one for one in state["resources"] if (one["type"], one["name"]) == (kind, label))
        return found["instances"][0]["attributes"][name]
