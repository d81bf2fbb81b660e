"""Names and addresses are found in the forms that people type, not only as stored; in the API and on pages."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.api.server import A1, Z1, Z2, Api
from tests.limits import HANG_S

RECORDS = f"/zones/{Z1}/dns_records"
M = "31" * 16
FILES = {
    "acme/account.yaml": f"""
id: {A1}
name: Acme
prefixes: [{{cidr: "2001:db8:100::/48", approved: V}}]
""",
    "acme/maps/shop.yaml": f'id: "{M}"\nips: ["2001:db8:100::a"]\nmemberships: [{{kind: zone, identifier: {Z2}}}]\n',
    "acme/zones/example.com.yaml": f"""
id: "{Z1}"
records:
  - {{name: müller, type: A, content: 192.0.2.1}}
  - {{name: v6s, type: AAAA, content: "2001:db8::77"}}
  - {{name: "*.größe.shop", type: CNAME, content: xn--bcher-kva.example.org}}
  - {{name: xn--strae-oqa, type: A, content: 192.0.2.3}}
  - {{name: "日本語", type: A, content: 192.0.2.4}}
  - {{name: mail, type: MX, content: mx.example.net, priority: 10, comment: an Müller und Söhne}}
""",
    "acme/zones/books.yaml": f'id: "{Z2}"\nname: bücher.example\n',
    "acme/zones/shoes.yaml": "name: schuhe.example\n",
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("spellings"), FILES).running() as api:
        yield api


def listed(api: Api, path: str, **query: str) -> list[str]:
    response = api.client.get(path, params=query, headers={"Authorization": f"Bearer {api.operator}"})
    assert response.status_code == 200
    return [one["name"].removesuffix(".example.com") for one in response.json()["result"]]


MULLER, WILD, SHARP, NIHON = "xn--mller-kva", "*.xn--gre-6ka8i.shop", "xn--strae-oqa", "xn--wgv71a119e"
FOUND = [
    ({"search": "müller"}, [MULLER, "mail"]),
    ({"search": "MÜLLER.example.com"}, [MULLER]),
    ({"search": "mu\N{COMBINING DIAERESIS}ller"}, [MULLER, "mail"]),
    ({"search": "üll"}, [MULLER, "mail"]),
    ({"search": "xn--mller"}, [MULLER]),
    ({"search": "2001:0db8:0::77"}, ["v6s"]),
    ({"search": "2001:0DB8:0000:0000:0000:0000:0000:0077"}, ["v6s"]),
    ({"search": "2001:0db8"}, ["v6s"]),
    ({"search": "v6s.example.com."}, ["v6s"]),
    ({"search": "müller.example.com."}, [MULLER]),
    ({"search": "größe.shop"}, [WILD]),
    ({"search": "bücher.example.org."}, [WILD]),
    ({"search": "straße"}, [SHARP]),
    ({"search": "本語"}, [NIHON]),
    ({"search": "mx.example.net."}, ["mail"]),
    ({"search": "example.co."}, []),
    ({"search": "ü" * 3000}, []),
    ({"search": "xn--" * 200}, []),
    ({"name": "müller.example.com"}, [MULLER]),
    ({"name": "Müller.Example.com."}, [MULLER]),
    ({"name.contains": "müller"}, [MULLER]),
    ({"name.contains": "MÜLL"}, [MULLER]),
    ({"name.contains": "größe.shop.example"}, [WILD]),
    ({"name.startswith": "mül"}, [MULLER]),
    ({"name.startswith": "*.größe"}, [WILD]),
    ({"name.endswith": "größe.shop.example.com"}, [WILD]),
    ({"name.endswith": "größe.shop.example.com."}, [WILD]),
    ({"name.contains": "muller"}, []),
]


@pytest.mark.parametrize(("query", "expected"), FOUND, ids=[str(one[0])[:50] for one in FOUND])
def test_records_are_found_in_typed_spellings(api: Api, query: dict[str, str], expected: list[str]) -> None:
    assert listed(api, RECORDS, **query) == expected


ZONES = [
    ("bücher.example", ["xn--bcher-kva.example"]),
    ("equal:BÜCHER.example.", ["xn--bcher-kva.example"]),
    ("contains:bücher", ["xn--bcher-kva.example"]),
    ("contains:üch", ["xn--bcher-kva.example"]),
    ("contains:xn--b", ["xn--bcher-kva.example"]),
    ("starts_with:bü", ["xn--bcher-kva.example"]),
    ("ends_with:ücher.example", ["xn--bcher-kva.example"]),
    ("not_equal:bücher.example", ["example.com", "schuhe.example"]),
    ("contains:schuhe.example.", ["schuhe.example"]),
]


@pytest.mark.parametrize(("name", "expected"), ZONES)
def test_zones_are_found_in_typed_spellings(api: Api, name: str, expected: list[str]) -> None:
    found = api.client.get("/zones", params={"name": name}, headers={"Authorization": f"Bearer {api.operator}"}).json()
    assert [one["name"] for one in found["result"]] == expected


def test_maps_are_found_by_an_address_in_any_spelling(api: Api) -> None:
    path = f"/accounts/{A1}/addressing/address_maps"
    assert [one["id"] for one in api.result("GET", f"{path}?ip=2001:0DB8:0100:0:0:0:0:A")] == [M]
    assert api.result("GET", f"{path}?ip=2001:db8:100::b") == []
    assert api.result("GET", f"{path}?ip=shop") == []


# Pages


@pytest.fixture(scope="module")
def pages(api: Api) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api.origin, timeout=HANG_S, follow_redirects=True) as client:
        form = client.get("/sign-in").text
        secret = re.search(r'name="form_secret" value="([^"]+)"', form)
        assert secret
        client.post("/sign-in", data={"form_secret": secret[1], "token": api.operator}, headers={"Origin": api.origin})
        yield client


PAGES = [
    ("/zones?q=bücher", "xn--bcher-kva.example", "schuhe.example"),
    ("/zones?q=BÜCH", "xn--bcher-kva.example", "schuhe.example"),
    ("/zones?q=schuhe.example.", "schuhe.example", "xn--bcher-kva.example"),
    (f"/zones/{Z1}/records?q=müller", "xn--mller-kva.example.com", "v6s.example.com"),
    (f"/zones/{Z1}/records?q=2001:0db8:0::77", "v6s.example.com", "xn--mller-kva.example.com"),
    (f"/accounts/{A1}/maps?q=2001:0DB8:100:0::A", M, "No address maps match"),
    (f"/accounts/{A1}/maps?q=bücher", M, "No address maps match"),
]


@pytest.mark.parametrize(("path", "there", "missing"), PAGES)
def test_fields_of_pages_find_the_same(pages: httpx.Client, path: str, there: str, missing: str) -> None:
    text = pages.get(path).text.replace("<wbr>", "")
    results = text[text.index('id="results"') :]
    assert there in results
    assert missing not in results


def test_pages_show_names_also_in_unicode(pages: httpx.Client) -> None:
    assert "(bücher.example)" in html.unescape(pages.get("/zones").text)
    records = html.unescape(pages.get(f"/zones/{Z1}/records").text)
    for name in ("müller.example.com", "straße.example.com", "日本語.example.com", "bücher.example.org"):
        assert f"({name})" in records
    assert "(v6s.example.com)" not in records
