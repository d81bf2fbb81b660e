"""Make the pictures of the dashboard in docs/screenshots: the pages and data of the browser tests.

make screenshots
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.api.server import Api
from tests.browser.world import FILES, MAP_SHOP, MAPS, PAGES, SETTINGS, SHOP

FOLDER = Path(__file__).parent / "screenshots"
WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
TRAFFIC_S = 45  # long enough for the plots to show traffic
NAMES = ("www.shop.example", "www.shop.example", "www.blog.example", "api.blog.example", "nope.shop.example")
SHOTS = {
    "overview": "overview",
    "maps": "maps",
    "map": "map",
    "addresses": "addresses",
    "zone": "zone",
    "records": "records",
    "explain": "explain",
    "audit": "audit log",
}


def main() -> None:
    """Start a server, create some traffic, and take pictures of its pages."""
    FOLDER.mkdir(exist_ok=True)
    chromium = shutil.which("chromium")
    assert chromium, "Chromium is needed: apt install chromium"
    with (
        tempfile.TemporaryDirectory() as folder,
        Api(Path(folder), FILES, settings=SETTINGS).running() as api,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context(viewport=WIDE, color_scheme="light").new_page()
        sign_in(page, api)
        fill(api)
        for name, which in SHOTS.items():
            page.goto(f"{api.origin}{PAGES[which]}")
            page.screenshot(path=FOLDER / f"{name}.png")
        page.screenshot(path=FOLDER / f"{name}.png")
        create(page, api)
        dark = browser.new_context(viewport=WIDE, color_scheme="dark").new_page()
        sign_in(dark, api)
        dark.goto(f"{api.origin}/zones/{SHOP}")
        dark.screenshot(path=FOLDER / "zone-dark.png")
        phone = browser.new_context(viewport=PHONE, color_scheme="light").new_page()
        sign_in(phone, api)
        phone.goto(f"{api.origin}{MAPS}/{MAP_SHOP}")
        phone.screenshot(path=FOLDER / "map-phone.png")
        browser.close()
    print(f"{len(list(FOLDER.iterdir()))} pictures in {FOLDER}")


def sign_in(page: Page, api: Api) -> None:
    """Sign in with the operator's token."""
    page.goto(api.origin)
    page.get_by_label("API token").fill(api.operator)
    page.get_by_role("button", name="Sign in").click()
    page.locator("#menu").wait_for(state="attached")


def fill(api: Api) -> None:
    """Make changes for the history and the audit log, and queries for the plots."""
    path = f"/accounts/{'a1' * 16}/addressing/address_maps/{MAP_SHOP}"
    api.result("PUT", f"{path}/ips/203.0.113.12")
    api.result("DELETE", f"{path}/ips/203.0.113.12")
    api.call("DELETE", path)
    start = time.monotonic()
    while (elapsed := time.monotonic() - start) < TRAFFIC_S:
        for name in NAMES:
            api.ask(name)
        time.sleep(0.02 + 0.03 * abs((elapsed % 30) - 15) / 15)


def create(page: Page, api: Api) -> None:
    """Take pictures of the steps of creating a map, up to the review."""
    page.goto(f"{api.origin}{MAPS}/create")
    page.get_by_role("button", name="Continue", exact=True).click()
    page.get_by_role("checkbox", name="blog.example").check()
    page.locator("#ips").fill("203.0.113.50\n2001:db8:100::50")
    page.get_by_role("button", name="Find", exact=True).click()
    page.screenshot(path=FOLDER / "create.png")
    page.get_by_role("button", name="Continue", exact=True).click()
    page.get_by_label("Name").fill("Blog")
    page.get_by_role("button", name="Continue", exact=True).click()
    page.screenshot(path=FOLDER / "review.png")


if __name__ == "__main__":
    main()
