"""Addresses of peers as octets."""

import pytest

from dnsd.wire.addresses import packed_ip

PACKED = [
    ("192.0.2.1", "c0000201"),
    ("::ffff:192.0.2.1", "c0000201"),
    ("2001:db8::1", "20010db8000000000000000000000001"),
    ("fe80::1%lo", "fe800000000000000000000000000001"),
    ("::192.0.2.1", "000000000000000000000000c0000201"),
]


@pytest.mark.parametrize(("peer", "octets"), PACKED)
def test_packed_ip(peer: str, octets: str) -> None:
    assert packed_ip(peer).hex() == octets
