"""Codes that let an edge in: all parts come back, and a text that is not whole is refused without being shown."""

from __future__ import annotations

import base64

import pytest

from dnsd.fleet.join_code import JoinCode, JoinCodeError, check_urls, digest_of, parse_code, place_of

CODE = JoinCode("pop-1", bytes(range(16)), b"s" * 16, ("tls://192.0.2.1:8443", "tls://[2001:db8::1]"))
TEXT = CODE.text()


def test_a_code_comes_back() -> None:
    assert parse_code(TEXT) == parse_code(f"  {TEXT}\n") == CODE
    assert TEXT.isascii()
    assert " " not in TEXT


def test_a_code_that_is_not_whole_is_refused_without_being_shown() -> None:
    wrong = [TEXT[:at] for at in range(len(TEXT))]
    wrong += [TEXT[:at] + ("A" if TEXT[at] != "A" else "B") + TEXT[at + 1 :] for at in range(len(TEXT) - 1)]
    for text in [*wrong, f"{TEXT}A", TEXT[1:], "öäü", "x" * 100_000, f"{TEXT} {TEXT}"]:
        with pytest.raises(JoinCodeError, match="this is not a code of `dnsd fleet code`, or a part") as refusal:
            parse_code(text)
        assert text == "" or text not in str(refusal.value)


def test_a_code_of_another_version_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnsd.fleet.join_code.VERSION", 2)
    later = CODE.text()
    monkeypatch.undo()
    with pytest.raises(JoinCodeError, match="another version of dnsd"):
        parse_code(later)


def test_the_secret_is_not_shown() -> None:
    assert "ssss" not in repr(CODE)
    assert base64.urlsafe_b64encode(CODE.secret).decode() not in digest_of(CODE.secret)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("tls://192.0.2.1:8443", ("192.0.2.1", 8443)),
        ("tls://c.example", ("c.example", 8443)),
        ("tls://[2001:db8::1]:1", ("2001:db8::1", 1)),
    ],
)
def test_a_url_has_a_place(url: str, place: tuple[str, int]) -> None:
    assert place_of(url) == place


@pytest.mark.parametrize(
    "url", ["", "192.0.2.1:8443", "https://c.example", "tls://", "tls://c.example:99999", "tls://c/x", "tls://a b"]
)
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(JoinCodeError):
        check_urls([url])


def test_a_code_has_some_urls() -> None:
    for number in (0, 5):
        with pytest.raises(JoinCodeError, match=f"from 1 to 4 URLs, not {number}"):
            check_urls(["tls://192.0.2.1"] * number)
