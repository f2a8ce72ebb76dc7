"""Checks claims of security reporting against data. In reading order:

tables   = load_tables()                                    # checked event table, windows, coverage, counts
registry = load_claims()                                    # every claim with its specification and rule
claim    = registry["pause-2021"]
series   = daily_counts(tables, claim.spec, claim.spec.frame)  # complete daily counts with exposure
finding  = run_spec(claim.spec, tables, claim.rule)         # one test of one specification
verdict  = judge(claim, findings)                           # the rule applied to findings by role
study    = evaluate(claim, tables, registry)                # all of it: what a notebook and the command line use
study    = open_study("pause-2021", weapons=None)             # the same in one call; a knob at None is as registered
"""

from importlib import import_module
from typing import Any

# heavy libraries load when a name is first used, so that `import analysis_lib` and `claims --help` stay quick
_MODULES = {
    "sources.bundled": ("load_tables", "load_events"),
    "windows": ("Window",),
    "claims": ("Population", "Spec"),
    "registry": ("load_claims",),
    "series": ("Series", "select", "daily_counts"),
    "finding": ("Finding", "Verdict"),
    "specs": ("run_spec",),
    "verdicts": ("judge",),
    "study": ("evaluate", "open_study", "Study"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'analysis_lib' has no attribute '{name}'; it has {', '.join(__all__)}")
    return getattr(import_module(f"analysis_lib.{_HOME[name]}"), name)
