"""Generations of reports on disk: read the newest, compare with it, put the next one in its place as a unit."""

import contextlib
import hashlib
import json
import os
import shutil
from collections import namedtuple
from collections.abc import Iterator, Mapping
from math import isclose
from pathlib import Path
from typing import Any

from analysis_lib.claims import SEED, Claim
from analysis_lib.errors import BadInput, ReportFailed, RunLocked
from analysis_lib.paths import PUBLISHED, shown
from analysis_lib.registry import Registry

LATEST, STAGING = "latest", ".staging-"
TOLERANCE = 1e-6  # of a number with a fraction, relative: other versions of the libraries differ in the last digits
INPUTS = ("data_sha256", "registry_sha256", "as_of", "seed", "knobs")  # only runs on the same ones are compared
PROSE = {"reason", "notes", "method", "text", "rows"}  # what stands around the numbers, compared through them
NAMES = ("id", "label", "field")  # what tells the entries of a list apart


def canonical(value: Any) -> bytes:
    """JSON with one spelling: equal values give equal bytes."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def entry_sha256(claim: Claim) -> str:
    """Hash of one claim's own entry in the registry; changes to other entries do not touch it."""
    return sha256(canonical(claim.model_dump(mode="json")))


def as_registered(claim: Claim) -> dict[str, Any]:
    """The parameters of a run without options."""
    return {"claim": claim.id, "data": None, "as_of": None, "seed": SEED}


# ---- reading ---------------------------------------------------------------------------------------------------------


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file; empty where there is none. Raises BadInput where it cannot be read."""
    try:
        return json.loads(path.read_bytes()) if path.is_file() else {}
    except (OSError, ValueError) as error:
        again = "make it again: claims report --all --force"
        raise BadInput(f"{shown(path)}: not readable as JSON ({type(error).__name__}); {again}") from None


def manifest(out: Path, name: str = LATEST, file: str = "manifest.json") -> dict[str, Any]:
    """The manifest of a generation, the newest if not named, or another sealed `file`; empty if missing or damaged."""
    try:
        told = read_json(out / name / file)
        sealed = told.pop("sha256", None)
    except (BadInput, AttributeError, TypeError):
        return {}
    return told if sealed in (None, sha256(canonical(told))) else {}


def whole(out: Path, files: Mapping[str, str], name: str = LATEST) -> bool:
    """Are these files of a generation (path → sha256), the newest if not named, all there, unchanged?"""
    paths = {out / name / path: digest for path, digest in files.items()}
    return all(path.is_file() and sha256(path.read_bytes()) == digest for path, digest in paths.items())


def last_good(out: Path) -> dict[str, dict[str, Any]]:
    """The claims of the newest generation whose files are whole."""
    return {name: entry for name, entry in manifest(out).get("claims", {}).items() if whole(out, entry["files"])}


def records(out: Path, published: Path = PUBLISHED) -> dict[str, dict[str, Any]]:
    """The newest record of every claim that was ever run: from `out`, else from the committed file."""
    latest = sorted((out / LATEST / "claims").glob("*.json"))
    return read_json(published).get("claims", {}) | {path.stem: read_json(path) for path in latest}


def published_record(out: Path, now: Mapping, entry: str, published: Path = PUBLISHED) -> tuple[dict | None, str]:
    """The published record that `now` may be compared with, and where it stands; None and the reason where none may.

    `entry` is the hash of the claim's own registry entry: other entries may change without touching this claim.
    """
    name, why = now["claim"], ""
    latest = out / LATEST / "claims" / f"{name}.json"
    for path, record in ((latest, read_json(latest)), (published, read_json(published).get("claims", {}).get(name))):
        same_entry = path == latest and manifest(out).get("claims", {}).get(name, {}).get("entry_sha256") == entry
        keys = [key for key in INPUTS if not (same_entry and key == "registry_sha256")]
        other = [key for key in keys if record and record.get(key) != now.get(key)]
        if record and not other:
            return record, shown(path)
        why = why or "; ".join(f"{key} was {_short(record.get(key))}, is {_short(now.get(key))}" for key in other)
    return None, why or f"nothing is published for '{name}'; see claims report {name}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:12] if len(text) == 64 else text


Difference = namedtuple("Difference", "id published now tolerance")  # a value that is not the published one


def differences(published: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[list[Difference], int]:
    """Every number, word and date of two records that differs, and how many were compared.

    >>> differences({"n": 2, "p": 0.5}, {"n": 2, "p": 0.50000001})
    ([], 2)
    """
    old, new = ({path: value for path, value in _leaves(r) if path != "registry_sha256"} for r in (published, now))
    found = []
    for path in old | new:
        was, is_now = old.get(path), new.get(path)
        tolerance = TOLERANCE if isinstance(was, float) and isinstance(is_now, float) else None
        if not isclose(was, is_now, rel_tol=tolerance) if tolerance else was != is_now:
            found.append(Difference(path, was, is_now, tolerance))
    return found, len(old)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a record with the path to it; the entries of a list go by name, else by number."""
    if isinstance(value, list):
        names = ([part[n] for n in NAMES if n in part] if isinstance(part, Mapping) else [] for part in value)
        value = {str((*name, number)[0]): part for number, (name, part) in enumerate(zip(names, value, strict=True))}
    if not isinstance(value, Mapping):
        yield path, value
        return
    for key, part in value.items():
        if key not in PROSE:
            yield from _leaves(part, f"{path} {key}".strip())


