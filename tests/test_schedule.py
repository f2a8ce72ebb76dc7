"""What `claims schedule` prints: the command of a person, words that stay words, failures that are told."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT
from typer.testing import CliRunner

from analysis_lib.cli import app

HOSTILE = [
    "--data",
    "my data/50%",
    "--out",
    "a'b\"c $HOME `id` $(id) ;#&|",
    "--jobs",
    "2",
    "--set",
    "weapons=[drone, rocket]",
]
WORDS = ["report", "--all", *HOSTILE]


def schedule(*words):
    done = CliRunner().invoke(app, ["schedule", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def units(text):
    """File name → unit, as the headers say."""
    parts = re.split(r"^# ---- (\S+)\n", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def systemd_words(line):
    """The words of an ExecStart line, by the quoting of systemd.service(5) and the specifiers of systemd.unit(5)."""
    words = [re.sub(r"\\(.)", r"\1", word) for word in re.findall(r'"((?:[^"\\]|\\.)*)"(?: |$)', line)]
    assert not any(re.search(r"(?<!%)(?:%%)*%(?!%)|(?<!\$)(?:\$\$)*\$(?!\$)", word) for word in words)
    return [word.replace("%%", "%").replace("$$", "$") for word in words]


def test_a_unit_calls_the_command_that_a_person_would(monkeypatch, tmp_path):
    (tmp_path / "50% here").mkdir()
    monkeypatch.chdir(tmp_path / "50% here")
    for options in ([], HOSTILE):
        parts = units(schedule("systemd", *options))
        service = parts["claims-report.service"]
        words = systemd_words(re.search(r"^ExecStart=(.*)$", service, re.M)[1])
        assert words[-2 - len(options) :] == ["report", "--all", *options]
        program = words[: -2 - len(options)]
        assert subprocess.run([*program, "--help"], capture_output=True, check=True, cwd=ROOT)
        assert f"WorkingDirectory={str(tmp_path / '50% here').replace('%', '%%')}\n" in service
        assert "OnFailure=claims-report-failed.service" in service
        assert "SuccessExitStatus=75" in service  # another run is at it
        assert "Persistent=true" in parts["claims-report.timer"]
        assert set(parts) == {"claims-report.service", "claims-report.timer", "claims-report-failed.service"}


def test_systemd_accepts_the_units(tmp_path):
    parts = units(schedule("systemd", *HOSTILE))
    for name, text in parts.items():
        (tmp_path / name).write_text(text)
    if shutil.which("systemd-analyze"):
        command = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        ours = [line for line in done.stderr.splitlines() if "claims-report" in line]
        assert (done.returncode, ours) == (0, []), done.stderr


def test_a_crontab_runs_the_words_as_they_are(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    text = schedule("cron", *HOSTILE)
    table = [line for line in text.splitlines() if not line.startswith("#")]
    assert table[0] == "MAILTO=root"
    assert [line.partition("  ")[0] for line in table[1:]] == ["17 6 * * *", "@reboot"]
    for line in table[1:]:
        command = line.partition("  ")[2]
        assert re.search(r"(?<!\\)%", command) is None  # where cron would break the line
        command = command.replace("\\%", "%")
        assert shlex.split(command)[:3] == ["cd", str(tmp_path), "&&"]
        assert shlex.split(command)[-len(WORDS) - 1 :] == [*WORDS, "--quiet"]
        # the shell itself, with a program that prints its words in place of ours
        echo = re.sub(r"&& .*? report ", "&& printf '%s\\\\n' report ", command, count=1)
        done = subprocess.run(["/bin/sh", "-c", echo], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == [*WORDS, "--quiet"]
    assert "cannot make up for one missed while it slept" in text


def test_the_workflow_is_the_committed_one_and_keeps_the_pages():
    text = schedule("github")
    assert (ROOT / ".github" / "workflows" / "reports.yml").read_text(encoding="utf-8") == text
    told = yaml.safe_load(text)
    assert told[True]["schedule"] == [{"cron": "17 6 * * *"}]  # YAML 1.1 reads the key `on` as true
    assert told["permissions"] == {"contents": "read"}
    steps = told["jobs"]["report"]["steps"]
    [run] = [step for step in steps if "claims" in step.get("run", "")]
    assert shlex.split(run["run"]) == [".venv/bin/claims", "report", "--all"]
    assert "if" not in run  # a failed claim fails the job
    upload = steps[-1]
    assert (upload["if"], upload["with"]["path"]) == ("always()", "pages")
    assert "cp -rL -- reports/latest pages" in steps[-2]["run"]


def test_the_options_of_a_workflow_are_words_of_its_shell():
    steps = yaml.safe_load(schedule("github", *HOSTILE))["jobs"]["report"]["steps"]
    [run] = [step["run"] for step in steps if "claims" in step.get("run", "")]
    assert shlex.split(run) == [".venv/bin/claims", *WORDS]
    assert shlex.split(steps[-2]["run"]) == ["cp", "-rL", "--", "a'b\"c $HOME `id` $(id) ;#&|/latest", "pages"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["systemd", "--ouft", "x"], "No such option: --ouft"),
        (["systemd", "--set", "weapon=drone"], "unknown knob 'weapon': did you mean weapons"),
        (["launchd"], "unknown scheduler 'launchd'"),
        (["cron", "pause-2021"], "unknown scheduler 'cron pause-2021'"),
        (["cron", "--out", "a\nMAILTO=x"], "cannot be scheduled"),
        (["systemd", "--out", "a\x1b[2J"], "cannot be scheduled"),
        (["systemd", "--out", "a\\"], "cannot be scheduled"),
        (["github", "--out", "${{ secrets.TOKEN }}"], "cannot be scheduled"),
        ([], "Missing argument"),
    ],
)
def test_what_cannot_be_scheduled_is_one_line(words, told):
    done = CliRunner().invoke(app, ["schedule", *words])
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr
    assert "\x1b" not in done.stderr


def test_nothing_of_the_environment_is_printed(monkeypatch):
    monkeypatch.setenv("CLAIMS_DATA", "canary-data")
    monkeypatch.setenv("TOKEN", "canary-token")
    for kind in ("systemd", "cron", "github"):
        assert "canary" not in schedule(kind)
    assert str(ROOT) not in schedule("github")
    assert sys.executable not in schedule("github")
