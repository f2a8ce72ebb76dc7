"""One notebook through papermill, in a process and a kernel of its own; several at a time."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

from analysis_lib.errors import ClaimsError, ReportFailed
from analysis_lib.paths import ROOT, TEMPLATES, shown

KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
INJECTED = "injected-parameters"  # tag of the cell that papermill puts in
TEXTS = {"text", "text/plain", "text/html"}  # what of an output may name a folder
WIDGET = "application/vnd.jupyter.widget-view+json"
LONGEST_SOCKET = 100  # bytes in the path of a Unix socket, less its number
Words = Sequence[tuple[str, str]]  # folders of this machine, and the word for each that outputs may show


def run_tasks(
    tasks: Sequence[Any], make: Callable[[Any, Any], Any], words: Words, *,
    timeout: int, jobs: int, env: Mapping[str, str], python: str,
) -> Iterator[tuple[Any, Any, float, str]]:  # fmt: skip
    """`make(executed notebook, task)` for every task, in worker processes, in the order they finish.

    A task has a `name`, a `notebook` (its path) and `parameters`; `make` is a module's own function. Yields task,
    result, seconds and, where it failed, one line that says so. However the loop ends, workers and kernels end with it.
    """
    with tempfile.TemporaryDirectory(prefix="claims-", ignore_cleanup_errors=True) as folder:
        others, where = set(multiprocessing.active_children()), (folder, dict(env), python)
        pool = ProcessPoolExecutor(min(jobs, len(tasks)), multiprocessing.get_context("spawn"), _settle, where)
        try:
            futures = {pool.submit(_work, task, make, words, timeout, folder): task for task in tasks}
            for future in as_completed(futures):
                task, error = futures[future], future.exception()
                if error is None:
                    yield task, *future.result(), ""
                else:
                    why = str(error) if isinstance(error, ClaimsError) else f"{type(error).__name__}: {error}"
                    yield task, None, 0.0, f"{task.name}: {why.splitlines()[0]}"
        finally:
            for worker in set(multiprocessing.active_children()) - others:
                worker.terminate()
            pool.shutdown(cancel_futures=True)


def _settle(folder: str, env: Mapping[str, str], python: str) -> None:
    """A worker's surroundings: our kernel, no user configuration, silence, an end when the run itself ends.

    The kernel is `python`, this very interpreter, activated or not, whatever other kernels are installed. Several
    notebooks at a time leave no processor for threads within one, and a fixed hash seed keeps the order of sets: both
    are said in kernel.json.
    """
    homes = {name: os.path.join(folder, name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    os.environ.update({"JUPYTER_PATH": str(TEMPLATES), "PYTHONPATH": str(ROOT)} | homes | env)
    sys.executable = python  # what the word python in kernel.json stands for
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    def follow() -> None:
        multiprocessing.parent_process().join()
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _work(task: Any, make: Callable[[Any, Any], Any], words: Words, timeout: int, folder: str) -> tuple[Any, float]:
    begun = time.perf_counter()
    result = make(_clean(_execute(task, words, timeout, folder), task.parameters, words), task)
    return result, time.perf_counter() - begun


def _execute(task: Any, words: Words, timeout: int, folder: str) -> Any:
    """The executed notebook. Raises ReportFailed with notebook, cell and error."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill import PapermillExecutionError, execute_notebook
    from traitlets.config import Config

    sockets = os.path.join(folder, task.name)
    kernel = {"connection_file": f"{sockets}.json"}
    if os.name == "posix" and len(sockets.encode()) < LONGEST_SOCKET:
        # kernels that start together cannot take each other's ports where each has sockets of its own
        kernel |= {"transport": "ipc", "ip": sockets}
    begun: list[Any] = []
    try:
        return execute_notebook(
            task.notebook, None, task.parameters, cwd=task.notebook.parent, kernel_name="python3", language="python",
            config=Config({"KernelManager": kernel}), start_timeout=60, execution_timeout=timeout,
            on_cell_start=lambda cell, cell_index: begun.append(cell), shutdown_kernel="immediate",
            coalesce_streams=True, progress_bar=False, record_timing=False,
        )  # fmt: skip
    except (PapermillExecutionError, RuntimeError, OSError) as error:
        late, dead = f"longer than {timeout} s", "the kernel died; see whether memory ran out"
        name, text = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", error)
        why = {CellTimeoutError: late, DeadKernelError: dead}.get(type(error), f"{name}: {text}")
    own = [cell for cell in begun if INJECTED not in cell.metadata.get("tags", ())]  # as the source counts them
    where = f"cell {len(own)}" if own else "the kernel did not start"
    raise ReportFailed(f"{shown(task.notebook)}, {where}: {_without_paths(why, words).strip().splitlines()[0]}")


def _without_paths(text: str, words: Words) -> str:
    """Folders of this machine, names of temporary files and addresses in memory replaced by words."""
    for path, word in words:
        text = re.sub(rf"(?<![\w.~]){re.escape(path)}(?![\w-])", lambda _, word=word: word, text)
    return re.sub(r"(?<= at )0x[0-9a-f]{6,}", "…", re.sub(r"ipykernel_\d+/\d+\.py", "cell", text))


def _clean(notebook: Any, parameters: Mapping[str, Any], words: Words) -> Any:
    """The executed notebook without times, random ids and paths: equal inputs give equal bytes."""
    notebook.metadata.clear()
    notebook.metadata.update(kernelspec=KERNEL, language_info={"name": "python"}, parameters=parameters)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        if INJECTED in cell.metadata.get("tags", ()):
            cell.id = INJECTED
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(WIDGET, None)  # it has a kernel's random ids, and a page has no kernel
            for part in (output, output.get("data", {})):
                part.update({key: _without_paths(part[key], words) for key in TEXTS & part.keys()})
    return notebook
