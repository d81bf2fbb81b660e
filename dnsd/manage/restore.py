"""The restoration of an object to one of its versions, with the rules on what a version may not bring back."""

from __future__ import annotations

from itertools import islice

from dnsd.formats.yaml_item_edit import edited_list
from dnsd.formats.zone_edit import edited_zone_text
from dnsd.manage.draft import Document, Draft
from dnsd.manage.find import find_account
from dnsd.manage.history import History
from dnsd.manage.records import text_as_yaml
from dnsd.manage.refusal import Reason, refused
from dnsd.model.claims import claim_time
from dnsd.model.edits import RecordEdit
from dnsd.model.times import time_text
from dnsd.store.directory import FileKind, SourceFile
from dnsd.store.objects import PLACEHOLDER_NAMESERVERS, read_zone
from dnsd.store.text_file import content_of
from dnsd.store.yaml_records import RECORDS


def restore(draft: Draft, history: History, account_id: str, object_id: str, version: str, *, is_map: bool) -> None:
    """Restore a map, or a zone, of an account to a version; a deleted object is created again.

    Raises RefusedError, also if the object or the version is of the other kind or belongs to another account.
    """
    found = history.text(object_id, version)
    if found and (FileKind[found[0].kind] is FileKind.MAP) is not is_map:
        found = None  # a token for maps may not restore zones
    current = draft.dataset.maps.get(object_id) or draft.dataset.zones.get(object_id)
    if found is None or {found[0].account_id, current.account_id if current else account_id} != {account_id}:
        raise refused(Reason.NOT_FOUND, "not_found: there is no such version of the object")
    restored, text = found
    kind = FileKind[restored.kind]
    if kind is not FileKind.MAP:
        file = SourceFile(restored.key, kind, restored.key, content_of(text))
        draft.check_room(file.content.size)
        kind, text = _with_current_claim(draft, file, account_id)
    if current:
        key = current.key
        if draft.file(key).kind is not kind:
            draft.remove(key)
    else:  # the account's folder may have been renamed
        key = f"{find_account(draft.dataset, account_id).key}/{restored.key.partition('/')[2]}"
        if not draft.is_free(key):
            key = draft.free_key(*key.rsplit("/", 1))
    if kind is FileKind.ZONE_MASTER:
        text = _with_later_serial(draft, key, restored.account_id, text)
    draft.write_text(key, kind, text)
    draft.note(key, None, {"restored": restored.version})


def _with_current_claim(draft: Draft, file: SourceFile, account_id: str) -> tuple[FileKind, str]:
    """The kind and the text of a zone's version, with `verified` as it is now; unverified, with the time of its claim.

    The operator decides whether a zone is verified: restoring a version must neither revoke nor grant that. Nor may a
    version bring back an earlier claim to the name.
    """
    text, read = draft.text(file), read_zone(file, account_id, PLACEHOLDER_NAMESERVERS)
    if read.zone is None or any(not problem.warning for problem in read.problems):
        return file.kind, text  # invalid, and refused later
    living = draft.dataset.zone_called(read.zone.name, account_id)
    is_verified = living.verified if living else read.zone.verified and draft.by_operator
    now: Document = {} if is_verified == read.zone.verified else {"verified": is_verified}
    if not is_verified:
        zones = draft.dataset.zones.values()
        made = living.written_times.created if living else claim_time(zones, read.zone.name, account_id, draft.now)
        now |= {"created_on": time_text(made)} if made and made != read.zone.written_times.created else {}
    if not now:
        return file.kind, text
    if file.kind is FileKind.ZONE_MASTER:  # a master file cannot express `verified`
        written = islice(read.zone.records, len(read.rows))
        return FileKind.ZONE_YAML, text_as_yaml(text, read.zone, written, now)
    return file.kind, edited_list(text, read.items, RECORDS, change=lambda keys: keys | now)


def _with_later_serial(draft: Draft, key: str, account_id: str, text: str) -> str:
    """The text of a master file, with a serial later than the one served."""
    read = read_zone(SourceFile(key, FileKind.ZONE_MASTER, key, content_of(text)), account_id, ())
    served = draft.dataset.zones.get(read.zone.id) if read.zone else None
    if read.zone is None or served is None:
        return text
    now_s = max(int(draft.now.timestamp()), served.serial + 1)
    return edited_zone_text(text, read.zone, read.rows, RecordEdit(), now_s=now_s).text
