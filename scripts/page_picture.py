"""A picture of a served page with the prediction for its example, by headless Chromium.

Needs selenium and Debian's chromium, chromium-driver and, for Chinese, fonts-wqy-microhei.

    .venv/bin/python scripts/page_picture.py --bundle cola_bundle --output page.png [--language zh-CN]
"""

import argparse
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.support.wait import WebDriverWait

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--disable-dev-shm-usage")
WIDTH, HEIGHT, SECONDS = 900, 300, 60


@contextmanager
def serve(bundle, port):
    """The address of a server of the bundle, once it answers."""
    command = [sys.executable, "-m", "src.serve", "--bundle", Path(bundle).resolve(), "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            WebDriverWait(server, SECONDS, ignored_exceptions=[OSError]).until(lambda _: urllib.request.urlopen(f"{url}/healthz"))
            yield url
        finally:
            server.terminate()


@contextmanager
def browse(language):
    """A browser of this language, with a profile that is removed."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.add_experimental_option("prefs", {"intl.accept_languages": language})
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--lang={language}"):
            options.add_argument(flag)
        page = webdriver.Chrome(options=options)
        try:
            yield page
        finally:
            page.quit()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--output", required=True, metavar="FILE.png")
    parser.add_argument("--language", default="en-US")
    parser.add_argument("--port", type=int, default=8123)
    options = parser.parse_args()
    with serve(options.bundle, options.port) as url, browse(options.language) as page:
        page.get(url)
        page.find_element("id", "submit").click()
        WebDriverWait(page, SECONDS).until(lambda page: page.find_element("id", "result").is_displayed())
        shown = page.execute_script("return document.querySelector('footer').getBoundingClientRect().bottom")
        size = {"width": WIDTH, "height": max(HEIGHT, int(shown) + 20), "deviceScaleFactor": 1, "mobile": False}
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        page.save_screenshot(options.output)


if __name__ == "__main__":
    main()
