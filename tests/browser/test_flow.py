"""A customer's work with address maps in a browser, each step checked by a DNS query over UDP."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.api.server import Api
from tests.api.test_durability import wait_until
from tests.browser.conftest import Open
from tests.browser.sessions import Person
from tests.browser.world import ACME, BLOG, MAP_MANAGED, MAP_OFF, MAP_SHOP, MAPS, SHOP, WWW

if TYPE_CHECKING:
    from playwright.sync_api import Page

POOL4 = ["198.51.100.10", "198.51.100.11"]


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def said(page: Page) -> str:
    return page.locator("#messages").inner_text()


def test_map_is_created_reviewed_changed_and_deleted(api: Api, acme: str, opened: Open) -> None:
    page = opened(api, acme)
    page.get_by_role("link", name="Proxy IP Addresses").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Proxy IP Addresses"
    assert api.ask("www.blog.example") == ["203.0.113.20", "192.0.2.200"]

    page.get_by_role("link", name="Create an address map").click()
    page.get_by_role("radio", name=re.compile("^Zones")).check()
    press(page, "Continue")
    page.get_by_label(re.compile("^Find zones")).fill("blog")
    page.keyboard.press("Enter")
    page.get_by_role("checkbox", name="blog.example").check()
    press(page, "Add the next free address, 203.0.113.2")
    assert page.get_by_role("button", name="Add the next free address, 203.0.113.3").count() == 1
    assert page.get_by_role("checkbox", name="blog.example").is_checked()
    page.get_by_role("checkbox", name=re.compile(r"^192\.0\.2\.201")).check()
    box = page.get_by_label(re.compile("^IPv4 and IPv6 addresses"))
    box.fill(f"{box.input_value()}\n2001:0DB8:0100::0050")
    press(page, "Continue")
    page.get_by_label("Name").fill("Blog")
    press(page, "Continue")
    plan = page.locator("#plan")
    assert "blog.example" in plan.inner_text()
    for ip in ("203.0.113.20", "203.0.113.2", "192.0.2.201", "2001:db8:100::50"):
        assert ip in plan.inner_text(), ip
    assert api.ask("www.blog.example") == ["203.0.113.20", "192.0.2.200"]  # nothing has happened yet
    press(page, "Save and Deploy")
    assert page.get_by_role("heading", level=1).inner_text() == "Blog"
    assert api.ask("www.blog.example") == ["203.0.113.2", "192.0.2.201"]
    assert api.ask("www.blog.example", "AAAA") == ["2001:db8:100::50"]

    page.get_by_role("link", name="Edit", exact=True).click()
    box = page.get_by_label(re.compile("^IPv4 and IPv6 addresses"))
    box.fill("203.0.113.7")
    press(page, "Preview the change")
    assert "AAAA" in page.locator("#plan").inner_text()
    assert "IPv4 addresses only" in page.locator("#plan").inner_text()
    assert api.ask("www.blog.example") == ["203.0.113.2", "192.0.2.201"]
    press(page, "Save")
    assert api.ask("www.blog.example") == ["203.0.113.7"]
    assert api.ask("www.blog.example", "AAAA") == []

    page.get_by_role("link", name="Disable", exact=True).click()
    assert "blog.example" in page.locator(".note.bad").inner_text()
    press(page, "Disable")
    assert api.ask("www.blog.example") == ["203.0.113.20", "192.0.2.200"]
    page.get_by_role("link", name="Enable", exact=True).click()
    press(page, "Enable and deploy")
    assert api.ask("www.blog.example") == ["203.0.113.7"]
    assert page.get_by_role("link", name="Delete").count() == 0  # only when disabled
    page.get_by_role("link", name="Disable", exact=True).click()
    press(page, "Disable")

    page.locator("#history + ul a").last.click()
    press(page, "Restore this version")
    assert "restored" in said(page)
    assert api.ask("www.blog.example") == ["203.0.113.2", "192.0.2.201"]
    page.get_by_role("link", name="Disable", exact=True).click()
    press(page, "Disable")
    page.get_by_role("link", name="Delete", exact=True).click()
    press(page, "Delete")
    assert "Blog is deleted" in said(page)
    assert page.get_by_role("link", name="Blog").count() == 0
    assert api.ask("www.blog.example") == ["203.0.113.20", "192.0.2.200"]

    page.get_by_role("link", name="Deleted address maps").click()
    page.locator("tbody th a").click()
    press(page, "Restore this version")
    assert page.get_by_role("heading", level=1).inner_text() == "Blog"


def test_steps_of_the_documentation_manage_a_map(api: Api, acme: str, opened: Open) -> None:
    """Proxy IP Addresses; Create an address map, Save and Deploy; Review, edit, Save; enable, disable, delete."""
    page = opened(api, acme)
    page.get_by_role("link", name="Proxy IP Addresses", exact=True).click()
    page.get_by_role("link", name="Create an address map", exact=True).click()
    page.get_by_role("radio", name=re.compile("^Zones")).check()
    press(page, "Continue")
    page.get_by_role("checkbox", name="blog.example").check()
    page.get_by_label(re.compile("^IPv4 and IPv6 addresses")).fill("203.0.113.70")
    press(page, "Continue")
    page.get_by_label("Name").fill("Documented")
    press(page, "Continue")
    press(page, "Save and Deploy")
    assert api.ask("www.blog.example") == ["203.0.113.70"]

    def review(title: str) -> None:
        page.get_by_role("navigation", name="Main").get_by_role("link", name="Proxy IP Addresses", exact=True).click()
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name=title, exact=True))
        row.get_by_role("link", name="Review", exact=True).click()

    assert_every_row_has_review(page, api)
    review("Documented")
    page.get_by_label("Name").fill("Documented, renamed")
    press(page, "Save")
    assert page.get_by_role("heading", level=1).inner_text() == "Documented, renamed"
    review("Documented, renamed")
    page.get_by_role("link", name="Edit", exact=True).click()
    page.get_by_label(re.compile("^IPv4 and IPv6 addresses")).fill("203.0.113.71")
    press(page, "Save")
    assert api.ask("www.blog.example") == ["203.0.113.71"]
    for action, button, answer in (
        ("Disable", "Disable", ["203.0.113.20", "192.0.2.200"]),
        ("Enable", "Enable and deploy", ["203.0.113.71"]),
        ("Disable", "Disable", ["203.0.113.20", "192.0.2.200"]),
        ("Delete", "Delete", ["203.0.113.20", "192.0.2.200"]),
    ):
        review("Documented, renamed")
        page.get_by_role("link", name=action, exact=True).click()
        press(page, button)
        assert api.ask("www.blog.example") == answer
    assert page.get_by_role("link", name="Documented, renamed").count() == 0


def assert_every_row_has_review(page: Page, api: Api) -> None:
    page.goto(f"{api.origin}{MAPS}")
    rows = page.locator("tbody tr")
    assert rows.count() == page.get_by_role("link", name="Review", exact=True).count() == 5


def test_name_saved_on_the_page_of_a_map_heeds_other_users(api: Api, acme: str, opened: Open) -> None:
    page = opened(api, acme, f"{MAPS}/{MAP_SHOP}")
    page.get_by_label("Name").fill("Mine")
    page.get_by_label(re.compile("^Default SNI")).fill("not a name")
    press(page, "Save")
    assert "is not a host name" in page.locator("#wrong-default_sni").inner_text()
    assert page.get_by_label("Name").input_value() == "Mine"
    api.result("PATCH", f"/accounts/{ACME}/addressing/address_maps/{MAP_SHOP}", {"default_sni": "www.shop.example"})
    page.get_by_label(re.compile("^Default SNI")).fill("")
    press(page, "Save")
    assert "Somebody else has changed this map" in said(page)
    press(page, "Save")
    found = api.result("GET", f"/accounts/{ACME}/addressing/address_maps/{MAP_SHOP}")
    assert (found["description"], found["default_sni"], len(found["ips"])) == ("Mine", None, 3)


def test_copy_button_copies(still: Api, opened: Open) -> None:
    page = opened(still, None, f"{MAPS}/{MAP_SHOP}", permissions=["clipboard-read", "clipboard-write"])
    for name, text in (("the id", MAP_SHOP), ("203.0.113.10", "203.0.113.10"), ("all addresses", None)):
        page.get_by_role("button", name=f"Copy {name}", exact=True).click()
        page.locator("#copied").filter(has_text="Copied").wait_for()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == (text or "203.0.113.10\n203.0.113.11\n2001:db8:100::10")


def test_map_is_created_with_the_keyboard_alone(api: Api, acme: str, opened: Open) -> None:
    page = opened(api, acme, f"{MAPS}/create")

    def to(name: str) -> None:
        """Press Tab until the element with this name has the focus."""
        for _ in range(80):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "() => { const e = document.activeElement;"
                " return (e.labels && e.labels.length ? e.labels[0].textContent : e.textContent) || ''; }"
            )
            if focused.strip().startswith(name):
                return
        raise AssertionError(f"{name} cannot be reached")

    to("Zones, which")
    page.keyboard.press("ArrowDown")  # the account
    to("Continue")
    page.keyboard.press("Enter")
    page.wait_for_selector("#ips")
    to("IPv4 and IPv6")
    page.keyboard.type("203.0.113.40")
    to("Continue")
    page.keyboard.press("Enter")
    page.wait_for_selector("#description")
    to("Name")
    page.keyboard.type("By keys")
    page.keyboard.press("Enter")  # continues, like the button
    page.wait_for_selector("text=Save and Deploy")
    to("Save and Deploy")
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('By keys')")
    assert api.ask("www.blog.example") == ["203.0.113.40"]


def test_map_of_the_account_without_zones_or_addresses(api: Api, acme: str, opened: Open) -> None:
    page = opened(api, acme, f"{MAPS}/create")
    for _ in range(3):
        press(page, "Continue")
    assert "no addresses" in page.locator("#plan").inner_text()
    press(page, "Save and Deploy")
    assert page.get_by_role("heading", level=1).inner_text() == "(no description)"


def test_errors_stand_at_their_fields_and_input_is_kept(api: Api, acme: str, opened: Open) -> None:
    page = opened(api, acme, f"{MAPS}/create")
    press(page, "Continue")
    page.get_by_role("checkbox", name="blog.example").check()
    for text, message in (
        ("203.0.113.5\nnonsense", "Line 2: "),
        ("203.0.113.300\n203.0.113.5, 8.8.8.8", "Line 2: 8.8.8.8 is outside the account's prefixes"),
        ("8.8.8.8", "is outside the account's prefixes"),
        ("198.18.0.1", "is not approved yet"),
    ):
        page.get_by_label(re.compile("^IPv4 and IPv6 addresses")).fill(text)
        press(page, "Continue")
        box = page.get_by_label(re.compile("^IPv4 and IPv6 addresses"))
        assert box.input_value() == text
        assert box.get_attribute("aria-invalid") == "true"
        described = page.locator(f"#{(box.get_attribute('aria-describedby') or '').split()[0]}")
        assert message in described.inner_text()
        assert page.get_by_role("checkbox", name="blog.example").is_checked()
    page.get_by_label(re.compile("^IPv4 and IPv6 addresses")).fill("203.0.113.5")
    press(page, "Continue")
    page.get_by_label(re.compile("^Default SNI")).fill("not a name")
    page.get_by_label("Name").fill("Kept")
    press(page, "Continue")
    assert "is not a host name" in page.locator("#wrong-default_sni").inner_text()
    assert page.get_by_label("Name").input_value() == "Kept"
    press(page, "Back")
    assert page.get_by_label(re.compile("^IPv4 and IPv6 addresses")).input_value() == "203.0.113.5"


def test_simultaneous_edits_of_a_map_are_reported(api: Api, acme: str, opened: Open) -> None:
    one, other = (opened(api, acme, f"{MAPS}/{MAP_SHOP}/edit") for _ in range(2))
    other.get_by_label("Name").fill("Shop of the other")
    press(other, "Save")
    one.get_by_label(re.compile("^IPv4 and IPv6 addresses")).fill("203.0.113.60")
    press(one, "Save")
    assert "Somebody else has changed this map" in said(one)
    assert "Shop of the other" in one.locator(".note.warn").inner_text()
    assert one.get_by_label(re.compile("^IPv4 and IPv6 addresses")).input_value() == "203.0.113.60"
    assert api.ask("www.shop.example") == ["203.0.113.10", "203.0.113.11"]
    press(one, "Save")
    assert api.ask("www.shop.example") == ["203.0.113.60"]


def test_managed_map_shows_why_it_is_locked(api: Api, acme: str, opened: Open) -> None:
    page = opened(api, acme, f"{MAPS}/{MAP_MANAGED}")
    assert "Why this map is locked" in page.locator("main").inner_text()
    for name in ("Enable", "Disable", "Delete"):
        assert page.get_by_role("link", name=name, exact=True).count() == 0
    page.get_by_role("link", name="Edit", exact=True).click()
    assert page.locator("#ips").count() == 0
    page.get_by_label("Name").fill("Ours")
    press(page, "Save")
    assert page.get_by_role("heading", level=1).inner_text() == "Ours"
    for action in ("disable", "delete"):
        page.goto(f"{api.origin}{MAPS}/{MAP_MANAGED}/{action}")
        assert "immutable" in page.locator("main").inner_text()
        assert page.locator("form[method=post]").count() == 1  # the sign-out form


def test_enabled_map_is_not_deleted(api: Api, acme: str, opened: Open) -> None:
    page = opened(api, acme, f"{MAPS}/{MAP_SHOP}/delete")
    assert "disable it before deleting it" in page.locator("main").inner_text().lower()
    page.get_by_role("link", name="Disable it first").click()
    assert page.url.endswith("/disable")
    page.goto(f"{api.origin}{MAPS}/{MAP_OFF}/delete")
    press(page, "Delete")
    assert "Maintenance is deleted" in said(page)


def test_list_is_sorted_and_searched(api: Api, acme: str, opened: Open) -> None:
    page = opened(api, acme, MAPS)

    def names() -> list[str]:
        return page.locator("tbody th a").all_inner_texts()

    assert names() == ["Everything else", "In place of the shared pool", "Maintenance", "Shop"]
    page.get_by_role("link", name="Description").click()
    assert names() == ["Shop", "Maintenance", "In place of the shared pool", "Everything else"]
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Description")
    page.get_by_role("link", name="Status").click()
    assert names()[0] == "Maintenance"
    page.get_by_role("searchbox").type("2001:db8:100::10")
    page.locator("tbody tr:nth-child(2)").wait_for(state="detached")
    assert names() == ["Shop"]
    assert "q=2001" in page.url
    page.get_by_role("searchbox").fill("nothing like this")
    page.wait_for_selector("text=No address maps match")
    page.get_by_role("link", name=re.compile("^Show all 4")).click()
    assert len(names()) == 4


def test_zone_page_shows_the_reason(api: Api, acme: str, opened: Open) -> None:
    page = opened(api, acme, f"/zones/{SHOP}")
    assert page.locator("ol.chain li.taken").inner_text().startswith("Map of the zone")
    page.goto(f"{api.origin}/zones/{BLOG}")
    assert page.locator("ol.chain li.taken").inner_text().startswith("Map of the account")
    page.get_by_role("checkbox", name=re.compile("^IPv6")).uncheck()
    page.get_by_role("checkbox", name=re.compile("^Announce HTTP.3")).uncheck()
    page.get_by_role("checkbox", name=re.compile("^Flatten")).check()
    press(page, "Save the settings")
    assert api.ask("www.blog.example", "AAAA") == []
    assert api.ask("www.blog.example", "HTTPS") == ['1 . alpn="h2" ipv4hint="203.0.113.20,192.0.2.200"']
    assert page.get_by_role("checkbox", name=re.compile("^Flatten")).is_checked()
    page.get_by_role("link", name="Pause").click()
    assert "addresses of origin servers" in page.locator("main").inner_text()
    assert api.ask("www.blog.example") == ["203.0.113.20", "192.0.2.200"]
    press(page, "Pause the zone")
    assert "192.0.2.1" in page.locator("main").inner_text()
    press(page, "Make them public")
    wait_until(lambda: api.ask("www.blog.example") == ["192.0.2.1"])
    assert page.locator("ol.chain li.taken").count() == 0
    assert "not consulted" in page.locator("ol.chain").inner_text()
    assert "No map is consulted" in page.locator("main").inner_text()
    press(page, "Resume")
    assert api.ask("www.blog.example") == ["203.0.113.20", "192.0.2.200"]


def test_records_in_a_browser(api: Api, acme: str, opened: Open) -> None:
    path = f"/zones/{BLOG}/records"
    page = opened(api, acme, path)
    switch = page.get_by_role("switch", name=re.compile("^Proxy www"))
    assert switch.get_attribute("aria-checked") == "true"
    switch.click()
    press(page, "Make them public")
    page.wait_for_selector("[role=switch][aria-label^='Proxy www'][aria-checked=false]")
    assert page.url.endswith(path)  # by htmx, in its place
    assert api.ask("www.blog.example") == ["192.0.2.1"]
    page.get_by_role("switch", name=re.compile("^Proxy www")).click()
    page.wait_for_selector("[role=switch][aria-label^='Proxy www'][aria-checked=true]")
    assert api.ask("www.blog.example") == ["203.0.113.20", "192.0.2.200"]

    page.get_by_role("link", name="Create a record").click()
    page.get_by_label("Type").select_option("SRV")
    page.wait_for_selector("#data_port")
    page.get_by_label("Name").fill("_ldap._tcp")
    page.get_by_label("Priority").fill("1")
    page.get_by_label("Weight").fill("2")
    page.get_by_label("Port").fill("99999")
    page.get_by_label("Target").fill("ldap.blog.example")
    press(page, "Create the record")
    assert "whole number" in page.locator("#wrong-port").inner_text()
    assert page.get_by_label("Target").input_value() == "ldap.blog.example"
    page.get_by_label("Port").fill("389")
    press(page, "Create the record")
    assert api.ask("_ldap._tcp.blog.example", "SRV") == ["1 2 389 ldap.blog.example."]

    page.get_by_role("link", name=re.compile("^Edit mail")).click()
    page.get_by_label("IPv4 address").fill("192.0.2.999")
    press(page, "Save")
    assert page.get_by_label("IPv4 address").input_value() == "192.0.2.999"
    assert "valid IPv4 address" in page.locator("#wrong-content").inner_text()
    page.get_by_label("IPv4 address").fill("192.0.2.26")
    press(page, "Save")
    assert api.ask("mail.blog.example") == ["192.0.2.26"]

    page.get_by_role("link", name="Import").click()
    page.get_by_label("or its text").fill("new 300 IN A 192.0.2.50\nnew 300 IN\n")
    press(page, "Review")
    assert "Line 2" in page.locator("#wrong-file").inner_text()
    master = b"new 300 IN A 192.0.2.50\nwww 300 IN A 192.0.2.1\ntext 60 IN TXT \xff\n"
    page.set_input_files("#file", {"name": "x.zone", "mimeType": "text/plain", "buffer": master})
    press(page, "Review")
    assert page.locator("#added").inner_text() == "2 new records"
    assert "1 record of the file is in the zone already" in page.locator("main").inner_text()
    assert api.ask("new.blog.example") == []  # nothing has happened yet
    press(page, "Import")
    assert "2 of 3 records were added" in said(page)
    assert api.ask("text.blog.example", "TXT") == ['"\\255"']
    assert api.ask("new.blog.example") == ["192.0.2.50"]
    with page.expect_download() as download:
        page.get_by_role("link", name="Export").click()
    assert download.value.suggested_filename == "blog.example.zone"
    assert "new.blog.example." in download.value.path().read_text()
    page.get_by_role("searchbox").type("new")
    page.locator("tbody tr:nth-child(2)").wait_for(state="detached")
    page.get_by_role("button", name=re.compile("^Actions for new")).click()
    page.get_by_role("link", name=re.compile("^Delete new")).click()
    press(page, "Delete the record")
    assert api.reply("new.blog.example").rcode() == 3


def test_selected_records_change_together_after_a_review(api: Api, acme: str, opened: Open) -> None:
    """Each change is made at once, and is one entry in the audit log."""
    page = opened(api, acme, f"/zones/{BLOG}/records")
    before = len(api.audited())

    def select(*names: str) -> None:
        for name in names:
            page.get_by_role("checkbox", name=re.compile(f"^Select {name}")).check()

    assert not page.get_by_role("button", name="Set TTL").is_visible()
    select("www", "api", "mail")
    page.get_by_text("3 selected:").wait_for()
    press(page, "DNS only")
    shown = page.locator("main").inner_text()
    assert page.get_by_role("heading", level=1).inner_text() == "Set 2 records to DNS only?"
    public = page.locator(".note.bad").inner_text()
    assert "2 names will be answered as stored" in public
    assert "www.blog.example 192.0.2.1" in public
    assert "api.blog.example 192.0.2.3" in public
    assert "1 record left as it is" in shown
    assert api.ask("www.blog.example") == ["203.0.113.20", "192.0.2.200"]
    press(page, "Set to DNS only")
    assert "2 records are DNS only." in said(page)
    assert (api.ask("www.blog.example"), api.ask("api.blog.example")) == (["192.0.2.1"], ["192.0.2.3"])

    page.get_by_role("checkbox", name="Select all records on this page").check()
    page.get_by_label("TTL of the selected records").select_option("300")
    press(page, "Set TTL")
    assert page.get_by_role("heading", level=1).inner_text() == "Set the TTL of 6 records to 5 min?"
    press(page, "Set the TTL")
    assert [rrset.ttl for rrset in api.reply("mail.blog.example").answer] == [300]

    select("www", "api")
    press(page, "Proxy")
    press(page, "Proxy")
    assert api.ask("www.blog.example") == ["203.0.113.20", "192.0.2.200"]
    select("www", "mail")
    press(page, "Delete")
    assert "192.0.2.25" in page.locator("main").inner_text()
    press(page, "Delete")
    assert "2 records are deleted." in said(page)
    assert (api.reply("www.blog.example").rcode(), api.reply("mail.blog.example").rcode()) == (3, 3)
    actions = [one["action"] for one in api.audited()[before:]]
    assert [action for action in actions if action != "map.drain"] == ["record.batch"] * 4


def test_all_records_found_change_without_scripts(api: Api, acme: str, opened: Open) -> None:
    records = [{"type": "A", "name": f"n{number:03}", "content": "192.0.2.1"} for number in range(120)]
    api.result("POST", f"/zones/{SHOP}/dns_records/batch", {"posts": records})
    page = opened(api, acme, f"/zones/{SHOP}/records?q=n1&type=A&order=name&direction=desc", java_script_enabled=False)
    assert page.locator("tbody th").first.inner_text() == "n119.shop.example"
    page.goto(f"{api.origin}/zones/{SHOP}/records?q=n0&type=A")
    assert page.locator("tbody tr").count() == 50
    page.get_by_role("checkbox", name=re.compile("^Select n007")).check()
    page.get_by_role("checkbox", name="all 100 found, on all pages").check()
    press(page, "Proxy")
    assert page.get_by_role("heading", level=1).inner_text() == "Proxy 100 records?"
    press(page, "Proxy")
    assert page.url.endswith("q=n0&type=A")
    assert api.ask("n099.shop.example") == api.ask("n007.shop.example") == ["203.0.113.10", "203.0.113.11"]
    assert api.ask("n100.shop.example") == ["192.0.2.1"]
    page.get_by_role("checkbox", name=re.compile("^Select n007")).check()
    press(page, "DNS only")
    api.result("DELETE", f"/zones/{SHOP}/dns_records/{record_id(api, 'n007.shop.example')}")
    press(page, "Set to DNS only")
    assert "no records are selected" in said(page).lower()


def record_id(api: Api, name: str) -> str:
    (found,) = api.result("GET", f"/zones/{SHOP}/dns_records?name={name}")
    return str(found["id"])


def test_record_changed_by_another_user(api: Api, acme: str, opened: Open) -> None:
    page = opened(api, acme, f"/zones/{SHOP}/records/{WWW}/edit")
    api.result("PATCH", f"/zones/{SHOP}/dns_records/{WWW}", {"comment": "by the other"})
    page.get_by_label("IPv4 address").fill("192.0.2.77")
    press(page, "Save")
    assert "Somebody else has changed this record" in page.locator("main").inner_text()
    assert page.get_by_label("IPv4 address").input_value() == "192.0.2.77"
    press(page, "Save")
    assert api.result("GET", f"/zones/{SHOP}/dns_records/{WWW}")["content"] == "192.0.2.77"


def test_address_space_in_a_browser(api: Api, acme: str, opened: Open) -> None:
    path = f"/accounts/{ACME}/addresses"
    page = opened(api, acme, path)
    used = page.locator("svg.space").first.locator("rect.used")
    assert used.count() == 5
    assert "203.0.113.10: Shop" in used.first.text_content()
    assert page.locator("rect.lent").count() == 32
    bar = page.locator("svg.space").nth(1)  # of a /48
    assert "2001:db8:100::10: Shop" in bar.locator("rect.used").first.text_content()
    assert "Used: 2001:db8:100::/64 (3 addresses)" in page.locator("main").inner_text()
    page.get_by_label("Prefix", exact=True).fill("203.0.113.0/33")
    page.get_by_label("Description (optional)").fill("kept")
    press(page, "Add the prefix")
    assert page.locator("#wrong-cidr").count() == 1
    assert page.get_by_label("Description (optional)").input_value() == "kept"
    page.get_by_label("Prefix", exact=True).fill("2001:db8:200::/48")
    press(page, "Add the prefix")
    assert "once the operator has approved it" in said(page)
    operator = opened(api, None, path)
    section = operator.locator("section", has_text="2001:db8:200::/48")
    assert "Waiting for your approval" in section.inner_text()
    section.get_by_role("link", name="Approve").click()
    assert operator.get_by_role("heading", level=1).inner_text() == "Approve 2001:db8:200::/48?"
    press(operator, "Approve")
    assert "The prefix is approved." in said(operator)
    operator.get_by_label("Lease a static IP").fill("192.0.2.222")
    press(operator, "Lease")
    assert "192.0.2.222" in api.read("acme/account.yaml")
    page.goto(f"{api.origin}{path}")
    page.get_by_role("link", name="Delete 203.0.113.0/24").click()
    text = page.locator("main").inner_text()
    assert "203.0.113.10" in text  # a map needs it
    assert "Used by Shop" in text
    assert page.get_by_role("button", name="Delete").count() == 0
    page.get_by_role("link", name="Back").click()
    page.get_by_role("link", name="Take back 203.0.113.192/27").click()
    press(page, "Take back")
    assert "The delegation is deleted." in said(page)
    operator.get_by_role("link", name="Take back 192.0.2.222").click()
    press(operator, "Take back")
    assert "192.0.2.222" not in api.read("acme/account.yaml")


def test_explain_page_in_a_browser(api: Api, acme: str, opened: Open) -> None:
    page = opened(api, acme, "/explain")
    page.get_by_label("Name").fill("www.shop.example")
    press(page, "Explain")
    assert "203.0.113.10" in page.locator("pre").first.inner_text()
    assert "Shop" in page.locator("table").inner_text()
    page.get_by_label("Name").fill("www.theirs.example")
    press(page, "Explain")
    assert "not in a zone that your token covers" in page.locator("#wrong-name").inner_text()


def test_zone_is_created_and_deleted(api: Api, acme: str, opened: Open) -> None:
    page = opened(api, acme, "/zones/create")
    page.get_by_label("Name").fill("shop.example")
    press(page, "Create the zone")
    assert "exists" in page.locator("#wrong-name").inner_text()
    page.get_by_label("Name").fill("fresh.example")
    press(page, "Create the zone")
    assert api.ask("fresh.example", "SOA")
    page.get_by_role("link", name="Delete").click()
    page.get_by_label(re.compile("^Type the zone")).fill("other")
    press(page, "Delete the zone")
    assert api.ask("fresh.example", "SOA")
    page.get_by_label(re.compile("^Type the zone")).fill("fresh.example")
    press(page, "Delete the zone")
    assert api.reply("fresh.example", "SOA").rcode() == 5


def test_times_are_in_the_viewer_s_zone(api: Api, acme: str, opened: Open) -> None:
    page = opened(api, acme, MAPS, timezone_id="Asia/Tokyo", locale="en-GB")
    shown = page.get_by_role("row", name="Shop Zones").locator("time").inner_text()
    assert "14:06:07" in shown  # 05:06:07 UTC


def test_overview_draws_the_traffic(api: Api, opened: Open) -> None:
    page = opened(api)
    page.wait_for_timeout(1000)
    for _ in range(200):
        api.ask("www.shop.example")
    deadline = 40
    for _ in range(deadline):
        page.reload()
        if page.locator("svg.trend path").count() >= 3 and "www.shop.example" in page.locator("main").inner_text():
            break
        page.wait_for_timeout(1000)
    text = page.locator("main").inner_text()
    assert "NOERROR" in text
    assert "Shop" in text
    labels = [svg.get_attribute("aria-label") or "" for svg in page.locator("svg.trend").all()]
    assert any("NOERROR:" in label for label in labels)
    assert page.get_by_role("row", name="www.shop.example A").is_visible()
    page.get_by_text("As a table").click()
    assert page.get_by_role("row", name="203.0.113.0/24 Shop shop.example").is_visible()
    page.get_by_role("link", name="Week").click()
    assert "last week" in (page.locator("svg.trend").first.get_attribute("aria-label") or "")


def test_failed_switch_leaves_its_row(api: Api, acme: str, opened: Open) -> None:
    """Refusing to proxy a record shows the reason and stays on the list's page."""
    records = [{"type": "A", "name": f"n{number:03}", "content": "10.0.0.1"} for number in range(120)]
    api.result("POST", f"/zones/{SHOP}/dns_records/batch", {"posts": records})
    page = opened(api, acme, f"/zones/{SHOP}/records?page=3")
    before = page.locator("tbody tr").count()
    switch = page.get_by_role("switch", name=re.compile("^Proxy n110"))
    switch.click()
    page.get_by_text("is not allowed for a proxied record").wait_for()
    assert page.locator("tbody tr").count() == before
    assert switch.get_attribute("aria-checked") == "false"


