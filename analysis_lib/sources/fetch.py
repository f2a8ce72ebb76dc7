"""Fetches what a publisher's interface has: pages as files, with their hashes; a run goes on where another stopped."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import requests
import urllib3

from analysis_lib.errors import BadInput, CannotRun, ReportFailed, unknown
from analysis_lib.generations import canonical, locked, manifest, sha256, whole, writable, write_whole
from analysis_lib.paths import shown
from analysis_lib.sources.definitions import Source, load_source, names

WAITS, LONGEST, SILENCE = (0, 2, 8, 30, 60), 300, (10, 120)  # seconds: before tries; that a server may ask; unheard
DAMAGED = (ValueError, LookupError, TypeError, AttributeError, RecursionError)  # from what is no page of the source


def fetch(name: str, into: Path, given: Mapping[str, str], tell: Callable, waits: Sequence[float] = WAITS) -> dict:
    """All pages of a query as files of the folder `into`; returns their manifest, `complete` when all are there.

    `given` has the options that the definition asks for, "" where not given; `tell` gets a line for each page. A page
    with the hash of the manifest is kept. Any other is fetched; one that is cut, damaged, or refused by a busy server
    is asked for again, after `waits`, in seconds, and what the server asks for beyond them. The token comes from the
    environment and goes to the definition's address alone: no redirect and no address in an answer is followed.
    Raises BadInput, also where `into` holds something else; CannotRun where the token is missing or refused; RunLocked;
    ReportFailed where the server fails for good, or announces another number of rows than it sends.

    Misleads where rows change between two pages and the source announces no total: then a row may be missing.
    """
    source = load_source(name) if name in names() else None  # somebody else's definition gets no token
    if not source or not source.fetch:
        raise unknown("interface", name, [n for n in names() if load_source(n).fetch], "download other files yourself")
    api, known, token, ask = source.fetch, manifest(into, "."), "", partial(_answer, source, waits)
    if wrong := [f"--{key} '{word}'" for key, word in given.items() if not re.fullmatch(api.asks.get(key, ""), word)]:
        raise BadInput(f"got {', '.join(wrong)}; allowed for {name}: --{', --'.join(api.asks)}, as 25.1 or 2021-06-05")
    url, query = api.url.format_map(given), {key: text.format_map(given) for key, text in api.query.items()}
    asked = {"source": name, "url": url, "query": query}
    strange = known | asked != known or not isinstance(known.get("pages"), dict)
    if strange if known else any(into.glob("[!.]*")):
        raise BadInput(f"--into {shown(into)}: got other files, or pages of another query; name a new folder")
    told = asked | {"pages": {}} | known | {"complete": False}
    number, seen, rows, totals, goes_on = 0, set(), 0, set(), True
    with locked(into), writable(into):
        while goes_on:
            write_whole(into / "manifest.json", canonical(told))
            number, file = number + 1, into / f"page-{number + 1:04}.json"
            if not whole(into, {file.name: told["pages"].get(file.name)}, "."):
                token = token or _token(source, ask)
                headers = {key: text.format(token=token) for key, text in api.header.items()}
                params = query | {key: first + number - 1 for key, first in api.page.items()}
                body = ask(partial(_read, source), "GET", url, params=params, headers=headers)[0]
                if token.encode() in body:
                    raise ReportFailed(f"{name}: page {number} repeats the token and is not kept; tell the publisher")
                write_whole(file, body)
                told["pages"][file.name] = sha256(body)
            try:
                ids, total, pages, told["beside"] = _read(source, file.read_bytes())
            except DAMAGED:  # with the hash that the manifest has: both were edited
                raise ReportFailed(f"{shown(file)}: got no page of {name}; delete it, and run this again") from None
            tell(f"{name}: page {number}, {len(ids)} rows")
            # without a number of pages it ends with an empty one; one that holds nothing new is a fault
            goes_on = number != pages and not seen.issuperset(ids)
            seen, rows, totals = seen.union(ids), rows + len(ids), totals | {total}
        if (ids and number != pages) or totals - {None, len(seen)} or number != len(told["pages"]):
            raise ReportFailed(f"{name}: not complete: {len(seen)} rows, not {total or 'all'}; fetch into a new folder")
        told |= {"complete": True, "rows": rows, "repeated": rows - len(seen)}
        write_whole(into / "manifest.json", canonical(told))
    return told


def pages_of(files: Sequence[Path]) -> list[Path]:
    """The files but for manifests of `fetch`. Raises BadInput where one is not complete, or its pages were changed."""
    ours = {f: told for f in files if f.name == "manifest.json" and "complete" in (told := manifest(f.parent, "."))}
    for file, told in ours.items():
        pages = told.get("pages")
        if not (told["complete"] and isinstance(pages, dict) and whole(file.parent, pages, ".")):
            raise BadInput(f"{shown(file)}: got pages that are not complete, or were changed; fetch again, into there")
    return [file for file in files if file not in ours]


def _read(source: Source, body: bytes) -> tuple:
    """What a page says: ids of its rows, how many rows and pages there are (None: not told), what stands beside."""
    page, api = json.loads(body), source.fetch
    ids = [str(row[api.id]) for row in (page.pop(source.pages) if page | api.good == page else None)]
    return ids, *([int(page[key]) for key in api.announces] or (None, None)), page


def _answer(source: Source, waits: Sequence[float], read: Callable, method: str, url: str, **sent: dict) -> tuple:
    """The body of an answer, and what `read` makes of it. No error has a word of what was sent or came."""
    code, longer = 0, 0
    for wait in waits:
        time.sleep(wait + min(LONGEST, longer))
        try:  # an `auth` that adds nothing, so that no password of a .netrc is sent
            answer = requests.request(method, url, timeout=SILENCE, allow_redirects=False, auth=lambda r: r, **sent)
            code, why = answer.status_code, f"HTTP {answer.status_code}{', sent elsewhere' * answer.is_redirect}"
            if code == 200:
                return answer.content, read(answer.content)
            if code != 429 and code < 500:
                break
            longer = urllib3.Retry().get_retry_after(answer.raw) or 0
        except (requests.RequestException, urllib3.exceptions.HTTPError, *DAMAGED) as error:
            why = f"no whole answer ({type(error).__name__})"
    if code in (401, 403) or (code == 400 and method == "POST"):
        raise CannotRun(f"{source.name}: {why}, not let in; set {source.fetch.keys} in the environment")
    raise ReportFailed(f"{source.name}: {why}; pages that came are kept: mend the options, or run it again later")


def _token(source: Source, ask: Callable) -> str:
    """The token of the environment, or the one that user and password get."""
    token, user, word = (os.environ.get(f"{source.name}_{k}".upper(), "") for k in ("token", "username", "password"))
    for url, form in source.fetch.login.items() if user and word and not token else ():
        sent = {"data": form | {"username": user, "password": word}}
        token = ask(lambda body: str(json.loads(body)["access_token"]), "POST", url, **sent)[1]
    if not re.fullmatch("[!-~]+", token):
        raise CannotRun(f"{source.name}: no token, or one with blanks; set {source.fetch.keys} in the environment")
    return token
