"""Bodies of address maps: the faults of all addresses at once, in their syntax and in their use by the account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from dnsd.api.bodies import MAX_LISTED
from dnsd.api.request import MAX_FAULTS, Call, fields_of
from dnsd.errors import BrokenRule
from dnsd.manage.refusal import REASON_OF_RULE, Fault, RefusedError
from dnsd.model.dataset import Dataset
from dnsd.model.dataset_rules import may_not_use
from dnsd.model.fields import F, parse_ip


def map_fields(model: type[F], data: Mapping[str, Any], dataset: Dataset, account_id: str) -> F:
    """A model instance from the data of a map. Raises RefusedError with every fault.

    The verb reports addresses outside of the account's space, but sees only data without faults of syntax.
    """
    try:
        return fields_of(model, data)
    except RefusedError as error:
        faults = [*error.faults, *islice(_space_faults(data.get("ips"), dataset, account_id), MAX_FAULTS)]
        raise RefusedError(*sorted(faults, key=_row)) from None


def called_fields(call: Call, model: type[F]) -> F:
    """The body of a call about a map of the account in its path. Raises RefusedError."""
    call.check_others(model, None)
    return map_fields(model, call.json, call.dataset, call.path["account_id"])


def _row(fault: Fault) -> int:
    place = fault.path[-1] if fault.path[:1] == ("ips",) else None
    return place if isinstance(place, int) else -1


def _space_faults(ips: Any, dataset: Dataset, account_id: str) -> Iterator[Fault]:
    for index, text in enumerate(ips[:MAX_LISTED] if isinstance(ips, list) else ()):
        try:
            ip = parse_ip(text)
        except (ValueError, TypeError, AttributeError):
            continue
        if account_id in dataset.accounts and (why := may_not_use(dataset, account_id, ip)):
            yield Fault(REASON_OF_RULE[BrokenRule.OUTSIDE_SPACE], f"{ip} {why}", ("ips", index))
