"""The proof that an unverified zone belongs to its account, from answers of resolvers."""

from __future__ import annotations

from dnsd.manage.draft import Draft
from dnsd.manage.refusal import Reason, refused
from dnsd.manage.validation import txt_text
from dnsd.manage.zones import edit_zone
from dnsd.model.claims import VERIFICATION_LABEL, verification_key
from dnsd.model.dataset import Dataset
from dnsd.model.zones import Zone, closest
from dnsd.outbound.protocol import AnswerKind, OutsideAnswer
from dnsd.wire.names import ASTERISK, MAX_NAME, ROOT, ancestors, is_below
from dnsd.wire.rdata import DNAME, NS


def verification_name(zone: Zone) -> bytes | None:
    """The name of the TXT record that verifies a zone; None if it would be too long."""
    name = bytes([len(VERIFICATION_LABEL)]) + VERIFICATION_LABEL.encode() + zone.name
    return name if len(name) <= MAX_NAME else None


def is_proven(dataset: Dataset, zone: Zone, servers: OutsideAnswer, texts: OutsideAnswer) -> bool:
    """Whether a zone belongs to its account, from the NS records at its apex and the TXT records for its verification.

    Resolvers may have these answers from this very server, so an account must not prove anything by its own zones:
    name servers of ours count only if no zone above is served here, so that the delegation comes from elsewhere. A
    text that the account's own zone may give counts only if resolvers find the name on other servers. That they find
    no name servers is not enough: they may remember it from before the zone was made. Nor does a delegation say which
    of several accounts is meant: whoever was first may have made the zone before the owner of the name came.
    """
    above = _above(dataset, zone)
    if above and above.verified and above.account_id == zone.account_id:
        return True
    ours = {record.target for record in zone.records.at(zone.name) if record.rtype == NS}
    is_ours = not ours.isdisjoint(rdata.lower() for rdata in servers.rdatas)
    if is_ours and above is None and [one.id for one in dataset.zones_called(zone.name)] == [zone.id]:
        return True
    name = verification_name(zone) or zone.name
    speaker = dataset.zone_of(name)
    is_silent = servers.kind is AnswerKind.NO_ANSWER
    if (
        speaker
        and speaker.account_id == zone.account_id
        and (is_ours or is_silent or (not servers.rdatas and _may_answer(speaker, name)))
    ):
        return False
    return verification_key(zone) in {txt_text(rdata).strip() for rdata in texts.rdatas}


def _may_answer(zone: Zone, name: bytes) -> bool:
    """Whether the zone has records at a name in it, or some that stand for it: wildcards and DNAMEs above."""
    above = [part for part in ancestors(name) if part == zone.name or is_below(part, zone.name)]
    stands_for = any(one.rtype == DNAME for part in above for one in zone.records.at(part))
    return stands_for or any(zone.records.at(one) for one in (name, *(ASTERISK + part for part in above)))


def _above(dataset: Dataset, zone: Zone) -> Zone | None:
    """The nearest served zone above a zone; the root zone does not count."""
    parent = next(ancestors(zone.name), ROOT)
    found = closest(parent, dataset.zones_by_name)
    return found if found and found.name != ROOT else None


def verify_proven(draft: Draft, zone: Zone, servers: OutsideAnswer, texts: OutsideAnswer) -> None:
    """Mark a zone as verified if the answers still prove it. Raises RefusedError."""
    now = draft.dataset.zones.get(zone.id)
    if now is None or (now.name, now.account_id) != (zone.name, zone.account_id):
        raise refused(Reason.NOT_FOUND, f"{zone.name_text} was deleted meanwhile")
    if not is_proven(draft.dataset, now, servers, texts):
        raise refused(Reason.FORBIDDEN, f"other zones around {zone.name_text} were changed meanwhile")
    edit_zone(draft, zone.id, verified=True)
