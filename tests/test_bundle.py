"""A claim's numbers outside the repository: a page read back with suspicion, an archive that a sceptic can check."""

from __future__ import annotations

import csv
import io
import json
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from analysis_lib import study as study_module
from analysis_lib.bundle import CHECKED, END, LARGEST, START, rows_used, sealed, write_bundle
from analysis_lib.cli import app
from analysis_lib.errors import BadInput
from analysis_lib.generations import entry_sha256
from analysis_lib.paths import DATA, PUBLISHED
from analysis_lib.registry import load_claims
from analysis_lib.study import open_study

AROUND = "<html><body><p>rate ratio 1.71</p></body></html>\n"
REGISTRY = load_claims()


def claims(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def memory():
    return {}


@pytest.fixture(autouse=True)
def remembered(memory, monkeypatch):
    """The command line evaluates each run once in this module: what is tested here stands around that."""
    evaluate = study_module.evaluate

    def once(claim, tables, registry, **options):
        key = (entry_sha256(claim), tables.folder, registry.sha256, str(options))
        if key not in memory:
            memory[key] = evaluate(claim, tables, registry, **options)
        return memory[key]

    monkeypatch.setattr(study_module, "evaluate", once)


@pytest.fixture(scope="module")
def study():
    return open_study("pause-2021")


@pytest.fixture(scope="module")
def record(study):
    return json.loads(json.dumps(study.record()))


@pytest.fixture
def page(tmp_path, record):
    """`page(change, block)`: a page whose record has these other values, `block` changing the text of its block."""

    def write(change=(), block=lambda text: text, around=lambda text: text, entry=None):
        entry = entry or entry_sha256(REGISTRY["pause-2021"])
        text = sealed(AROUND, entry, record | dict(change))
        head, _, rest = text.partition(START)
        inner, _, tail = rest.partition(END)
        path = tmp_path / "page.html"
        path.write_bytes((around(head) + START + block(inner) + END + tail).encode())
        return path

    return write


# ---- a page ----------------------------------------------------------------------------------------------------------


def test_a_page_is_reproduced_from_what_it_says_itself(page):
    for words in ([], ["pause-2021"]):
        done = claims("reproduce", *words, "--from", page(), "--out", "nowhere")
        assert done.exit_code == 0, done.output
        assert re.search(r"^MATCH: \d{3,} values are those of page\.html ", done.stdout, re.M)


def test_date_seed_and_knobs_come_from_the_page(page):
    other = open_study("pause-2021", as_of="2021-07-01", seed=7, weapons=["rocket"], window_start="2021-05-11")
    told = json.loads(json.dumps(other.record(), default=str))
    assert (told["as_of"], told["seed"], told["knobs"]["weapons"]) == ("2021-07-01", 7, ["rocket"])
    done = claims("reproduce", "--from", page(told))
    assert done.exit_code == 0, done.output
    assert "\nMATCH: " in done.stdout


def changed(record, quantity, name, value):
    findings = json.loads(json.dumps(record["findings"]))
    next(f for f in findings if f["quantity"] == quantity)[name] = value
    return {"findings": findings}


def test_a_number_that_is_not_the_computed_one_is_a_mismatch_with_its_tolerance_and_reason(page, record):
    done = claims("reproduce", "--from", page(changed(record, "rate_ratio", "estimate", 0.2)))
    assert done.exit_code == 3
    [row] = [line for line in done.stdout.splitlines() if "rate_ratio estimate" in line]
    assert row.split("  ") == [
        "findings pause-2021/rate_ratio estimate", "0.2", "1.708333333",
        "1e-06 of its size: other versions of the libraries may differ in the last digits",
    ]  # fmt: skip
    assert done.stdout.splitlines()[-1].startswith("MISMATCH: 1 of ")
    done = claims("reproduce", "--from", page(changed(record, "rate_ratio", "n", 4)))
    [row] = [line for line in done.stdout.splitlines() if "rate_ratio n  " in line]
    assert row.endswith("4  3  exact: counts, words and dates do not depend on the libraries")


@pytest.mark.parametrize(("value", "code"), [(1.7083333, 0), (1.70834, 3), (1, 3), ("1.708333333", 3), (None, 3)])
def test_only_numbers_with_a_fraction_have_a_tolerance(page, record, value, code):
    assert claims("reproduce", "--from", page(changed(record, "rate_ratio", "estimate", value))).exit_code == code


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999", "9" * 4000, '{"a": {}}', "[[], {}]", "true"])
def test_a_number_that_is_none_never_matches(page, text):
    done = claims(
        "reproduce", "--from", page(block=lambda b: b.replace('"estimate": 1.708333333', f'"estimate": {text}'))
    )
    assert done.exit_code == 3, done.output
    assert "Traceback" not in done.output


HASH = "0" * 64


def test_other_data_or_another_rule_cannot_run_and_is_named(page):
    done = claims("reproduce", "--from", page({"data_sha256": HASH}))
    assert (done.exit_code, done.stdout) == (4, "")
    assert re.fullmatch(r"error: CANNOT RUN pause-2021: data_sha256 was 0{12}, is \w{12}; .*--data DIR\n", done.stderr)
    done = claims("reproduce", "--from", page({"data_sha256": HASH}, entry=HASH))
    assert done.exit_code == 4
    assert [line.split(" was ")[0] for line in done.stderr.splitlines()] == [
        "error: CANNOT RUN pause-2021: data_sha256",
        "error: CANNOT RUN pause-2021: registry entry",
    ]


def test_another_entry_of_the_registry_does_not_touch_the_claim(page):
    assert claims("reproduce", "--from", page({"registry_sha256": HASH})).exit_code == 0


def lines(done):
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert "\x1b" not in done.stderr
    assert len(done.stderr) < 1000
    return done.stderr.splitlines()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff\xfe\x00", b"<html></html>", START.encode(), f"{START}{{}}{END}".encode(),
        f"{START}{'[' * 100_000}{END}".encode(), f"{START}null{END}".encode(), b"PK\x03\x04", bytes(1000),
    ],
)  # fmt: skip
def test_a_foreign_file_is_one_line(tmp_path, content):
    (tmp_path / "page.html").write_bytes(content)
    [line] = lines(claims("reproduce", "--from", tmp_path / "page.html"))
    assert line.startswith("error: page.html: holds no record of a claim")


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    for path in (tmp_path / "none.html", tmp_path):
        [line] = lines(claims("reproduce", "--from", path))
        assert "cannot be read" in line


