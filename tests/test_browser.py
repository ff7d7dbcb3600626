"""Pages in a real Chromium, driven by Selenium: run with -m browser.

Needs chromium and its driver (on Debian `apt-get install chromium chromium-driver`) and the package
selenium. Software rendering writes warnings of its own; errors of the page are level SEVERE.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_page import hostile

from hetbuild.elements import symbol
from hetbuild.geometry.view import view, zone_view
from hetbuild.model import Model, Role
from hetbuild.page.document import page

pytestmark = pytest.mark.browser

OWN = ("file://", "data:", "blob:file://", "chrome://", "about:")
"""What a page may ask for: itself and what it holds; the browser's own first tab."""

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1000",
)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    made = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    made.set_page_load_timeout(120)
    made.set_script_timeout(120)
    yield made
    made.quit()


@pytest.fixture(scope="module")
def opened(
    driver: Any, main_model: Model, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Any]:
    """Opens the page of the main model anew."""
    path = tmp_path_factory.mktemp("page") / "model.html"
    path.write_text(page(main_model), encoding="utf-8")

    def fresh() -> Any:
        driver.get_log("browser")
        driver.get_log("performance")
        driver.get(path.as_uri())
        return driver

    return fresh


def pixels(driver: Any) -> np.ndarray:
    """The 3D view as it is on the screen, shape (rows, columns, 3)."""
    from PIL import Image

    element = driver.find_element("id", "view")
    return np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB"))


def facts(driver: Any) -> dict[str, str]:
    """What the panel says of the ion chosen."""
    names = [e.text for e in driver.find_elements("css selector", "#ion dt")]
    values = [e.text for e in driver.find_elements("css selector", "#ion dd")]
    return dict(zip(names, values, strict=True))


def choose(driver: Any, name: str, value: str) -> None:
    driver.execute_script(
        "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
        "e.dispatchEvent(new Event('change'));",
        name,
        value,
    )


def screen(driver: Any, positions: np.ndarray) -> np.ndarray:
    """Where 3Dmol.js draws positions of the model, pixels right and down, shape (N, 2)."""
    places = driver.execute_script(
        "const o = hetbuild.data.origin; return hetbuild.viewer.modelToScreen(arguments[0].map("
        "p => ({x: p[0] - o[0], y: p[1] - o[1], z: p[2] - o[2]}))).map(p => [p.x, p.y]);",
        positions.tolist(),
    )
    return np.array(places, dtype=float)


def asked(driver: Any) -> list[str]:
    """Addresses that were asked for since the page was opened."""
    messages = [json.loads(e["message"])["message"] for e in driver.get_log("performance")]
    return [
        m["params"]["request"]["url"]
        for m in messages
        if m["method"] == "Network.requestWillBeSent"
    ]


def errors(driver: Any) -> list[str]:
    return [e["message"] for e in driver.get_log("browser") if e["level"] == "SEVERE"]


def test_it_draws_asks_for_nothing_and_has_no_errors(opened: Callable[[], Any]) -> None:
    driver = opened()
    assert driver.execute_script("return hetbuild.viewer !== null")
    drawn = pixels(driver)
    background = drawn[2, 2]
    covered = (np.abs(drawn.astype(int) - background).max(axis=2) > 30).mean()
    assert 0.05 < covered < 0.9
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 500
    addresses = asked(driver)
    assert any(a.startswith("file://") for a in addresses)
    assert [a for a in addresses if not a.startswith(OWN)] == []
    assert errors(driver) == []


def test_a_click_on_an_ion_shows_its_data(opened: Callable[[], Any], main_model: Model) -> None:
    from selenium.webdriver import ActionChains

    driver = opened()
    seen = view(main_model).project(main_model.positions)
    # The ion nearest to the viewer hides behind no other.
    front = int(seen[:, 2].argmax())
    driver.execute_script("document.getElementById('view').scrollIntoView({block: 'center'})")
    box = driver.find_element("id", "view")
    x, y = screen(driver, main_model.positions[front : front + 1])[0]
    middle = driver.execute_script(
        "const b = arguments[0].getBoundingClientRect();"
        "return [b.left + scrollX + b.width / 2, b.top + scrollY + b.height / 2]",
        box,
    )
    ActionChains(driver).move_to_element_with_offset(
        box, round(x - middle[0]), round(y - middle[1])
    ).click().perform()
    time.sleep(0.3)
    said = facts(driver)
    domain = main_model.domains[main_model.domain[front]]
    element = symbol(int(main_model.numbers[front]))
    assert driver.find_element("id", "ion-name").text == f"{element} {front + 1}"
    assert said["Element"] == element
    assert said["Charge"] == f"{main_model.charges[front]:+d} e"
    assert said["Domain"] == domain.name
    assert said["Role"] == Role(main_model.role[front]).label
    site = int(main_model.site[front])
    if site >= 0:
        assert said["Site"] == f"{domain.crystal.site_names[site]} of {domain.crystal.name}"
    place = [float(w) for w in said["Position"].split()[:3]]
    np.testing.assert_allclose(place, main_model.positions[front], atol=6e-4)
    listed = driver.find_elements("css selector", "#neighbours button")
    assert len(listed) == int(said["Neighbours"])
    assert errors(driver) == []


