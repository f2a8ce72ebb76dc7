"""An engine for papermill: IPython in this very process, which belongs to one notebook and ends with it."""

import io
import json
import sys
from base64 import b64encode
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.profiledir import ProfileDir
from nbformat.v4 import new_output
from papermill.engines import Engine
from traitlets.config import Config


class Outputs(list):
    """The outputs of the cell that runs, of the notebook's format."""

    def show(self, kind: str, data: Any, metadata: Any, **more: Any) -> None:
        """Keep what is displayed as it is now, and as JSON has it."""
        told = json.dumps({"data": data, "metadata": metadata or {}}, default=lambda x: b64encode(x).decode("ascii"))
        self.append(new_output(kind, **json.loads(told), **more))

    def fail(self, kind: type, error: Any, traceback: list[str]) -> None:
        # papermill takes an exit for a success, though the cells below it are missing then
        text = "a cell may not end the notebook" if kind is SystemExit else str(error)
        self.append(new_output("error", ename=kind.__name__, evalue=text, traceback=traceback))


class Stream(io.TextIOBase):
    """What a cell writes to standard output, or to standard error: one output each, where its first word was."""

    def __init__(self, name: str, outputs: Outputs) -> None:
        self.stream, self.outputs = name, outputs

    def write(self, text: str) -> int:
        begun = [output for output in self.outputs if output.get("name") == self.stream]
        if text and not begun:
            self.outputs.append(new_output("stream", name=self.stream, text=text))
        for output in begun:
            output.text += text
        return len(text)


class InProcess(Engine):
    """papermill's interface; `begun` gets the cells so far, the one that begins last. No files, no user's settings."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, begun: Any, **_: Any) -> None:
        quiet, outputs = Config(HistoryManager={"enabled": False}), Outputs()
        shell = InteractiveShell.instance(ipython_dir=".", profile_dir=ProfileDir(), config=quiet)
        sys.stdout, sys.stderr = Stream("stdout", outputs), Stream("stderr", outputs)
        shell.display_pub.publish = lambda data, metadata=None, **_: outputs.show("display_data", data, metadata)
        shell.displayhook.write_output_prompt = lambda: None
        shell.displayhook.write_format_data = lambda data, metadata=None: outputs.show(
            "execute_result", data, metadata, execution_count=shell.displayhook.prompt_count)  # fmt: skip
        shell._showtraceback, shell.ask_exit, shell.enable_gui = outputs.fail, sys.exit, lambda gui=None: None
        shell.enable_matplotlib("inline")
        for index, cell in enumerate(nb_man.nb.cells):
            if cell.cell_type == "code" and cell.source.strip():
                begun(nb_man.nb.cells[: index + 1])
                nb_man.cell_start(cell, index)
                outputs.clear()
                result = shell.run_cell(cell.source, store_history=True)
                cell.outputs, cell.execution_count = [*outputs], result.execution_count
                if not result.success:
                    return nb_man.cell_exception(cell, index)
                nb_man.cell_complete(cell, index)