def test_a_page_altered_around_its_record_is_refused(page):
    [line] = lines(claims("reproduce", "--from", page(around=lambda text: text.replace("1.71", "0.17"))))
    assert line.startswith("error: page.html: altered since it was written, outside its record; give claims/ID.html")
    # a second block would not be read, but shown
    [line] = lines(claims("reproduce", "--from", page(block=lambda b: f"{b}{END}{START}{b}")))
    assert "altered" in line
    page_with_other_line_ends = page(around=lambda text: text.replace("\n", "\r\n"))
    assert claims("reproduce", "--from", page_with_other_line_ends).exit_code == 0


def test_a_page_larger_than_any_of_ours_is_refused(page):
    path = page()
    with path.open("ab") as file:
        file.truncate(LARGEST + 10)
    [line] = lines(claims("reproduce", "--from", path))
    assert "altered" in line


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"claim": "../../etc/passwd"}, "unknown claim '../../etc/passwd'"),
        ({"claim": "\x1b[2Jx"}, "unknown claim '\\x1b[2Jx'"),
        ({"claim": "x" * 61}, "holds no record"),
        ({"claim": ["pause-2021"]}, "holds no record"),
        ({"seed": -1}, "holds no record"),
        ({"seed": 1 << 63}, "holds no record"),
        ({"as_of": "yesterday"}, "holds no record"),
        ({"data_sha256": "../data"}, "holds no record"),
        ({"knobs": {"weapon": "rocket"}}, "unknown knob 'weapon': did you mean weapons"),
        ({"knobs": {"draws": 10**12}}, "draws: got 1000000000000; allowed: "),
        ({"knobs": {"__class__": "x"}}, "unknown knob '__class__'"),
        ({"knobs": "weapons"}, "holds no record"),
    ],
)
def test_what_a_page_asks_for_is_checked_like_a_command_line(page, change, told):
    [line] = lines(claims("reproduce", "--from", page(change)))
    assert told in line


def test_a_page_and_options_that_contradict_it_are_refused(page):
    for words in (["--seed", 7], ["--as-of", "2021-06-05"], ["--set", "weapons=rocket"]):
        done = claims("reproduce", "--from", page(), *words)
        assert (done.exit_code, done.stdout) == (2, "")
    [line] = lines(claims("reproduce", "gap-2021", "--from", page()))
    assert line == "error: gap-2021: page.html is about 'pause-2021'; leave the id out or give that one"


