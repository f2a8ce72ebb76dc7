"""The board: every claim, adjusted p-values, states, and nothing fetched from outside."""

from __future__ import annotations

import copy
import re
from base64 import b64encode
from hashlib import sha256
from html import unescape

import pytest

from analysis_lib.site import board, holm_p
from analysis_lib.study import open_study

HASHES = {"data_sha256": "d" * 64, "registry_sha256": "e" * 64, "code_sha256": "f" * 64}


def external_references(html: str) -> list[str]:
    """Whatever a browser would fetch, or run: all but links that a reader may follow and the script with its hash."""
    links = re.sub(r'<a (?:class="\w+" )?href="(?:https?://|#|[\w./#-]+")[^>]*>', "", html)
    allowed = re.findall(r"script-src 'sha256-([\w+/=]+)'", unescape(html))
    for script in re.findall(r"<script>(.*?)</script>", links, re.S):
        if [b64encode(sha256(script.encode()).digest()).decode()] == allowed:
            links = links.replace(f"<script>{script}</script>", "")
    patterns = (
        r"\bsrc\s*=\s*[\"'](?!data:)[^\"']*",
        r"\b(?:href|action|poster|srcset|data)\s*=\s*[\"'][^\"']*",
        r"url\([^)]*\)",
        r"@import[^;]*",
        r"<(?:script|link|iframe|object|embed|base|form|svg)\b[^>]*",
        r"http-equiv=(?!\"Content-Security-Policy\")[^>]*",
        r"\bon\w+\s*=\s*[\"'][^\"']*",
    )
    return [hit[0] for pattern in patterns for hit in re.finditer(pattern, links, re.I)]


def test_external_references_are_seen():
    page = '<img src="https://a/b.png"><a href="https://a">a</a><a href="javascript:b">b</a>'
    page += '<style>@import "x"; b{c:url(d)}</style>'
    assert external_references("<script>1</script>") == ["<script"]
    assert external_references("<script>1</script> script-src 'sha256-a='") == ["<script"]
    assert external_references(page) == ['src="https://a/b.png', 'href="javascript:b', "url(d)", '@import "x"']


@pytest.fixture(scope="module")
def record():
    return open_study("pause-2021").record()


def with_p(record, p, **changes):
    changed = copy.deepcopy(record) | changes
    next(f for f in changed["findings"] if f["role"] == "primary")["p_value"] = p
    return changed


def page(registry, records, notes=None):
    all_notes = {claim.id: () if claim.id in records else ("not yet run",) for claim in registry.claims}
    return board(registry, records, all_notes | (notes or {}), HASHES).decode()


def test_holm_by_hand(record):
    # sorted 0.01, 0.03, 0.04 times 3, 2, 1 is 0.03, 0.06, 0.04; no value may lie below the one before it
    records = {
        "a": with_p(record, 0.04),
        "b": with_p(record, 0.01),
        "c": with_p(record, 0.03),
        "d": with_p(record, None),
    }
    assert holm_p(records) == pytest.approx({"a": 0.06, "b": 0.03, "c": 0.06})
    assert holm_p({}) == {}


def test_the_board_has_every_claim_once_with_its_state(registry, record):
    html = page(registry, {"pause-2021": with_p(record, 0.01), "gap-2021": with_p(record, 0.04)},
                {"gap-2021": ("failed since 2026-01-02, showing the last good page: cell 5",)})  # fmt: skip
    text = unescape(re.sub(r"<[^>]+>", " ", html))
    for claim in registry.claims:
        assert text.count(claim.question) == 1
        assert f"{claim.id} ·" in text
        assert html.count(f'id="{claim.id}"') == 1  # where the claim's own page points to
        assert (f'href="claims/{claim.id}.html"' in html) == (claim.id in ("pause-2021", "gap-2021"))
    body = html.partition("<main")[2]
    assert body.count("not yet run") == len(registry.claims) - 2
    assert "failed since 2026-01-02, showing the last good page: cell 5" in body
    assert body.count("holds after Holm: yes") == 2  # 0.02 and 0.04
    assert f"{len(registry.claims)} claims" in text
    assert "d" * 64 in text


def test_a_verdict_is_told_by_word_and_symbol(registry, record):
    for word, symbol in (
        ("supported", "✓"),
        ("contradicted", "✗"),
        ("not distinguishable", "≈"),
        ("not testable", "∅"),
    ):
        html = page(registry, {"pause-2021": record | {"headline": word}})
        row = html.partition("<main")[2].partition('href="claims/pause-2021.html"')[2].partition("</tr>")[0]
        assert re.search(
            rf'class="badge v-{word.replace(" ", "-")}"><span aria-hidden="true">{symbol}</span> {word}', row
        )


def test_the_board_is_one_file_without_references_and_shows_text_as_text(registry, record):
    hostile = "<script>alert(1)</script> \x1b[31m {{ 7 * 7 }}"
    flips = record["robustness"] | {"flips_on": [hostile]}
    html = page(registry, {"pause-2021": record | {"robustness": flips}}, {"pause-2021": (hostile,)})
    assert external_references(html) == []
    assert "<script>" not in html
    assert "\x1b" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt; \\x1b[31m {{ 7 * 7 }}") == 2
    assert '<html lang="en">' in html
    assert "default-src &#39;none&#39;" in html
