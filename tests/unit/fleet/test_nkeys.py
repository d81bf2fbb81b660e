"""Keys in the form of NATS: known pairs, and texts that are none."""

from __future__ import annotations

import base64

import pytest

from dnsd.fleet.nkeys import Nkey, NkeyError, NkeyKind, pack_public, parse_public, parse_seed

# The example of NATS's documentation, with a signature from its clients' tests.
SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
PUBLIC = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
NONCE = b"DhXdTMAeiHhLDig"
SIGNATURE = "WosANJXgeyxerXFo0twRiMG+/ZjYp1K/46bFeFax705yFTCTjM18jWl01gGYk4KKbadiHd+hP3WgUQ2iLZUAAA=="


def test_a_seed_of_nats_gives_its_public_key_and_its_signatures() -> None:
    key = parse_seed(SEED, NkeyKind.USER)
    assert (key.public, key.seed()) == (PUBLIC, SEED)
    assert base64.b64encode(key.sign(NONCE)).decode() == SIGNATURE
    parse_public(PUBLIC, NkeyKind.USER).verify(base64.b64decode(SIGNATURE), NONCE)


@pytest.mark.parametrize(("kind", "letter"), [(NkeyKind.OPERATOR, "O"), (NkeyKind.ACCOUNT, "A"), (NkeyKind.USER, "U")])
def test_the_first_letters_name_the_kind(kind: NkeyKind, letter: str) -> None:
    key = Nkey.generate(kind)
    assert (key.public[0], key.seed()[:2]) == (letter, f"S{letter}")
    assert pack_public(parse_public(key.public, kind), kind) == key.public
    assert parse_seed(key.seed(), kind).public == key.public


@pytest.mark.parametrize(
    "text", ["", "U", PUBLIC[:-1], PUBLIC + "A", PUBLIC.lower(), PUBLIC[:-1] + "5", SEED, "é", "B" * 56, PUBLIC + "="]
)
def test_other_texts_are_no_public_keys(text: str) -> None:
    with pytest.raises(NkeyError, match="is not an nkey"):
        parse_public(text, NkeyKind.USER)


def test_a_key_of_another_kind_is_refused() -> None:
    with pytest.raises(NkeyError, match="is not the public key of an account"):
        parse_public(PUBLIC, NkeyKind.ACCOUNT)
    with pytest.raises(NkeyError, match="not the seed of an operator, but another key"):
        parse_seed(SEED, NkeyKind.OPERATOR)


def test_a_damaged_seed_is_not_shown() -> None:
    with pytest.raises(NkeyError) as caught:
        parse_seed(SEED[:-1] + "A", NkeyKind.USER)
    assert "damaged" in str(caught.value)
    assert SEED[:8] not in str(caught.value)
