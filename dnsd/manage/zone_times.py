"""The times of a zone in the form of its YAML file."""

from __future__ import annotations

from dnsd.manage.draft import Document, Draft
from dnsd.model.times import Times, WrittenTimes, time_text
from dnsd.model.zones import Zone


def shown_times(draft: Draft, zone: Zone) -> Document:
    """The times of a zone as users see them, even if its file has none."""
    return times_document(draft.loaded.times.of_zone(zone))


def times_document(times: Times | WrittenTimes) -> Document:
    """Times as keys of a YAML file; unknown times are left out."""
    by_key = {"created_on": times.created, "activated_on": times.activated, "modified_on": times.modified}
    return {key: time_text(at) for key, at in by_key.items() if at}
