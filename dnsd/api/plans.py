"""The JSON of plans: the effect of a change on answers."""

from __future__ import annotations

from dnsd.api.shapes import JsonObject
from dnsd.compile.effects import MAX_SAMPLE
from dnsd.manage.plan import AnswersPlan, Plan, ZoneAddresses
from dnsd.manage.replayed import ReplayedRow, ReplayPlan


def plan_shape(plan: Plan) -> JsonObject:
    """The effect of a change on answers."""
    return {
        "zones": [
            {
                "id": one.zone.id,
                "name": one.zone.name_text,
                "names_total": one.names_total,
                "old": answering_shape(one.old),
                "new": answering_shape(one.new),
                "names": [{"name": name.name} for answers in one.answers for name in answers.names][:MAX_SAMPLE],
                "answers": list(map(_answers_shape, one.answers)),
            }
            for one in plan.zones
        ],
        "zones_total": len(plan.zones),
        "names_total": plan.names_total,
        "names_of_other_accounts": plan.others_total,
        "effects": {str(effect): count for effect, count in plan.effects.items()},
        "share_of_questions": plan.share and {"share": plan.share.share, "is_sampled": plan.share.is_sampled},
        "forgotten_after_s": plan.forgotten_s,
        "replay": plan.replay and replay_shape(plan.replay),
        "warnings": [*plan.remarks, *(f"{problem.source}: {problem.message}" for problem in plan.warnings)],
    }


def answering_shape(addresses: ZoneAddresses) -> JsonObject:
    """The addresses that answer for a zone, and their map; null means the default pool."""
    return {"A": list(addresses.v4), "AAAA": list(addresses.v6), "map": addresses.map_id}


def _answers_shape(answers: AnswersPlan) -> JsonObject:
    """Names of a zone with the same answers."""
    return {
        "effect": str(answers.effect),
        "names_total": answers.names_total,
        "names": [{"name": one.name, "via": one.via or None} for one in answers.names],
        "old": _sourced_shape(answers.old),
        "new": _sourced_shape(answers.new),
        "is_mixed": answers.is_mixed,
    }


def _sourced_shape(addresses: ZoneAddresses) -> JsonObject:
    """Addresses in answers, and their source."""
    return {
        **answering_shape(addresses),
        "AAAA_map": addresses.v6_map_id,
        "source": str(addresses.source),
        "outside": addresses.outside or None,
    }


def replay_shape(replay: ReplayPlan) -> JsonObject:
    """The recent questions that a change would answer otherwise."""
    return {
        "questions": replay.questions,
        "changes": {str(change): count for change, count in replay.changes.items()},
        "zones": list(map(_row_shape, replay.zones)),
        "zones_total": replay.zones_total,
        "maps": list(map(_row_shape, replay.maps)),
        "maps_total": replay.maps_total,
        "questions_for_names": replay.names,
        "changes_of_names": {str(change): count for change, count in replay.name_changes.items()},
        "examples": [
            {
                "name": one.name,
                "type": one.rtype,
                "change": str(one.change),
                "is_unmeant": one.is_unmeant,
                "questions": one.questions,
                "old": one.old,
                "new": one.new,
            }
            for one in replay.examples
        ],
        "verdict": "halt" if replay.reasons else "go_on",
        "reasons": list(replay.reasons),
        "workers_left_out": list(replay.silent),
        "text": list(replay.lines),
    }


def _row_shape(row: ReplayedRow) -> JsonObject:
    """The recent questions of a zone or a map."""
    return {
        "id": row.id,
        "name": row.name,
        "questions": row.questions,
        "changed": row.changed,
        "unmeant": row.unmeant,
    }
