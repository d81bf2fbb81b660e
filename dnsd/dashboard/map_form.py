"""Address maps as forms: the input, and the request body built from it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from dnsd.api.bodies import MapBody
from dnsd.api.map_fields import map_fields
from dnsd.api.request import check_texts
from dnsd.dashboard.forms import FormErrors, FormValues
from dnsd.dashboard.visit import Visit
from dnsd.manage.refusal import Fault, RefusedError
from dnsd.model.accounts import Account
from dnsd.model.dataset import Dataset
from dnsd.model.fields import IPAddress, parse_ip
from dnsd.model.maps import AddressMap, MemberKind
from dnsd.model.spelling import is_found, spellings
from dnsd.model.zones import Zone

FIELDS = ("description", "default_sni", "enabled", "ips", "memberships", "deploy_at")
FOUND_ZONES = 20  # shown by a search for zones


@dataclass(frozen=True, slots=True)
class MapForm:
    """The input, as typed."""

    description: str = ""
    default_sni: str = ""
    enabled: bool = True
    account_wide: bool = False
    immutable: bool = False  # in place of the default pool; operators only
    zones: tuple[str, ...] = ()  # ids
    ips: str = ""  # one address per line

    @classmethod
    def of(cls, form: FormValues) -> MapForm:
        """The input of a submitted form."""
        lines = form.get("ips").replace("\r\n", "\n")
        picked = [ip for ip in form.all("static_ip") if ip not in lines.split()]
        return cls(
            description=form.text("description"),
            default_sni=form.text("default_sni"),
            enabled="enabled" in form,
            account_wide=form.text("scope") in ("account", "immutable") or "account_wide" in form,
            immutable=form.text("scope") == "immutable",
            zones=tuple(form.all("zone")),
            ips="\n".join(part for part in (lines.rstrip("\n"), *picked) if part),
        )

    @classmethod
    def of_map(cls, address_map: AddressMap) -> MapForm:
        """The input that describes a map."""
        return cls(
            description=address_map.description,
            default_sni=address_map.default_sni or "",
            enabled=address_map.enabled,
            account_wide=any(one.kind is MemberKind.ACCOUNT for one in address_map.memberships),
            zones=tuple(one.identifier for one in address_map.memberships if one.kind is MemberKind.ZONE),
            ips="\n".join(map(str, address_map.ips)),
        )

    def with_ip(self, ip: str) -> MapForm:
        """The input with one more address."""
        return replace(self, ips="\n".join(part for part in (self.ips.rstrip("\n"), ip) if part))

    @property
    def scope(self) -> str:
        """The value of the form's field `scope`."""
        return "immutable" if self.immutable else "account" if self.account_wide else "zones"

    def ip_lines(self) -> list[str]:
        """The addresses as typed: one per line, or separated by commas, semicolons or spaces."""
        return _split(self.ips)

    def request(self, account: Account) -> dict[str, Any]:
        """The body of a request, not yet validated."""
        members = [{"kind": "account", "identifier": account.id}] if self.account_wide else []
        members += [{"kind": "zone", "identifier": one} for one in self.zones]
        return {
            "description": self.description or None,
            "default_sni": self.default_sni or None,
            "enabled": self.enabled,
            "ips": self.ip_lines(),
            "memberships": members,
            "immutable": self.immutable,
        }

    def body(self, visit: Visit) -> MapBody:
        """The body of a request, validated like the API's. Raises RefusedError."""
        values = self.request(visit.account)
        check_texts(values)
        return map_fields(MapBody, values, visit.dataset, visit.account.id)

    def errors(self, error: RefusedError) -> FormErrors:
        """The errors of a refused form; those of a single address begin with its line."""
        return FormErrors(RefusedError(*map(self._placed, error.faults)), FIELDS)

    def _placed(self, fault: Fault) -> Fault:
        is_one = len(fault.path) == 2 and fault.path[0] == "ips" and isinstance(fault.path[1], int)
        lines = self._lines() if is_one else []
        if len(lines) < 2 or int(fault.path[1]) >= len(lines):
            return fault
        return replace(fault, message=f"line {lines[int(fault.path[1])]}: {fault.message}")

    def _lines(self) -> list[int]:
        """The line of each address."""
        return [number for number, line in enumerate(self.ips.split("\n"), 1) for _ in _split(line)]

    def typed(self) -> set[IPAddress]:
        """The lines that parse as addresses."""
        found = set()
        for text in self.ip_lines():
            with suppress(ValueError):
                found.add(parse_ip(text))
        return found

    def chosen(self, dataset: Dataset, account: Account) -> list[Zone]:
        """The chosen zones that exist in the account."""
        found = (dataset.zones.get(one) for one in self.zones)
        return [zone for zone in found if zone is not None and zone.account_id == account.id]


def _split(text: str) -> list[str]:
    return text.replace(",", " ").replace(";", " ").split()


def found_zones(dataset: Dataset, account: Account, text: str, chosen: Sequence[Zone]) -> tuple[list[Zone], int]:
    """The first zones of an account that are not chosen and have a text in their names; and the number of all."""
    chosen_ids = {zone.id for zone in chosen}
    wanted = spellings(text.strip()) or ("",)
    found = [
        zone
        for zone in dataset.zones.values()
        if zone.account_id == account.id and zone.id not in chosen_ids and is_found(wanted, (f"{zone.name_text}.",))
    ]
    found.sort(key=lambda zone: zone.name_text)
    return found[:FOUND_ZONES], len(found)
