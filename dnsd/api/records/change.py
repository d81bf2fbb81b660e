"""Changes to a zone's records, for the routes of the API and the forms of the dashboard."""

from __future__ import annotations

from collections.abc import Callable

from dnsd.api.records.show import record_tag
from dnsd.api.request import check_tag
from dnsd.app import Loaded
from dnsd.manage.draft import Draft
from dnsd.manage.find import find_zone
from dnsd.manage.records import Batch, BatchResult, change_records
from dnsd.manage.service import Actor, Service
from dnsd.model.zones import Zone


async def change_zone(
    service: Service,
    actor: Actor,
    action: str,
    zone_id: str,
    batch: Callable[[Zone], Batch],
    *,
    record_id: str = "",
    if_match: str = "*",
) -> tuple[BatchResult, Loaded, Zone]:
    """Change the records of a zone; with `record_id`, only if the record still matches the tags of `if_match`.

    Raises RefusedError.
    """

    def verb(draft: Draft) -> BatchResult:
        zone = find_zone(draft.dataset, zone_id)
        if record_id and (tag := record_tag(draft.loaded, zone, record_id)) is not None:
            check_tag(if_match, tag)
        return change_records(draft, zone_id, batch(zone))

    result, loaded = await service.change(actor, action, verb)
    return result, loaded, find_zone(loaded.dataset, zone_id)
