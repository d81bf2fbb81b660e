"""Which replies are alike: for the loop, which repeats them, and for the rate limit, which counts them together."""

from __future__ import annotations

from dnsd.engine.answer import ALWAYS_FITS, Answer, is_referral
from dnsd.engine.node import Alias, Flattened, Redirection
from dnsd.engine.respond import ParsedQuery
from dnsd.net.reply import Scope
from dnsd.wire.message import NOERROR
from dnsd.wire.rdata import ANY

# Kinds of responses for the rate limit, apart from names: no name begins with an octet above 63.
WILDCARD_KIND, MALFORMED_KIND = b"\xfe", b"\xff"
_NOT_POSITIVE = [bytes([0x80 | rcode]) for rcode in range(16)]


def scope_of(asked: ParsedQuery, answer: Answer) -> Scope:
    """The queries for which a reply may be repeated.

    Those for other names of the same kind, unless the reply is too large to be the same for each length of a name. A
    missing name's reply is the same for others, unless it is made from the name.
    """
    shape, _, _, _, node, is_own = asked
    if not shape.plain:
        return Scope.ONCE
    if is_referral(answer):
        return Scope.STORED
    is_stored = shape.qtype in node.answers
    if not is_own:
        is_from_name = isinstance(node.rule, Alias | Redirection) and not is_stored and answer is not node.otherwise
        return Scope.SAME_QUESTION if is_from_name else Scope.SAME_ENCLOSER
    if isinstance(node.rule, Alias | Flattened) or len(answer.body) > ALWAYS_FITS:
        return Scope.SAME_QUESTION
    return Scope.STORED if is_stored and shape.qtype != ANY else Scope.SAME_KIND


def limited_as(asked: ParsedQuery, answer: Answer) -> bytes | None:
    """The kind of a response for the rate limit, as in NSD and BIND.

    Positive answers count by name; wildcard answers, negative answers and referrals by zone, as random names must not
    each have their own rate; all errors count together. None stands for the name. All workers have the same kinds.
    """
    _, _, _, _, node, is_own = asked
    zone = node.apex.name if node.apex else b""
    if answer.rcode != NOERROR or not answer.answer:
        return _NOT_POSITIVE[answer.rcode] + zone
    return None if is_own else WILDCARD_KIND + zone
