"""The command line: what is printed, where, and with which exit code. A mistake is one line, never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from analysis_lib import study
from analysis_lib.cli import app
from analysis_lib.generations import canonical
from analysis_lib.paths import DATA, ROOT
from analysis_lib.registry import load_claims
from analysis_lib.study import open_study

KEYS = {"claim", "as_of", "data_sha256", "registry_sha256", "seed", "literal", "inferential", "headline"}
KEYS |= {"publication", "robustness", "findings", "facts"}
NUMBERS = {"id", "role", "quantity", "estimate", "low", "high", "level", "p_value", "attainable_p", "power", "mde"}
LIGHT = "import sys; from analysis_lib.cli import app; print(*{'numpy', 'pandas', 'pydantic'} & set(sys.modules))"
HEAVY = {"pandas", "scipy", "statsmodels", "papermill", "nbconvert", "matplotlib"}
LIST = "import sys; from analysis_lib.cli import app; app(['list'], standalone_mode=False); print(*sys.modules)"


def claims(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def shell(*words, **options):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "analysis_lib", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, **options)


@pytest.fixture(scope="module")
def record():
    return open_study("pause-2021").record()


@pytest.fixture
def published(tmp_path, record):
    """`published(change)`: an --out folder whose latest record of pause-2021 has these other values."""

    def write(**change):
        folder = tmp_path / "out" / "latest" / "claims"
        folder.mkdir(parents=True)
        (folder / "pause-2021.json").write_bytes(canonical(record | change))
        return tmp_path / "out"

    return write


# ---- what is shown ---------------------------------------------------------------------------------------------------


def test_list_shows_every_claim_with_its_latest_verdicts(published, record, registry):
    out = published()
    rows = json.loads(claims("list", "--json", "--out", out).stdout)
    assert [row["id"] for row in rows] == [claim.id for claim in registry.claims]
    assert rows[0]["headline"] == record["headline"]
    assert rows[0]["publication"]["date"] == "2021-06-05"
    text = claims("list", "--out", out).stdout
    assert all(claim.id in text for claim in registry.claims)
    assert "not testable" in text


def test_show_gives_one_claim(published, registry, tmp_path):
    text = " ".join(claims("show", "pause-2021", "--out", published()).stdout.split())
    claim = registry["pause-2021"]
    for part in (
        claim.question,
        claim.estimand,
        "window start 2021-05-10",
        "alpha 0.05",
        claim.limits[0],
        "inferential",
    ):
        assert part in text
    entry = registry["pause-2021"].model_dump(mode="json", exclude_defaults=True) | {"id": "mine"}
    (tmp_path / "mine.yml").write_text(json.dumps({"claims": [entry]}))  # JSON is YAML
    assert "not yet run" in claims("show", "mine", "--claims", tmp_path / "mine.yml", "--out", "nowhere").stdout


def test_version_and_help():
    assert claims("--version").stdout.strip()[0].isdigit()
    assert all(word in claims("--help").stdout for word in ("list", "show", "reproduce", "report", "publish", "data"))


def test_help_and_list_load_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []
    done = subprocess.run([sys.executable, "-c", LIST], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not HEAVY & set(done.stdout.splitlines()[-1].split())


# ---- reproduce -------------------------------------------------------------------------------------------------------


def test_reproduce_matches_what_was_published(published):
    done = claims("reproduce", "pause-2021", "--out", published())
    assert done.exit_code == 0, done.output
    assert done.stdout.strip().splitlines()[-1].startswith("MATCH: ")
    for word in ("contradicted", "rate_ratio", "IQ-20210511-03", "data sha256"):
        assert word in done.stdout


def test_reproduce_json_is_the_record_and_nothing_else(published, record):
    out = published()
    first, second = (claims("reproduce", "pause-2021", "--json", "--out", out) for _ in range(2))
    assert first.stdout_bytes == second.stdout_bytes
    assert json.loads(first.stdout) == json.loads(json.dumps(record))
    assert set(record) >= KEYS
    assert set(record["findings"][0]) >= NUMBERS
    assert first.stderr.startswith("MATCH: ")


def test_a_mismatch_lists_the_numbers_and_exits_3(published, record):
    findings = json.loads(json.dumps(record["findings"]))
    findings[0]["estimate"] = 1.5
    out = published(findings=findings)
    done = claims("reproduce", "pause-2021", "--out", out)
    assert done.exit_code == 3
    row = next(line for line in done.stdout.splitlines() if "rate_ratio estimate" in line)
    assert row.split()[:6] == ["findings", "pause-2021/rate_ratio", "estimate", "1.5", "1.708333333", "1e-06"]
    assert done.stdout.strip().splitlines()[-1].startswith("MISMATCH: 1 of ")
    quiet = claims("reproduce", "pause-2021", "--json", "--out", out)
    assert quiet.exit_code == 3
    assert json.loads(quiet.stdout)["findings"][0]["estimate"] == 1.708333333


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--seed", 7], "seed was 20210510, is 7"),
        (["--as-of", "2021-06-05"], "as_of was null, is 2021-06-05"),
        (["--set", "weapons=rocket"], "knobs was {}, is "),
    ],
)
def test_another_run_is_not_compared(published, options, why):
    done = claims("reproduce", "pause-2021", "--out", published(), *options)
    assert done.exit_code == 0, done.output
    last = done.stdout.partition("not compared: ")[2]
    assert last.startswith(why)


def test_what_cannot_run_exits_4(monkeypatch, tmp_path):
    monkeypatch.setattr(study, "FAMILIES", ("another",))
    for command in ("reproduce", "report"):
        done = claims(command, "pause-2021", "--out", tmp_path)
        assert done.exit_code == 4
        assert "claim 'pause-2021' is not yet run" in done.stderr


# ---- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["reproduce", "pause2021"], "error: unknown claim 'pause2021': did you mean pause-2021"),
        (["show", "pause2021"], "error: unknown claim 'pause2021': did you mean pause-2021"),
        (["report", "pause2021"], "error: unknown claim 'pause2021': did you mean pause-2021"),
        (["reproduce", "pause-2021", "--set", "weapon=rocket"], "error: unknown knob 'weapon': did you mean weapons"),
        (["report", "--all", "--set", "weapon=rocket"], "error: unknown knob 'weapon': did you mean weapons"),
        (
            ["reproduce", "pause-2021", "--set", "draws=many"],
            "error: --set draws: got 'many'; allowed: a valid integer",
        ),
        (["reproduce", "pause-2021", "--set", "draws"], "error: --set draws: got no value; allowed: name=value"),
        (["reproduce", "pause-2021", "--as-of", "5 June"], "error: --as-of 5 June: not a date; allowed: an ISO date"),
        (["reproduce", "pause-2021", "--data", "nowhere"], "error: nowhere/events.csv:1:file: got no such file"),
        (["reproduce", "pause-2021", "--claims", "nowhere.yml"], "error: nowhere.yml: cannot be read"),
        (["data", "check", "nowhere"], "error: nowhere/events.csv:1:file: got no such file"),
    ],
)
def test_a_mistake_is_named_and_exits_2(words, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = claims(*words)
    assert done.exit_code == 2
    assert done.stderr.startswith(line)
    assert all(item.startswith("error: ") for item in done.stderr.splitlines())
    assert done.stdout == ""


WRONG = ("report", "report pause-2021 --all", "report --jobs 0", "reproduce", "reproduce pause-2021 --seed -1", "oops")


@pytest.mark.parametrize("words", WRONG)
def test_wrong_usage_exits_2(words):
    done = claims(*words.split())
    assert done.exit_code == 2
    assert "Traceback" not in done.output


def test_a_broken_registry_is_named_by_line(tmp_path):
    (tmp_path / "mine.yml").write_text("claims:\n  - id: [unclosed\n")
    done = claims("list", "--claims", tmp_path / "mine.yml")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: mine.yml:3:1: not YAML: ")


def test_a_broken_table_is_named_by_line(tmp_path):
    shutil.copytree(DATA, tmp_path / "data")
    lines = (tmp_path / "data" / "events.csv").read_text(encoding="utf-8").splitlines()
    lines[3] = lines[3].replace(",", ";", 2)
    (tmp_path / "data" / "events.csv").write_text("\n".join(lines), encoding="utf-8")
    for words in (["data", "check", tmp_path / "data"], ["reproduce", "pause-2021", "--data", tmp_path / "data"]):
        done = claims(*words)
        assert done.exit_code == 2
        assert "error: events.csv:4:row: got" in done.stderr
        assert "Traceback" not in done.output


def test_data_check_counts_the_rows(tables):
    done = claims("data", "check")
    assert done.exit_code == 0
    assert f"events.csv {len(tables.events)}" in done.stdout.splitlines()[-1]
    assert tables.data_sha256[:12] in done.stdout


# ---- hostile input ---------------------------------------------------------------------------------------------------

HOSTILE = "<script>alert(1)</script> [red]x[/red] <a href='javascript:alert(1)'>y</a>"


def test_text_of_a_registry_is_shown_as_text(tmp_path, registry):
    entry = registry["pause-2021"].model_dump(mode="json", exclude_defaults=True)
    entry |= {"id": "hostile", "question": f"{HOSTILE} \x1b[2J\x07"}
    (tmp_path / "mine.yml").write_text(json.dumps({"claims": [entry]}))  # JSON is YAML
    for words in (["show", "hostile"], ["list"]):
        text = claims(*words, "--claims", tmp_path / "mine.yml").stdout
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "[red]x[/red]" in " ".join(text.split())
    assert len(load_claims(tmp_path / "mine.yml").claims) == len(registry.claims) + 1


# ---- as a program ----------------------------------------------------------------------------------------------------


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    command = f"{sys.executable} -m analysis_lib list --json --out {tmp_path} | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT, check=True)  # noqa: S602
    assert (done.stdout, done.stderr) == ("[", "")


def test_a_terminal_without_letters_still_gets_its_lines(tmp_path):
    done = shell("show", "pause-2021", "--out", tmp_path, timeout=60)
    assert done.returncode == 0
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "analysis_lib", "list", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_output_in_the_way_exits_1(tmp_path):
    (tmp_path / "out").write_text("in the way")
    done = shell("report", "pause-2021", "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: out: cannot be written")
    assert len(done.stderr.splitlines()) == 1
