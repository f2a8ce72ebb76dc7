"""The committed numbers are those that the committed code, data and registry give."""

from __future__ import annotations

import json

import pytest

from analysis_lib.claims import SEED
from analysis_lib.paths import PUBLISHED
from analysis_lib.registry import load_claims
from analysis_lib.study import evaluate

ALL = json.loads(PUBLISHED.read_bytes())
CLAIMS = load_claims()


def test_every_claim_is_published_for_the_bundled_data_and_registry(tables):
    assert list(ALL["claims"]) == [claim.id for claim in CLAIMS.claims]
    assert (ALL["data_sha256"], ALL["registry_sha256"], ALL["seed"]) == (tables.data_sha256, CLAIMS.sha256, SEED)


@pytest.mark.parametrize("claim", CLAIMS.claims, ids=lambda claim: claim.id)
def test_a_claim_gives_its_published_verdicts_and_numbers(claim, tables):
    """Other versions of the libraries may move an iterative fit in its fifth digit, never a word."""
    told, now = ALL["claims"][claim.id], evaluate(claim, tables, CLAIMS).record()
    for part in ("headline", "literal", "inferential", "publication", "facts"):
        assert now[part] == told[part]
    assert [f["id"] for f in now["findings"]] == [f["id"] for f in told["findings"]]
    assert now["findings"] or now["facts"]
    for one, other in zip(now["findings"], told["findings"], strict=True):
        for name in ("estimate", "low", "high", "p_value", "attainable_p", "power", "n"):
            expected = other[name] if other[name] is None else pytest.approx(other[name], rel=1e-4, abs=1e-9)
            assert one[name] == expected, (one["id"], name)
