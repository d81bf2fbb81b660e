"""The times of a zone as its YAML file says them."""

from __future__ import annotations

from dnsd.manage.draft import Document, Draft
from dnsd.model.times import Said, Times, time_text
from dnsd.model.zones import Zone


def shown_times(draft: Draft, zone: Zone) -> Document:
    """The times that people see of a zone, also where its file does not say them."""
    return times_document(draft.loaded.times.of_zone(zone))


def times_document(times: Times | Said) -> Document:
    """These times, but for those that are not there."""
    said = {"created_on": times.created, "activated_on": times.activated, "modified_on": times.modified}
    return {name: time_text(at) for name, at in said.items() if at}