def test_saving_a_record_changes_only_edited_fields(api: Api, acme: str, opened: Open) -> None:
    path = f"/zones/{SHOP}/dns_records"
    odd = api.result(
        "POST",
        path,
        {"type": "A", "name": "a.shop.example.shop.example.", "content": "192.0.2.9", "tags": ["team:my shop", "b"]},
    )
    api.write(
        "acme/zones/blog.example.yaml",
        api.read("acme/zones/blog.example.yaml").replace("content: 192.0.2.25}", "content: 192.0.2.25, ttl: 30}"),
    )
    page = opened(api, acme, f"/zones/{SHOP}/records/{odd['id']}/edit")
    page.get_by_label("Comment (optional)").fill("only this")
    press(page, "Save")
    after = api.result("GET", f"{path}/{odd['id']}")
    changed = {name for name in after if after[name] != odd.get(name)}
    times = {"modified_on", "comment_modified_on", "tags_modified_on"}  # all are the record's own time
    assert changed == {"comment", *times}
    page.goto(f"{api.origin}/zones/{BLOG}/records")
    page.get_by_role("link", name=re.compile("^Edit mail")).click()
    page.get_by_label("Comment (optional)").fill("kept its TTL")
    press(page, "Save")
    assert [rrset.ttl for rrset in api.reply("mail.blog.example").answer] == [30]


def test_form_that_is_sent_twice_makes_one_map(api: Api, acme: str) -> None:
    with Person(api, acme) as person:
        form = {"do": "deploy", "step": "review", "description": "Once", "ips": "203.0.113.90", "number": MAP_OFF}
        assert [person.post(f"{MAPS}/create", form).status_code for _ in range(2)] == [303, 303]
    found = [
        one for one in api.result("GET", f"/accounts/{ACME}/addressing/address_maps") if one["description"] == "Once"
    ]
    assert len(found) == 1
    assert found[0]["id"] != MAP_OFF  # forms cannot choose an id, which another account may have had


def test_signing_in_again_elsewhere_loses_no_form(api: Api, acme: str, opened: Open) -> None:
    page = opened(api, acme, f"{MAPS}/{MAP_SHOP}/edit")
    page.get_by_label("Name").fill("Typed before")
    other = page.context.new_page()
    other.goto(api.origin)
    press(other, "Sign out")
    other.get_by_label("API token").fill(acme)
    press(other, "Sign in")
    press(page, "Save")
    press(page, "Send it again")
    assert page.get_by_role("heading", level=1).inner_text() == "Typed before"
