"""An engine for papermill: IPython in this very process, which belongs to one notebook and ends with it."""

from __future__ import annotations

import io
import json
import re
import sys
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.profiledir import ProfileDir
from nbformat.v4 import new_output
from papermill.engines import Engine
from traitlets.config import Config


class Names(CachingCompiler):
    """What warnings and tracebacks call a cell."""

    def get_code_name(self, raw_code: str, transformed_code: str, number: int) -> str:
        return f"cell {number}"


class Display(DisplayPublisher):
    """`display(…)`; an update changes what stands under its id."""

    def publish(self, data: Any, metadata: Any = None, *, transient: Any = None, update: bool = False, **_: Any) -> None:
        told, shown = plainly(data, metadata), self.shell.shown.setdefault((transient or {}).get("display_id"), [])
        for output in shown if update else ():
            output.update(told)
        if not update:
            shown.append(self.shell.put("display_data", **told))

    def clear_output(self, wait: bool = False) -> None:
        self.shell.outputs.clear()


class Value(DisplayHook):
    """The value of a cell's last expression."""

    def write_output_prompt(self) -> None: ...

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        self.shell.put("execute_result", execution_count=self.prompt_count, **plainly(format_dict, md_dict))

    def finish_displayhook(self) -> None:
        self._is_active = False


class Stream(io.TextIOBase):
    """What a cell writes to standard output, or to standard error: one output each, where its first word was."""

    def __init__(self, name: str, shell: Shell) -> None:
        self.stream, self.shell = name, shell

    def write(self, text: str) -> int:
        begun = [output for output in self.shell.outputs if output.get("name") == self.stream]
        (begun or [self.shell.put("stream", name=self.stream, text="")])[0].text += text
        return len(text)


class Shell(InteractiveShell):
    """IPython without files and settings of a user; `outputs` are those of the cell that runs."""

    def __init__(self) -> None:
        own = {"compiler_class": Names, "display_pub_class": Display, "displayhook_class": Value}
        self.outputs, self.shown = [], {}
        config = Config(HistoryManager={"enabled": False})
        super().__init__(ipython_dir=".", profile_dir=ProfileDir(), config=config, **own)
        sys.stdout, sys.stderr = Stream("stdout", self), Stream("stderr", self)

    def put(self, kind: str, **content: Any) -> Any:
        self.outputs.append(new_output(kind, **content))
        return self.outputs[-1]

    def _showtraceback(self, etype: type, evalue: Any, stb: list[str]) -> None:
        # papermill takes an exit for a success, though the cells below it are missing then
        text = "a cell may not end the notebook" if etype is SystemExit else str(evalue)
        self.put("error", ename=etype.__name__, evalue=text, traceback=stb)

    def ask_exit(self) -> None:
        raise SystemExit


class InProcess(Engine):
    """papermill's interface to all this; `begun` gets the cells so far, the one that begins last."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, begun: Callable[[list], Any], **_: Any) -> None:
        shell = Shell()
        InteractiveShell._instance = Shell._instance = shell  # as `instance` would: what `get_ipython` answers
        for index, cell in enumerate(nb_man.nb.cells):
            if cell.cell_type != "code" or not cell.source.strip():
                continue
            begun(nb_man.nb.cells[: index + 1])
            nb_man.cell_start(cell, index)
            shell.outputs = cell.outputs = []
            result = shell.run_cell(cell.source, store_history=True)
            cell.execution_count = result.execution_count
            for output in (output for output in cell.outputs if output.output_type == "stream"):
                output.text = re.sub(r".*\r(?=[^\n])", "", output.text)  # a progress bar: its last state
            if not result.success:
                return nb_man.cell_exception(cell, index)
            nb_man.cell_complete(cell, index)


def plainly(data: Any, metadata: Any) -> dict[str, Any]:
    """What is displayed, as it is now and as JSON has it."""

    def said(value: Any) -> str:
        return b64encode(value).decode() if isinstance(value, bytes) else str(value)

    return json.loads(json.dumps({"data": data, "metadata": metadata or {}}, default=said))
