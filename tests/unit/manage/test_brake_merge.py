"""The brake's books of two controls as one."""

from __future__ import annotations

from ipaddress import ip_address

from dnsd.manage.brake import ALL, UNBOUNDED, AccountBase, Book, Window, ZoneBase
from dnsd.manage.brake_merge import merged

BEFORE, AFTER = [(frozenset({ip_address(f"203.0.113.{number}")}), frozenset[object]()) for number in (1, 2)]
WINDOW_S, NOW = 600.0, 1_000_000.0


def base(ips: object = BEFORE, *, is_whole: bool = False, **names: bool) -> AccountBase:
    shown = {name.encode(): (is_4, False) for name, is_4 in names.items()}
    return AccountBase({"z": ZoneBase("z", ips, is_whole, shown)})  # type: ignore[arg-type]


def window(ago: float, **accounts: AccountBase) -> Window:
    return Window(NOW - ago, "job", accounts)


def both(own: Book, windows: dict[str, Window], released: dict[str, float] | None = None) -> Book:
    return merged(own, windows, released or {}, WINDOW_S, NOW)


def test_what_any_control_has_seen_counts() -> None:
    own, other = window(10, a=base()), window(20, b=base())
    found = both(Book({"job": own}), {"job": other, "jub": other})
    assert found == Book({"job": window(20, a=base(), b=base()), "jub": other})
    assert both(found, {"job": other, "jub": other}) == found


def test_the_order_does_not_matter() -> None:
    one = window(10, a=base(BEFORE, x=True), b=UNBOUNDED, c=base())
    other = window(20, a=base(AFTER, is_whole=True, x=False, y=True), b=base(), d=base())
    first, second = both(Book({"job": one}), {"job": other}), both(Book({"job": other}), {"job": one})
    assert first == second
    assert first.windows["job"].accounts["a"] == base(AFTER, is_whole=True, x=False, y=True)  # of the earlier one
    assert first.windows["job"].accounts["b"] is UNBOUNDED
    assert {*first.windows["job"].accounts} == {"a", "b", "c", "d"}


def test_a_window_that_has_ended_does_not_come_back() -> None:
    own = Book({"job": window(10, a=base())})
    assert both(own, {"job": window(WINDOW_S, b=base()), "jub": window(WINDOW_S + 1, b=base())}) == own
    assert both(Book({"job": window(WINDOW_S, a=base())}), {"job": window(1, b=base())}).windows["job"] == window(
        1, b=base()
    )


def test_a_release_is_one_of_all_controls_and_ends_windows() -> None:
    own, others = Book({"job": window(10, a=base()), "jub": window(10, a=base())}), {"job": window(5, b=base())}
    found = both(own, others, {"job": NOW + 60})
    assert (found.windows.keys(), found.released) == ({"jub"}, {"job": NOW + 60})
    assert both(own, others, {ALL: NOW + 60}) == Book({}, {ALL: NOW + 60})
    assert both(Book(released={"job": NOW + 90}), {}, {"job": NOW + 60, "jub": NOW - 1}).released == {"job": NOW + 90}