def test_no_text_of_the_data_ends_the_block(page, record):
    hostile = "</script><script>alert(1)</script><!--"
    path = page({"robustness": record["robustness"] | {"flips_on": [hostile]}})
    text = path.read_text()
    assert text.count("<script") == text.count("</script>") == 1
    done = claims("reproduce", "--from", path)
    assert done.exit_code == 3  # the text came through as it is, and is not the computed one
    assert hostile in done.stdout


def test_a_page_of_nonsense_makes_a_short_answer(page):
    nonsense = {f"key{n}": "x" * 10_000 for n in range(500)}
    done = claims("reproduce", "--from", page({"literal": nonsense}))
    assert done.exit_code == 3
    assert len(done.stdout) < 100_000
    assert "… and 4" in done.stdout


# ---- an archive ------------------------------------------------------------------------------------------------------

PUBLISHED_NOW = json.loads(PUBLISHED.read_bytes())["claims"]
CHECKABLE = [
    claim
    for claim in REGISTRY.claims
    if (claim.spec and claim.rule and claim.spec.test in CHECKED)
    or ("fact" in claim.kind and any(fact.measure or fact.event_id for fact in claim.facts))
]


def unpacked(path, folder):
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder


def archived(claim, tables, folder):
    """The archive of a claim with its published numbers, unpacked; test_published holds them against the code."""
    study = SimpleNamespace(claim=claim, spec=claim.spec, tables=tables, as_of=None, now=SimpleNamespace(sample=True))
    write_bundle(folder / "claim.zip", study, PUBLISHED_NOW[claim.id])
    return unpacked(folder / "claim.zip", folder / "claim")


