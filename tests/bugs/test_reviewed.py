"""Former bugs in answers, as small cases."""

from __future__ import annotations

import os
import pathlib
from functools import partial

import dns.message
import dns.rcode
import pytest

from dnsd.app import Loaded, load
from dnsd.engine.respond import respond
from dnsd.errors import InvalidDataError
from tests.limits import growth
from tests.packets import opt

SETTINGS = "default_addresses: [198.51.100.10]\nnameservers: [ns1.example.net]\n"
APEX = 'records: [{name: "@", type: CNAME, content: origin.hosting.test, proxied: true}]\n'


def write(folder: pathlib.Path, files: dict[str, str]) -> pathlib.Path:
    for name, text in {"dnsd.yaml": SETTINGS, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "dnsd.yaml"


def answers(loaded: Loaded, name: str, qtype: str) -> list[str]:
    reply = respond(loaded.snapshot, dns.message.make_query(name, qtype).to_wire())
    assert reply is not None
    return [line for rrset in dns.message.from_wire(reply).answer for line in str(rrset).splitlines()]


@pytest.mark.parametrize("state", ["paused: true", "status: pending", "status: moved"])
def test_proxied_apex_cname_answered_as_stored_is_a_cname(tmp_path: pathlib.Path, state: str) -> None:
    """address-maps.md: CNAMEs as CNAMEs; only a DNS-only one is flattened at the apex."""
    loaded = load(write(tmp_path, {"accounts/a/zones/example.com.yaml": f"{APEX}{state}\n"}), {})
    assert not loaded.warnings
    assert answers(loaded, "example.com", "A") == ["example.com. 300 IN CNAME origin.hosting.test."]


def test_proxied_tag_on_another_type_is_ignored(tmp_path: pathlib.Path) -> None:
    zone = "@ 1 MX 5 mail.example.net. ; cf_tags=cf-proxied:true\n"
    loaded = load(write(tmp_path, {"accounts/a/zones/example.com.zone": zone}), {})
    assert answers(loaded, "example.com", "MX") == ["example.com. 300 IN MX 5 mail.example.net."]


def test_zone_of_another_name_than_its_file_s_is_a_warning(tmp_path: pathlib.Path) -> None:
    zone = "example.org. 60 SOA a. b. 1 2 3 4 5\nexample.org. 60 NS a.\n"
    loaded = load(write(tmp_path, {"accounts/a/zones/export.zone": zone}), {})
    assert ["example.org" in str(warning) for warning in loaded.warnings] == [True]


def test_settings_that_are_a_pipe_are_refused_at_once(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "dnsd.yaml")
    with pytest.raises(InvalidDataError, match="not a regular file"):
        load(tmp_path / "dnsd.yaml", {})


def test_settings_and_data_are_reported_in_one_go(tmp_path: pathlib.Path) -> None:
    config = write(tmp_path, {"accounts/a/zones/example.com.yaml": "statsu: active\n"})
    config.write_text(SETTINGS + "wrokers: 2\n")
    with pytest.raises(InvalidDataError) as caught:
        load(config, {})
    errors = [str(problem) for problem in caught.value.problems if not problem.warning]
    assert ["did you mean 'status'" in errors[0], "did you mean 'workers'" in errors[1]] == [True, True]


def test_name_of_a_folder_that_is_too_long_is_a_problem(tmp_path: pathlib.Path) -> None:
    config = write(tmp_path, {})
    config.write_text(f"{SETTINGS}data: {'a' * 300}\n")
    with pytest.raises(InvalidDataError, match="there is no folder"):
        load(config, {})


def test_variables_of_a_kubernetes_service_are_not_settings(tmp_path: pathlib.Path) -> None:
    config = write(tmp_path, {"accounts/a/account.yaml": "name: A\n"})
    load(config, {"DNSD_SERVICE_HOST": "192.0.2.1", "DNSD_PORT_53_UDP": "x", "DNSD_PORT": "udp://192.0.2.1:53"})


def test_text_from_the_environment_is_taken_as_it_is(tmp_path: pathlib.Path) -> None:
    config = write(tmp_path, {"accounts/a/account.yaml": "name: A\n"})
    assert load(config, {"DNSD_VERSION": "2 # of 3"}).settings.version == "2 # of 3"


def test_problem_is_one_line_whatever_the_file_s_name(tmp_path: pathlib.Path) -> None:
    config = write(tmp_path, {"accounts/a/zones/a\n\x1b[31mb.txt": "x", "accounts/a/zones/example.com.yaml": "{}"})
    with pytest.raises(InvalidDataError) as caught:
        load(config, {})
    assert str(caught.value).count("\n") == 0
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("head", ["0000 0000 0000 0000 0001", "2000 0001 0000 0000 0001"], ids=["QDCOUNT 0", "NOTIFY"])
def test_opt_is_answered_with_opt_in_errors_too(tmp_path: pathlib.Path, head: str) -> None:
    """RFC 6891 §6.1.1."""
    loaded = load(write(tmp_path, {"accounts/a/account.yaml": "name: A\n"}), {})
    question = b"\x03www\x07example\x03com\x00\x00\x01\x00\x01" if head.split()[1] == "0001" else b""
    reply = respond(loaded.snapshot, b"\x00\x07" + bytes.fromhex(head) + question + opt(size=1232))
    assert reply is not None
    message = dns.message.from_wire(reply)
    assert message.edns == 0
    assert message.rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP)


REFUSED = {
    "a LOC too high": (
        "records: [{name: a, type: LOC, content: 90 0 0 N 180 0 0 E 99999999999m}]\n",
        "not valid LOC data",
    ),
    "records that are no list": ("records: {}\n", "expected a list of records"),
}


@pytest.mark.parametrize(("zone", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_zone_is_refused(tmp_path: pathlib.Path, zone: str, said: str) -> None:
    with pytest.raises(InvalidDataError, match=said):
        load(write(tmp_path, {"accounts/a/zones/example.com.yaml": zone}), {})


@pytest.mark.parametrize("pool", ["198.51.100.10, 198.51.100.10", ", ".join(f"198.51.{n}.1" for n in range(101))])
def test_pool_is_a_set_of_a_hundred_at_most(tmp_path: pathlib.Path, pool: str) -> None:
    with pytest.raises(InvalidDataError):
        load(write(tmp_path, {"accounts/a/account.yaml": "name: A\n"}), {"DNSD_DEFAULT_ADDRESSES": pool})


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
