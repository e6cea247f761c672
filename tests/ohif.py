"""The OHIF viewer in headless Chromium on an archive's DICOMweb, worked with the mouse as a person does."""

from __future__ import annotations

import contextlib
import http.server
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import cv2
import numpy as np
import numpy.typing as npt
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.remote_connection import RemoteConnection
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

DIST = Path(sys.prefix) / "ohif" / "dist"
CONFIG = Path(__file__).parents[1] / "viewers" / "ohif-app-config.js"
_SECONDS = 900  # a busy machine without a graphics card; the bound only ends a hopeless wait
_PASSED_ON = ("Accept", "Content-Type")
_VIEWPORT = """
const services = window.services, cornerstone = window.cornerstone;
const viewport = services.cornerstoneViewportService.getCornerstoneViewport(
  services.viewportGridService.getActiveViewportId());
"""
_SERIES = "//*[@data-cy='series-description-label'][contains(., '{}')]"
_SKIP_TOUR = "localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour']))"

Found = TypeVar("Found")
Points = Sequence[tuple[float, float]]  # column and row; the centre of the first pixel is 0, 0


@contextlib.contextmanager
def served(archive_url: str) -> Iterator[str]:
    """OHIF's files and the archive's DICOMweb from one origin; yields its URL."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(DIST))

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path.startswith("/dicom-web/"):
                self._pass_on(None)
            elif path == "/app-config.js":
                self._answer(200, "text/javascript", CONFIG.read_bytes())
            else:
                if not (DIST / path.lstrip("/")).is_file():
                    self.path = "/index.html"  # the viewer's own addresses
                super().do_GET()

        def do_POST(self) -> None:
            self._pass_on(self.rfile.read(int(self.headers["Content-Length"])))

        def _pass_on(self, body: bytes | None) -> None:
            headers = {name: self.headers[name] for name in _PASSED_ON if name in self.headers}
            request = urllib.request.Request(f"{archive_url}{self.path}", data=body, headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=120) as answer:
                    status, kind, content = answer.status, answer.headers["Content-Type"], answer.read()
            except urllib.error.HTTPError as error:
                status, kind, content = error.code, error.headers["Content-Type"], error.read()
            self._answer(status, kind or "application/octet-stream", content)

        def _answer(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """What goes wrong shows in the browser."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A browser that goes away resets its connections."""
            if not isinstance(sys.exception(), ConnectionError):
                super().handle_error(request, client_address)

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[webdriver.Chrome]:
    """Chromium without a screen or a graphics card, its profile in a folder."""
    options = webdriver.ChromeOptions()
    options.page_load_strategy = "eager"
    options.binary_location = "/usr/bin/chromium"
    for argument in (
        "--headless=new",
        "--no-sandbox",  # tests may run as root
        "--disable-dev-shm-usage",
        "--use-gl=angle",
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
        "--force-device-scale-factor=1",
        "--window-size=1400,900",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.set_script_timeout(_SECONDS)
    driver.set_page_load_timeout(_SECONDS)
    assert isinstance(driver.command_executor, RemoteConnection)
    driver.command_executor.client_config.timeout = 2 * _SECONDS
    try:
        yield driver
    finally:
        driver.quit()


@dataclass(frozen=True)
class Viewer:
    """An open viewer."""

    driver: webdriver.Chrome
    url: str

    def open(self, StudyInstanceUID: str, *, objects: int) -> None:
        """Open a study, and wait for a picture and for some number of objects in the list of series."""
        self.driver.get(f"{self.url}/app-config.js")  # the smallest page of the origin
        self.driver.execute_script(_SKIP_TOUR)
        self.open_again(StudyInstanceUID, objects=objects)
        self.press("Confirm and hide")  # what it is not for; it asks once

    def open_again(self, StudyInstanceUID: str, *, objects: int) -> None:
        """The same once more, for what has come since."""
        self.driver.get(f"{self.url}/viewer?StudyInstanceUIDs={StudyInstanceUID}")
        self.wait(lambda: self.driver.find_elements(By.CSS_SELECTOR, "canvas"))
        self.wait(lambda: len(self.display_sets()) == objects)
        self.wait(lambda: self.ask("return viewport.getCurrentImageId()"))

    def wait(self, found: Callable[[], Found | None]) -> Found:
        """Ask until the answer is true."""
        ignored = (WebDriverException, IndexError)
        return cast("Found", WebDriverWait(self.driver, _SECONDS, 0.2, ignored).until(lambda _: found()))

    def ask(self, script: str, *arguments: object) -> Any:
        """Run a script that knows the viewer's services and its active viewport."""
        return self.driver.execute_script(_VIEWPORT + script, *arguments)

    def display_sets(self) -> list[dict[str, Any]]:
        """What the viewer made of the study's objects."""
        return list(
            self.ask("""return services.displaySetService.getActiveDisplaySets().map(d => ({
                Modality: d.Modality, SeriesNumber: d.SeriesNumber, SeriesDescription: d.SeriesDescription,
                SOPInstanceUID: d.instance?.SOPInstanceUID || d.SOPInstanceUID}))""")
        )

    def press(self, text: str) -> None:
        """A button by its words."""
        self.wait(lambda: self._shown(f"//button[normalize-space()='{text}']")).click()

    def show(self, description: str) -> None:
        """Double-click a series in the list, by its description."""
        ActionChains(self.driver).double_click(
            self.wait(lambda: self._shown(_SERIES.format(description)))
        ).perform()

    def show_clip(self, SOPInstanceUID: str) -> None:
        """Double-click a clip in the list; its place there is that among the image display sets."""
        clips = [d["SOPInstanceUID"] for d in self.display_sets() if d["Modality"] == "US"]
        shown = self.driver.find_elements(By.CSS_SELECTOR, "[data-cy=study-browser-thumbnail]")
        ActionChains(self.driver).double_click(shown[clips.index(SOPInstanceUID)]).perform()
        self.wait(lambda: self.place()[0] == SOPInstanceUID)

    def place(self) -> tuple[str, int]:
        """SOP Instance UID and number of the frame on view."""
        address = self.ask("return viewport.getCurrentImageId()").split("/")
        return address[address.index("instances") + 1], int(address[-1])

    def go_to(self, frame: int) -> None:
        """Scroll the clip to a frame."""
        self.ask("return viewport.setImageIdIndex(arguments[0])", frame - 1)
        self.wait(lambda: self.place()[1] == frame)

    def on_screen(self, points: Points) -> list[tuple[int, int]]:
        """Where points of the image are in the window."""
        script = """const box = viewport.element.getBoundingClientRect();
            return arguments[0].map(([x, y]) => {
              const place = [viewport.getCurrentImageId(), [x + .5, y + .5]];
              const [left, top] = viewport.worldToCanvas(cornerstone.utilities.imageToWorldCoords(...place));
              return [Math.round(box.left + left), Math.round(box.top + top)];
            })"""
        return [(x, y) for x, y in self.ask(script, [list(point) for point in points])]

    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the viewport in the window."""
        script = "const box = viewport.element.getBoundingClientRect();"
        left, top, right, bottom = self.ask(script + "return [box.left, box.top, box.right, box.bottom]")
        return int(left), int(top), int(right), int(bottom)

    def picture(self) -> npt.NDArray[np.int_]:
        """What is to be seen, [H,W,3] RGB."""
        shot = cv2.imdecode(np.frombuffer(self.driver.get_screenshot_as_png(), np.uint8), cv2.IMREAD_COLOR)
        assert shot is not None
        return shot[:, :, ::-1].astype(np.int_)

    def measurements(self) -> list[dict[str, Any]]:
        """What the measurement service holds."""
        return list(
            self.ask("""return services.measurementService.getMeasurements().map(m => ({
                label: m.label, text: m.displayText.primary.join(' '), tool: m.toolName, frame: m.frameNumber,
                SOPInstanceUID: m.SOPInstanceUID}))""")
        )

    def rows(self) -> list[WebElement]:
        """The rows of the measurement panel, which is opened for it."""
        if not self.driver.find_elements(By.CSS_SELECTOR, "[data-cy=trackedMeasurements-panel]"):
            self.wait(lambda: self._one("[data-cy=trackedMeasurements-btn]")).click()
        return self.driver.find_elements(By.CSS_SELECTOR, "[data-cy=data-row]")

    def row(self, text: str) -> WebElement:
        """The row of the panel with a text."""
        return self.wait(lambda: next((row for row in self.rows() if text in row.text), None))

    def log_in(self, family_name: str, given_name: str) -> None:
        """Be somebody, as an identity provider says it."""
        self.ask(
            "services.userAuthenticationService.setUser({profile: {family_name: arguments[0],"
            " given_name: arguments[1]}})",
            family_name,
            given_name,
        )

    def measure(self, line: Points, label: str) -> None:
        """Draw a length with the mouse, have it tracked, and give it a label by its row's menu."""
        self.wait(lambda: self._one("[data-cy=Length-btn], [data-cy=Length]")).click()
        (x, y), (x2, y2) = line
        self._draw([(x, y), ((x + x2) / 2, (y + y2) / 2), (x2, y2)], label)

    def outline(self, contour: Points, label: str) -> None:
        """Draw an outline with the mouse, freehand and closed, have it tracked, and give it a label."""
        self.wait(lambda: self._one("[data-cy=cine-player-close]")).click()  # it lies over the picture
        self.wait(lambda: self._one("[data-cy=MeasurementTools-split-button-secondary]")).click()
        self.wait(lambda: self._one("[data-cy=PlanarFreehandROI]")).click()
        self._draw([*contour, contour[0]], label)

    def _draw(self, path: Points, label: str) -> None:
        drawing = ActionChains(self.driver)
        pointer = drawing.w3c_actions.pointer_action
        start, *rest = self.on_screen(path)
        pointer.move_to_location(*start)
        pointer.pointer_down()
        for place in rest:
            pointer.move_to_location(*place)
        pointer.pointer_up()
        drawing.perform()
        self.press("Yes")
        self.wait(self.rows)[0].click()
        self.wait(lambda: self._one("[data-cy=actionsMenuTrigger]")).click()
        self.wait(lambda: self._shown("//*[@role='menuitem'][normalize-space()='Rename']")).click()
        self._enter(label)
        self.wait(lambda: [m["label"] for m in self.measurements()] == [label])

    def save_report(self, name: str) -> None:
        """Store what is tracked in the archive, as SR."""
        self.press("Create SR")
        self._enter(name)

    def _enter(self, text: str) -> None:
        self.wait(lambda: self._one("[data-cy=dialog-input]")).send_keys(text)
        self.press("Save")

    def _one(self, selector: str) -> WebElement | None:
        with contextlib.suppress(StaleElementReferenceException):
            return next((e for e in self.driver.find_elements(By.CSS_SELECTOR, selector) if e.is_displayed()), None)
        return None

    def _shown(self, path: str) -> WebElement | None:
        with contextlib.suppress(StaleElementReferenceException):
            return next((e for e in self.driver.find_elements(By.XPATH, path) if e.is_displayed()), None)
        return None