def check(folder, *words):
    command = [sys.executable, "-I", "-S", str(folder / "check.py"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder.parent)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def rewritten(path, change):
    """A CSV file with `change` made to its list of rows."""
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    names = list(rows[0])
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(change(rows))
    path.write_text(text.getvalue(), encoding="utf-8")


@pytest.mark.parametrize("claim", CHECKABLE, ids=lambda claim: claim.id)
def test_the_second_implementation_gives_the_published_numbers(claim, tables, tmp_path):
    """Plain Python without packages: on the rows of the archive, and on all tables, where it chooses them itself."""
    folder = archived(claim, tables, tmp_path)
    primary = [f for f in PUBLISHED_NOW[claim.id]["findings"] if f["role"] == "primary"]
    tested = bool(primary) and claim.spec.test in CHECKED
    for words in ((), (DATA,)):
        code, told = check(folder, *words)
        assert (code, told[-1].split(":")[0]) == (0, "MATCH"), told
        assert tested == any(re.match(r"same +p value: published \d", line) for line in told)
    # a changed cell is told by the file's hash, whatever the numbers do
    shutil.copytree(folder, tmp_path / "cell")
    rewritten(tmp_path / "cell" / "data" / "events.csv", lambda rows: [{**rows[0], "notes": "changed"}, *rows[1:]])
    code, told = check(tmp_path / "cell")
    assert code == 3
    assert told[0] == "data/events.csv: not the file that was put into this archive"
    assert told[-1].startswith("MISMATCH: 1 of ")
    # a row that is changed or left out where it counts changes the numbers themselves
    script = runpy.run_path(str(folder / "check.py"))
    expected = json.loads((folder / "expected.json").read_text())
    rows = script["read"](str(folder / "data"), "events")
    spans = [(part["frame_start"], part["frame_end"]) for part in [expected["spec"]] if part]
    spans += [(fact["start"], fact["end"]) for fact in expected["facts"]]
    named = {fact["event_id"] for fact in expected["facts"]}
    near = [
        number
        for number, row in enumerate(rows)
        if row["event_id"] in named or any(a and a <= row["date"] <= b for a, b in spans)
    ]
    differing = []
    for number in near:
        shutil.rmtree(tmp_path / "row", ignore_errors=True)
        shutil.copytree(folder / "data", tmp_path / "row")
        rewritten(tmp_path / "row" / "events.csv", lambda rows, n=number: rows[:n] + rows[n + 1 :])
        found = script["compared"](expected, str(tmp_path / "row"))
        if not all(script["same"](told, now) for _, told, now in found):
            differing.append(number)
            break
    assert differing, "no row of this archive matters to its numbers"
    code, told = check(folder, tmp_path / "row")
    assert code == 3
    assert any(line.startswith("DIFFERENT ") for line in told)
    assert told[-1].startswith("MISMATCH: ")


def test_every_exact_test_and_every_count_has_a_second_implementation():
    tests = {claim.spec.test for claim in CHECKABLE if claim.spec}
    assert set(CHECKED) <= tests
    for claim in REGISTRY.claims:
        method = next((f["method"] for f in PUBLISHED_NOW[claim.id]["findings"] if f["role"] == "primary"), "")
        exact = re.search("exact binomial|Fisher|exact conditional test of two Poisson|exact Poisson", method)
        counted = "fact" in claim.kind and any(fact.measure in ("attacks", "munitions") for fact in claim.facts)
        assert claim in CHECKABLE or not (exact or counted), claim.id


@pytest.mark.parametrize("name", ["vow-to-escalate", "facade-brands", "drones-deniable", "gap-2021"])
def test_the_second_implementation_knows_what_was_public_on_a_day(name, tmp_path):
    day = REGISTRY[name].published
    study = open_study(name, as_of=day)
    write_bundle(tmp_path / "claim.zip", study, study.record())
    folder = unpacked(tmp_path / "claim.zip", tmp_path / "claim")
    for words in ((), (DATA,)):
        code, told = check(folder, *words)
        assert code == 0, told
    assert json.loads((folder / "expected.json").read_text())["as_of"] == day.isoformat()


def test_other_choices_are_archived_as_they_were_run(tmp_path):
    study = open_study("pause-2021", weapons=["rocket"], unit="site_night", sites="launch_or_target", confidence="low")
    write_bundle(tmp_path / "claim.zip", study, study.record())
    code, told = check(unpacked(tmp_path / "claim.zip", tmp_path / "claim"))
    assert (code, told[-1].split(":")[0]) == (0, "MATCH"), told


def test_an_archive_has_the_same_bytes_again_and_holds_what_it_says(study, record, tmp_path):
    for name in ("one.zip", "two.zip"):
        write_bundle(tmp_path / name, study, study.record())
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        names = archive.namelist()
        assert all(entry.date_time == (1980, 1, 1, 0, 0, 0) for entry in archive.infolist())
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in names}
    assert names == sorted(names)
    assert set(names) == {"README.txt", "check.py", "claim.json", "expected.json", "record.json", "requirements.lock",
                          "data/events.csv", "data/coverage.csv", "data/windows.csv"}  # fmt: skip
    assert json.loads(files["record.json"]) == record
    assert json.loads(files["claim.json"])["rule"]["sesoi"] == 0.5
    rows = list(csv.DictReader(io.StringIO(files["data/events.csv"].decode())))
    text = (DATA / "events.csv").read_text(encoding="utf-8")
    whole = {row["event_id"]: row for row in csv.DictReader(io.StringIO(text))}
    assert rows == [whole[row["event_id"]] for row in rows]
    assert {"IQ-20210414-03", "IQ-20210508-01", "IQ-20210511-03"} <= {row["event_id"] for row in rows}
    assert {row["theatre"] for row in rows} == {"iraq"}
    for content in files.values():
        assert str(Path.home()).encode() not in content
        assert str(tmp_path).encode() not in content
    assert "python check.py" in files["README.txt"].decode()


def test_a_claim_without_an_exact_test_says_so(tables, tmp_path):
    folder = archived(REGISTRY["one-theatre"], tables, tmp_path)
    assert not (folder / "check.py").exists()
    assert "There is no second implementation" in (folder / "README.txt").read_text()
    assert (folder / "data" / "windows.csv").exists()


def test_two_lists_are_both_in_the_archive(tables, tmp_path):
    folder = archived(REGISTRY["count-39"], tables, tmp_path)
    assert len((folder / "data" / "second_coding.csv").read_text().splitlines()) > 5
    assert len((folder / "data" / "counts.csv").read_text().splitlines()) > 5


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("CC BY 4.0", True), ("cc0 1.0", True), ("public domain", True), ("CC BY-SA 4.0", True),
        ("CC BY-NC-ND 4.0", False), ("terms of ACLED: no redistribution", False), ("CC BY 4.0, but ask first", False),
        ("", False), (None, False),
    ],
)  # fmt: skip
def test_rows_are_passed_on_only_where_the_licence_lets_them(study, tables, tmp_path, licence, allowed):
    shutil.copytree(DATA, tmp_path / "data")
    told = (DATA / "sources.yml").read_text()
    head, mark, rest = told.partition("licence: CC BY 4.0\n")  # of the first table, events.csv
    (tmp_path / "data" / "sources.yml").write_text(
        head + (f'licence: "{licence}"\n' if licence is not None else "") + rest
    )
    assert mark
    elsewhere = SimpleNamespace(claim=study.claim, spec=study.spec, as_of=None, now=study.now,
                                tables=tables.__class__(**vars(tables) | {"folder": tmp_path / "data"}))  # fmt: skip
    if allowed:
        assert rows_used(elsewhere, [study.spec])
        return
    with pytest.raises(BadInput, match=r"^events\.csv: its licence in sources\.yml \(.*\) does not let rows be passed"):
        write_bundle(tmp_path / "claim.zip", elsewhere, study.record())
    assert not (tmp_path / "claim.zip").exists()