def test_neighbours_are_those_within_reach(opened: Callable[[], Any], main_model: Model) -> None:
    from scipy.spatial.distance import cdist

    driver = opened()
    found = driver.execute_script("return hetbuild.neighbours.map(list => list.length)")
    reach = driver.execute_script("return hetbuild.data.reach")
    kinds = np.array([symbol(int(z)) for z in main_model.numbers])
    limit = np.full((len(kinds), len(kinds)), -1.0)
    for a, b, length in reach:
        pair = np.outer(kinds == a, kinds == b)
        limit[pair | pair.T] = length
    expected = (cdist(main_model.positions, main_model.positions) <= limit).sum(axis=1)
    np.testing.assert_array_equal(found, expected)


def test_right_and_up_are_those_of_the_other_pictures(
    opened: Callable[[], Any], main_model: Model
) -> None:
    driver = opened()
    named = driver.execute_script("return hetbuild.data.views.map(v => v.group + v.name)")
    for k, seen in (
        (0, view(main_model)),
        (named.index("perovskite[0 1 0]"), zone_view(main_model, 0, (0, 1, 0))),
        (named.index("sulfide[1 -1 1]"), zone_view(main_model, 1, (1, -1, 1))),
    ):
        choose(driver, "zone", str(k))
        place = screen(driver, main_model.positions)
        flat = seen.project(main_model.positions)[:, :2]
        scale = np.ptp(place[:, 0]) / np.ptp(flat[:, 0])
        expected = flat * [scale, -scale]
        off = (place - place.mean(axis=0)) - (expected - expected.mean(axis=0))
        assert np.abs(off).max() < 2.0  # pixels, of some 500; 3Dmol.js rounds them


def test_colours_domains_and_keys(opened: Callable[[], Any], main_model: Model) -> None:
    from selenium.webdriver import Keys

    driver = opened()
    before = pixels(driver)
    choose(driver, "colour", "domain")
    assert (
        f"perovskite (CsPbCl3) {(main_model.domain == 0).sum()}"
        in driver.find_element("id", "legend").text
    )
    assert (pixels(driver) != before).any()
    driver.find_elements("css selector", "#domains input")[0].click()
    legend = driver.find_element("id", "legend").text
    assert "perovskite" not in legend
    assert f"sulfide (PbS) {(main_model.domain == 1).sum()}" in legend
    box = driver.find_element("id", "view")
    start = screen(driver, main_model.positions[:5])
    box.send_keys(Keys.ARROW_LEFT)
    turned = screen(driver, main_model.positions[:5])
    assert np.abs(turned - start).max() > 5
    box.send_keys("0")
    box.send_keys("+")
    number = driver.find_element("id", "number")
    number.clear()
    number.send_keys("7", Keys.TAB)
    assert driver.find_element("id", "ion-name").text.endswith(" 7")
    driver.find_element("css selector", "#neighbours button").send_keys(Keys.ENTER)
    assert not driver.find_element("id", "ion-name").text.endswith(" 7")
    for how in ("small", "large"):
        choose(driver, "style", how)
    assert errors(driver) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_screens_and_dark_ones(opened: Callable[[], Any], scheme: str) -> None:
    driver = opened()
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True},
    )
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    try:
        driver.refresh()
        wide = driver.execute_script("return document.documentElement.scrollWidth")
        assert wide <= 390
        ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
        assert (pixels(driver)[2, 2].mean() > 128) == (scheme == "light")
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_it_prints_with_the_picture(opened: Callable[[], Any]) -> None:
    driver = opened()
    printed = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert printed.startswith(b"%PDF")
    source = driver.execute_script("return document.getElementById('print-view').src")
    assert source.startswith("data:image/png")
    assert len(source) > 10_000


def test_hostile_text_runs_nothing(driver: Any, main_model: Model, tmp_path: Path) -> None:
    path = tmp_path / "hostile.html"
    path.write_text(page(hostile(main_model)), encoding="utf-8")
    driver.get_log("browser")
    driver.get(path.as_uri())
    assert driver.execute_script("return window.hacked === undefined && hetbuild.viewer !== null")
    driver.execute_script("hetbuild.choose(0)")
    assert facts(driver)["Site"].startswith("<img/src=x")
    assert errors(driver) == []


def test_without_webgl_the_page_still_reads(
    driver: Any, opened: Callable[[], Any], main_model: Model
) -> None:
    script = "".join(
        f"{kind}.prototype.getContext = () => null;"
        for kind in ("HTMLCanvasElement", "OffscreenCanvas")
    )
    added = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    try:
        opened()
        assert "draws no 3D" in driver.find_element("id", "view").text
        driver.execute_script("hetbuild.choose(3)")
        assert facts(driver)["Element"] == symbol(int(main_model.numbers[3]))
    finally:
        driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_two_models_are_compared_with_arrows(
    driver: Any, main_model: Model, tmp_path: Path
) -> None:
    import hetbuild as hb
    from hetbuild.page.displacement import comparison_page

    atoms = main_model.to_ase()
    atoms.positions += np.random.default_rng(0).normal(0, 0.3, (len(main_model), 3))
    path = tmp_path / "compared.html"
    found = hb.compare(main_model, atoms)
    path.write_text(comparison_page(main_model, found, ("a", "b")), encoding="utf-8")
    driver.get_log("browser")
    driver.get(path.as_uri())
    before = pixels(driver)
    assert driver.find_element("id", "colour").get_attribute("value") == "displacement"
    choose(driver, "times", "5")
    assert (pixels(driver) != before).any(axis=2).mean() > 0.005
    driver.execute_script("hetbuild.choose(11)")
    far = float(np.linalg.norm(found.displacement[11]))
    assert float(facts(driver)["Moved"].split()[0]) == pytest.approx(far, abs=2e-3)
    assert errors(driver) == []
