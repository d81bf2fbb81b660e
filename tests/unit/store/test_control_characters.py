"""Control characters in texts for people: a warning in YAML files, nothing that a terminal would obey on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnsd.app import load

ZONE = "records:\n- {{name: www, type: A, content: 192.0.2.1, comment: {comment}, tags: [{tag}]}}\n"
SETTINGS = "default_addresses: [192.0.2.1]\nnameservers: [ns1.example.net]\ndata: accounts\n"


def warnings(folder: Path, comment: str, tag: str, description: str) -> list[str]:
    (folder / "accounts/acme/zones").mkdir(parents=True)
    (folder / "accounts/acme/maps").mkdir()
    (folder / "dnsd.yaml").write_text(SETTINGS)
    (folder / "accounts/acme/account.yaml").write_text("name: Acme\nstatic_ips: [203.0.113.1]\n")
    (folder / "accounts/acme/zones/shop.example.yaml").write_text(ZONE.format(comment=comment, tag=tag))
    (folder / "accounts/acme/maps/one.yaml").write_text(f"description: {description}\nips: [203.0.113.1]\n")
    return [str(one) for one in load(folder / "dnsd.yaml", {}).warnings if "control characters" in one.message]


@pytest.mark.parametrize("escape", [r"\e", r"\x1b", r"\a", r"\b", r"\f", r"\v", r"\0", r"\x7f", r"\x9b"])
def test_control_characters_in_yaml_are_a_warning_with_their_place(tmp_path: Path, escape: str) -> None:
    found = warnings(tmp_path, f'"a{escape}b"', f'"{escape}"', f'"{escape}[2J"')
    assert sorted(line.split(": ")[1] for line in found) == ["description", "records[0].comment", "records[0].tags[0]"]
    assert all("remove them" in line for line in found)


@pytest.mark.parametrize("text", ['"a\\nb"', '"a\\tb"', "plain", '"\\"quoted\\" \\\\"', '"é – 中 \\u202e"'])
def test_other_texts_are_no_warning(tmp_path: Path, text: str) -> None:
    assert warnings(tmp_path, text, '"team:dns"', text) == []