def test_a_folder_without_licences_keeps_its_rows(tmp_path):
    shutil.copytree(DATA, tmp_path / "data")
    (tmp_path / "data" / "sources.yml").unlink()
    done = claims("reproduce", "pause-2021", "--data", tmp_path / "data", "--bundle", tmp_path / "claim.zip")
    assert done.exit_code == 2
    assert done.stderr.endswith("passed on; allowed: CC0, CC BY, CC BY-SA, ODbL, public domain; leave --bundle out\n")
    assert not (tmp_path / "claim.zip").exists()


def test_the_command_writes_an_archive_of_numbers_that_hold(page, record, tmp_path):
    done = claims("reproduce", "--from", page(), "--bundle", tmp_path / "claim.zip")
    assert done.exit_code == 0, done.output
    assert check(unpacked(tmp_path / "claim.zip", tmp_path / "claim"))[0] == 0
    done = claims("reproduce", "--from", page(changed(record, "rate_ratio", "estimate", 0.2)), "--bundle",
                  tmp_path / "other.zip")  # fmt: skip
    assert done.exit_code == 3
    assert not (tmp_path / "other.zip").exists()
    (tmp_path / "keep.csv").write_text("mine")
    [line] = claims("reproduce", "pause-2021", "--bundle", tmp_path / "keep.csv").stderr.splitlines()
    assert line == "error: --bundle keep.csv: not an archive; allowed: a name that ends in .zip; mend it"
    assert (tmp_path / "keep.csv").read_text() == "mine"
    (tmp_path / "folder.zip").mkdir()
    done = claims("reproduce", "pause-2021", "--bundle", tmp_path / "folder.zip")
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert sorted(path.name for path in tmp_path.glob(".staging*")) == []


def test_the_script_reads_broken_files_without_a_traceback(tables, tmp_path):
    folder = archived(REGISTRY["pause-2021"], tables, tmp_path)
    rewritten(folder / "data" / "events.csv", lambda rows: [{**rows[0], "date": "\x1b[2J"}, *rows[1:]])
    code, told = check(folder)
    assert (code, told[-1].split(":")[0]) == (3, "MISMATCH")
    assert "\x1b" not in "".join(told)
    (folder / "data" / "events.csv").unlink()
    assert check(folder)[0] == 3
    (folder / "expected.json").write_text("{")
    assert check(folder) == (4, ["CANNOT RUN: expected.json beside this file cannot be read: JSONDecodeError"])


def test_the_script_by_hand():
    """Its building blocks beside cases worked by hand."""
    from fractions import Fraction

    from analysis_lib.paths import TEMPLATES

    made = runpy.run_path(str(TEMPLATES / "bundle" / "check.py"))
    assert made["binomial_p"](2, 3, Fraction(1, 2), "greater") == 0.5  # (3 + 1) / 8
    assert made["binomial_p"](3, 3, Fraction(1, 2), "two-sided") == 0.25
    assert made["fisher_p"](2, 2, 0, 2, "greater") == pytest.approx(1 / 6)  # one of 4 choose 2
    assert made["clopper_pearson"](0, 10)[1] == pytest.approx(1 - 0.025**0.1)
    assert made["clopper_pearson"](10, 10)[0] == pytest.approx(0.025**0.1)
    assert made["poisson"](range(1), 2.0) == pytest.approx(0.1353352832)
    assert made["wilson"](0, 10)[0] == pytest.approx(0.0, abs=1e-12)
    assert made["days_of"](date(2021, 5, 10), date(2021, 5, 11)) == {date(2021, 5, 10), date(2021, 5, 11)}
