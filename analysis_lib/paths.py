"""Where things are: the project's own folders, found from this file, never from the working directory."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data"
NOTEBOOKS = ROOT / "notebooks"
REPORTS = ROOT / "reports"
TEMPLATES = REPORTS / "templates"
PUBLISHED = REPORTS / "published.json"
REGISTRY = DATA / "claims.yml"
DEFINITIONS = DATA / "tables.yml"
OWN = ROOT / "my-claims.yml"  # where a user's claims are written if no other registry is named
REGION = DATA / "region.geojson"

# how a run names another data folder or registry to its kernels, so that no path enters a notebook or a page
DATA_ENV, REGISTRY_ENV = "CLAIMS_DATA", "CLAIMS_REGISTRY"


def data_dir(given: str | Path | None = None) -> Path:
    """The data folder: the one given, else the one this run names, else the bundled one."""
    return Path(given or os.environ.get(DATA_ENV) or DATA)


def user_registry(given: str | Path | None = None) -> Path | None:
    """The user's registry: the one given, else the one this run names, else none."""
    path = given or os.environ.get(REGISTRY_ENV)
    return Path(path) if path else None


def shown(path: Path) -> str:
    """A path as a message may show it: relative to the project or the working directory, else its last part.

    >>> shown(DATA / "events.csv")
    'data/events.csv'
    """
    for base in (ROOT, Path.cwd()):
        if path.resolve().is_relative_to(base):
            return path.resolve().relative_to(base).as_posix()
    return path.name
