"""Published pages → PDF, printed by the Chromium of the system."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from analysis_lib.generations import LATEST, STAGING, locked, writable

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
INSTALL = "install Chromium (Debian, Ubuntu: apt install chromium) or Google Chrome, then run this command again"
# a page runs nothing and fetches nothing; the browser, which would by itself, reaches no name and no address either
FLAGS = """--headless --disable-gpu --disable-dev-shm-usage --disable-background-networking --disable-component-update
--no-first-run --host-resolver-rules=MAP_*_~NOTFOUND --proxy-server=127.0.0.1:9 --proxy-bypass-list=<-loopback>
--user-agent=claims --no-pdf-header-footer --generate-pdf-document-outline"""
ARGUMENTS = [flag.replace("_", " ") for flag in FLAGS.split()] + ["--no-sandbox"] * (os.geteuid() == 0)
OWN = re.compile(rb"\(file:(?:\\.|[^\\)])*?/((?:claims/)?[\w-]+\.html(?:#[\w-]+)?)\)|/(?:Creation|Mod)Date \([^)]*\)")


def print_pages(
    out: Path, claims: Sequence[str], progress: Callable[[int, int, str], object], jobs: int | None = None,
    timeout: float = 60,
) -> list[str]:  # fmt: skip
    """A PDF of the board and of each of these claims' pages, beside the page; a line for each that could not be made.

    They belong to no hash: a page that has its PDF is not printed again, and one that changes stands in a new
    generation. `timeout`: seconds a page.
    """
    browser, problems = next(filter(None, map(shutil.which, BROWSERS)), None), []
    if browser is None:
        return [f"--pdf: no Chromium was found, so there are pages and no PDF; {INSTALL}"]
    with locked(out), writable(out), ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        asked = (out / LATEST / path for path in ("index.html", *(f"claims/{name}.html" for name in claims)))
        pages = [page for page in asked if page.is_file() and not page.with_suffix(".pdf").is_file()]
        for count, pdf in enumerate(pool.map(lambda page: _printed(browser, page, timeout), pages)):
            name = f"{pages[count].stem}.pdf"
            progress(count + 1, len(pages), f"{name} {'done' if pdf else 'FAILED'}")
            if pdf:
                (out / f"{STAGING}{name}").write_bytes(pdf)
                os.replace(out / f"{STAGING}{name}", pages[count].with_suffix(".pdf"))
            else:
                problems.append(f"{name}: Chromium did not make it in {timeout:g} s; try again, or print the page")
    return problems


def _printed(browser: str, page: Path, timeout: float) -> bytes:
    """The page as PDF, without its time and without the folders of this machine; empty where the browser made none."""
    with TemporaryDirectory(prefix="claims-", ignore_cleanup_errors=True) as folder, suppress(FileNotFoundError):
        made, where = Path(folder, "page.pdf"), page.resolve().as_uri()
        command = [browser, *ARGUMENTS, f"--user-data-dir={folder}/profile", f"--print-to-pdf={made}", where]
        alone = {"HOME": folder, "PATH": os.environ.get("PATH", os.defpath)}  # nothing else of the environment
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, env=alone, timeout=timeout, check=False, **quiet)
        # what is blanked keeps its length: a PDF ends with a table of offsets
        up = b"../" if page.parent.name == "claims" else b""
        pdf = OWN.sub(lambda hit: (b"(%b%b)" % (up, hit[1]) if hit[1] else b"").ljust(len(hit[0])), made.read_bytes())
        return pdf if pdf.startswith(b"%PDF-") and pdf.rstrip().endswith(b"%%EOF") else b""
    return b""
