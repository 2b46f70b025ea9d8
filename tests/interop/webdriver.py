# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026, the emdtools developers
"""A small WebDriver client (W3C protocol over urllib) for headless Chromium: no package from npm or
PyPI is needed, only Debian's chromium and chromium-driver."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def find_or_skip():
    """Paths of browser and driver; ends the test as skipped (77) where one is missing."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not browser or not driver:
        print("skipped: needs chromium and chromedriver (Debian: chromium, chromium-driver)")
        sys.exit(77)
    return browser, driver


class Error(Exception):
    pass


class Browser:
    """with Browser(width, height) as b: b.get(url); b.find(css)..."""

    def __init__(self, width=1360, height=1000, dark=False):
        self.browser, driver = find_or_skip()
        self.profile = tempfile.mkdtemp(prefix="emd-chromium.")
        self.session = None
        self.log = open(os.path.join(self.profile, "driver.log"), "wb+")
        # Port 0: the driver chooses a free one and says which.
        self.driver = subprocess.Popen([driver, "--port=0"], stdout=self.log, stderr=self.log)
        try:
            self.base = "http://127.0.0.1:%d" % self._port()
            arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
                         "--disable-background-networking", "--disable-component-update",
                         "--disable-sync", "--hide-scrollbars", "--force-device-scale-factor=1",
                         "--user-data-dir=" + self.profile, f"--window-size={width},{height}"]
            if dark:
                arguments.append("--force-dark-mode")
            capabilities = {"goog:chromeOptions": {"binary": self.browser, "args": arguments},
                            "goog:loggingPrefs": {"browser": "ALL"}}
            answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
            self.session = "/session/" + answer["sessionId"]
            if dark:
                self.cdp("Emulation.setEmulatedMedia",
                         features=[{"name": "prefers-color-scheme", "value": "dark"}])
        except BaseException:
            self.close()
            raise

    def _port(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            self.log.flush()
            with open(self.log.name, encoding="utf-8", errors="replace") as f:
                found = re.search(r"on port (\d+)", f.read().replace("on port 0", ""))
            if found:
                return int(found.group(1))
            if self.driver.poll() is not None:
                break
            time.sleep(0.05)
        raise Error("chromedriver does not start")

    def _call(self, method, path, body=None):
        request = urllib.request.Request(self.base + path, method=method,
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=400) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise Error(f"{value['error']}: {value['message']}") from None

    def call(self, method, path, body=None):
        return self._call(method, self.session + path, body)

    def get(self, url):
        self.call("POST", "/url", {"url": url})

    def script(self, text, *args):
        return self.call("POST", "/execute/sync", {"script": text, "args": list(args)})

    def find_all(self, css):
        found = self.call("POST", "/elements", {"using": "css selector", "value": css})
        return [Element(self, e[ELEMENT]) for e in found]

    def find(self, css):
        found = self.find_all(css)
        if not found:
            raise Error(f"nothing matches {css}")
        return found[0]

    def keys(self, text):
        """Types on whatever has the focus."""
        actions = [a for c in text for a in ({"type": "keyDown", "value": c},
                                             {"type": "keyUp", "value": c})]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "k", "actions": actions}]})

    def cdp(self, command, **parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def console(self):
        """All messages of the console and network since the last call."""
        return self.call("POST", "/se/log", {"type": "browser"})

    def screenshot(self, path, full=False):
        if full:
            size = self.cdp("Page.getLayoutMetrics")["cssContentSize"]
            data = self.cdp("Page.captureScreenshot", captureBeyondViewport=True,
                            clip={"x": 0, "y": 0, "width": size["width"], "height": size["height"],
                                  "scale": 1})["data"]
        else:
            data = self.call("GET", "/screenshot")
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))

    def pdf(self, path):
        with open(path, "wb") as f:
            f.write(base64.b64decode(self.call("POST", "/print", {"background": True})))

    def wait(self, script, seconds=20):
        deadline = time.monotonic() + seconds
        while not self.script("return " + script):
            if time.monotonic() > deadline:
                raise Error(f"never true: {script}")
            time.sleep(0.02)

    def close(self):
        try:
            if self.session:
                self.call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()
            self.log.close()
            shutil.rmtree(self.profile, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Element:
    def __init__(self, browser, reference):
        self.browser, self.path = browser, "/element/" + reference
        self.reference = {ELEMENT: reference}

    def click(self):
        # The driver's own scrolling does not wait for a page that scrolls smoothly.
        self.browser.script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})",
                            self.reference)
        self.browser.call("POST", self.path + "/click", {})

    def type(self, text):
        self.browser.call("POST", self.path + "/value", {"text": text})

    def clear(self):
        self.browser.call("POST", self.path + "/clear", {})

    @property
    def text(self):
        return self.browser.call("GET", self.path + "/text")

    def attribute(self, name):
        return self.browser.call("GET", f"{self.path}/attribute/{name}")