# ---- writing ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def writable(out: Path) -> Iterator[None]:
    """What the file system refuses (read-only, full, a file in the way) as one line."""
    try:
        yield
    except OSError as error:
        why = f"cannot be written ({(error.strerror or type(error).__name__).lower()})"
        raise ReportFailed(f"{shown(out)}: {why}; free it or name another folder: --out or --into") from None


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """The only run that writes to `out`; the kernel frees the lock when the run ends, however it ends."""
    import fcntl

    with writable(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / ".lock").open("a")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            wait = "wait for it, or name another folder: --out or --into"
            raise RunLocked(f"another run is writing to {shown(out)}; {wait}") from None
        with writable(out):
            for left in out.glob(f"{STAGING}*"):  # of a run that was killed: nobody else can hold the lock now
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        yield


def place(out: Path, name: str, files: Mapping[str, bytes], keep: int) -> Path:
    """Write all files of a generation, then make it the latest, all or nothing; keep the newest `keep`."""
    staging, target, link = out / f"{STAGING}{name}", out / name, out / f"{STAGING}latest"
    try:
        with writable(out):
            (staging / "claims").mkdir(parents=True)
            for path, content in files.items():
                (staging / path).write_bytes(content)
            _sync(*staging.rglob("*"), staging)
            os.rename(staging, target)
            os.symlink(name, link)
            os.replace(link, out / LATEST)
            _sync(out)
    finally:  # nothing is left of it, whether it was published or refused
        shutil.rmtree(staging, ignore_errors=True)
    generations = sorted(path for path in out.glob("*T*Z-*") if (path / "manifest.json").is_file())
    for old in generations[: -max(keep, 1)]:
        if old != target:  # the one that `latest` names stays, though the clock went back
            with contextlib.suppress(OSError):  # first out of sight, so that a kill leaves no half of it
                shutil.rmtree(old.rename(out / f"{STAGING}{old.name}"))
    return target


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    staging = path.with_name(f"{STAGING}{path.name}")
    try:
        staging.write_bytes(content)
        _sync(staging)
        os.replace(staging, path)
    finally:
        staging.unlink(missing_ok=True)


def _sync(*paths: Path) -> None:
    """Wait until files and folders are on the disk."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def publish(out: Path, registry: Registry, published: Path = PUBLISHED) -> tuple[Path, int]:
    """The records of the latest generation as one committed file; only of runs as registered, on one state of data."""
    told, good, known, found = manifest(out), last_good(out), records(out), {}
    for claim in (c for c in registry.claims if good.get(c.id, {}).get("parameters") == as_registered(c)):
        entry = good[claim.id]
        if (entry["entry_sha256"], entry["data_sha256"]) != (entry_sha256(claim), told["data_sha256"]):
            raise ReportFailed(f"{claim.id}: its page is built on other data or another rule; run claims report --all")
        # the entry is the one that was judged, so the numbers hold for the registry as it is now
        found[claim.id] = known[claim.id] | {"registry_sha256": registry.sha256}
        found[claim.id].pop("rows", None)  # the committed file holds numbers
    if not found:
        raise ReportFailed(f"{shown(out)}: no reports with the registered parameters; run claims report --all")
    shared = {"data_sha256": told["data_sha256"], "registry_sha256": registry.sha256, "seed": SEED}
    with writable(published):
        write_whole(published, canonical(shared | {"claims": found}))
    return published, len(found)
