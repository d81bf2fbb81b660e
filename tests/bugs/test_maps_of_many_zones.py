"""The cost of loading a map grows in proportion to its zones."""

from __future__ import annotations

import pathlib
from functools import partial

from dnsd.app import load
from tests.bugs.files import write
from tests.limits import growth


def test_map_of_many_zones_costs_in_proportion(tmp_path: pathlib.Path) -> None:
    """The search for the zones grew with the square: 7 s for 3,000."""
    configs = {}
    for zones in (200, 2000):
        names = [f"z{number}.example" for number in range(zones)]
        members = "\n".join(f"- {{kind: zone, identifier: {name}}}" for name in names)
        files = {f"accounts/a/zones/{name}.yaml": "{}" for name in names}
        folder = tmp_path / str(zones)
        folder.mkdir()
        configs[zones] = write(folder, {**files, "accounts/a/maps/m.yaml": f"memberships:\n{members}\n"})
    assert growth(lambda zones: partial(load, configs[zones], {}), 200, 2000, enough=18) <= 18
