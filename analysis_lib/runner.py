"""One notebook through papermill, in a process and a kernel of its own; several at a time."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis_lib.errors import ClaimsError, ReportFailed
from analysis_lib.paths import ROOT, shown

KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
# several notebooks at a time leave no processor for threads within one; a fixed hash seed keeps the order of sets
KERNEL_ENV = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
ADDED = {"injected-parameters", "papermill-error-cell-tag"}  # tags of cells that papermill puts in
LONGEST_SOCKET = 100  # bytes in the path of a Unix socket, less its number
Words = Sequence[tuple[str, str]]  # folders of this machine, and the word for each that outputs may show


@dataclass(frozen=True)
class Task:
    """One notebook and what it is given."""

    name: str
    notebook: Path
    parameters: dict[str, Any]


def run_tasks(
    tasks: Sequence[Task], make: Callable[[Any, Any], Any], words: Words, *,
    timeout: int, jobs: int, env: Mapping[str, str], python: str,
) -> Iterator[tuple[Any, Any, float, str]]:  # fmt: skip
    """`make(executed notebook, task)` for every task, in worker processes, in the order they finish.

    Yields task, result, seconds and, where it failed, one line that says so. `make` is a module's own function.
    Leaving the loop early, by an interrupt too, ends workers and kernels.
    """
    with tempfile.TemporaryDirectory(prefix="claims-", ignore_cleanup_errors=True) as folder:
        _install_kernel(Path(folder), KERNEL_ENV | dict(env), python)
        others = set(multiprocessing.active_children())
        pool = ProcessPoolExecutor(min(jobs, len(tasks)), multiprocessing.get_context("spawn"), _settle, (folder,))
        try:
            futures = {pool.submit(_work, task, make, words, timeout, Path(folder)): task for task in tasks}
            for future in as_completed(futures):
                task, error = futures[future], future.exception()
                if error is None:
                    yield task, *future.result(), ""
                else:
                    why = str(error) if isinstance(error, ClaimsError) else f"{type(error).__name__}: {error}"
                    yield task, None, 0.0, f"{task.name}: {why.splitlines()[0]}"
        except BaseException:
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _install_kernel(folder: Path, env: Mapping[str, str], python: str) -> None:
    """A kernel that is this very interpreter, activated or not, whatever other kernels are installed."""
    argv = [python, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    argv += ["--log-level=ERROR", "--HistoryManager.enabled=False"]
    spec = KERNEL | {"argv": argv, "env": {"PYTHONPATH": str(ROOT), **env}}
    (folder / "kernels" / "python3").mkdir(parents=True)
    (folder / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    (folder / "r").mkdir()


def _settle(folder: str) -> None:
    """A worker's surroundings: our kernel, no user configuration, silence, an end when the run itself ends."""
    homes = {"JUPYTER_PATH": "", "JUPYTER_CONFIG_DIR": "c", "JUPYTER_RUNTIME_DIR": "r", "IPYTHONDIR": "i"}
    os.environ.update({name: os.path.join(folder, part) for name, part in homes.items()})
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        parent.join()
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _work(task: Task, make: Callable[[Any, Any], Any], words: Words, timeout: int, folder: Path) -> tuple[Any, float]:
    begun = time.perf_counter()
    result = make(_clean(_execute(task, words, timeout, folder), task, words), task)
    return result, time.perf_counter() - begun


def _execute(task: Task, words: Words, timeout: int, folder: Path) -> Any:
    """The executed notebook. Raises ReportFailed with notebook, cell and error."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill import PapermillExecutionError, execute_notebook
    from traitlets.config import Config

    sockets = str(folder / "r" / task.name)
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
            coalesce_streams=True, progress_bar=False,
        )  # fmt: skip
    except PapermillExecutionError as error:
        why = f"{error.ename}: {error.evalue}"
    except CellTimeoutError:
        why = f"longer than {timeout} s"
    except DeadKernelError:
        why = "the kernel died; see whether memory ran out"
    except (RuntimeError, OSError) as error:
        why = f"{type(error).__name__}: {error}"
    own = [cell for cell in begun if not ADDED & set(cell.metadata.get("tags", ()))]  # as the source counts them
    where = f"cell {len(own)}" if own else "the kernel did not start"
    raise ReportFailed(f"{shown(task.notebook)}, {where}: {_without_paths(why, words).strip().splitlines()[0]}")


def _without_paths(text: str, words: Words) -> str:
    """Folders of this machine, names of temporary files and addresses in memory replaced by words."""
    for path, word in words:
        text = re.sub(rf"(?<![\w.~]){re.escape(path)}(?![\w-])", lambda _, word=word: word, text)
    return re.sub(r"(?<= at )0x[0-9a-f]{6,}", "…", re.sub(r"ipykernel_\d+/\d+\.py", "cell", text))


def _clean(notebook: Any, task: Task, words: Words) -> Any:
    """The executed notebook without times, random ids and paths: equal inputs give equal bytes."""
    notebook.metadata.clear()
    notebook.metadata.update(kernelspec=KERNEL, language_info={"name": "python"}, parameters=task.parameters)
    for number, cell in enumerate(notebook.cells):
        for name in ("papermill", "execution"):
            cell.metadata.pop(name, None)
        if ADDED & set(cell.metadata.get("tags", ())):
            cell.id = "injected-parameters"
        cell.setdefault("id", f"cell-{number}")
        for output in cell.get("outputs", ()):
            for part, keys in ((output, ("text",)), (output.get("data", {}), ("text/plain", "text/html"))):
                part.update({key: _without_paths(part[key], words) for key in keys if key in part})
    return notebook
