"""Files that are whole or absent: write beside, flush to disk, rename. And a lock with its owner's name."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mapsto.config import misfit
from mapsto.errors import RunError

if TYPE_CHECKING:
    import numpy as np

COPY = "Copy the run again from where it was made."
NO_ARRAYS = (ValueError, TypeError, AttributeError, KeyError, OSError, EOFError)  # what numpy says of such
MOST_JSON = 256 << 20  # bytes of a file of JSON that is read at all


def cache_folder() -> Path:
    """Where encoded data, unpacked archives and measured plans are kept: MAPSTO_CACHE, or ~/.cache/mapsto."""
    return Path(os.environ.get("MAPSTO_CACHE") or Path.home() / ".cache" / "mapsto")


def write_atomic(path: Path, write: Callable[[Path], object], keep: Path | None = None) -> None:
    """`write(temporary)` then rename to `path`; what stood there is kept as `keep`. RunError when the disk is
    full or the folder read-only; `path` is then untouched."""
    from safetensors import SafetensorError

    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # what the user's mask gives; some writers are stricter
        try:
            write(temporary)
        except SafetensorError as problem:  # how it reports the system's errors
            full = "No space left" in str(problem) or f"os error {errno.ENOSPC}" in str(problem)
            raise OSError(errno.ENOSPC if full else errno.EIO, str(problem)) from problem
        temporary.chmod(mode)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            os.replace(path, keep)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as problem:
        raise disk_error(path, problem) from None
    finally:
        with suppress(OSError):  # the folder itself went away; the first error says so
            temporary.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Of a file's bytes."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Text, whole or absent."""
    write_atomic(
        path, lambda temporary: temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    )


def write_json(path: Path, record: Any) -> None:
    """JSON, whole or absent; floats that are no numbers become null by the caller."""
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def append_json(path: Path, record: Any) -> None:
    """One JSON line, on disk when this returns."""
    try:
        with path.open("ab") as file:
            file.write(json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as problem:
        raise disk_error(path, problem) from None


def read_json(path: Path, shape: Any, mend: str = COPY) -> Any:
    """The JSON of a file that somebody else may have written, of this shape (`config.misfit`). RunError: it
    cannot be read, is no JSON, or of another shape; mend: what to do then."""
    try:
        if (size := path.stat().st_size) > MOST_JSON:
            raise ValueError(f"{size:,} bytes, more than any such file has")
        return _parsed(path.read_bytes(), shape)
    except (ValueError, OSError, RecursionError) as problem:
        raise RunError(f"{path}: is damaged ({_why(problem)}).\n{mend}") from None


def read_json_lines(path: Path, shape: Any = dict[str, Any]) -> list[Any]:
    """All whole lines, each of this shape; a last line cut short by a crash is no line."""
    if not path.exists():
        return []
    records = []
    try:
        for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
            records.append(_parsed(line, shape, f"line {number}: "))
    except (ValueError, OSError, RecursionError) as problem:
        raise RunError(f"{path}: is damaged ({_why(problem)}).\n{COPY}") from None
    return records


def _parsed(text: bytes, shape: Any, where: str = "") -> Any:
    """ValueError, RecursionError: no JSON of that shape."""
    try:
        found = json.loads(text.decode("utf-8"))
    except ValueError as problem:
        raise ValueError(f"{where}{problem}") from None
    if wrong := misfit(found, shape):
        raise ValueError(f"{where}{wrong}")
    return found


def _why(problem: Exception) -> str:
    if isinstance(problem, RecursionError):
        return "nested deeper than any such file is"
    if isinstance(problem, OSError):
        return problem.strerror or str(problem)
    return " ".join(str(problem).split())[:200]


def read_arrays(path: Path, needed: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """The arrays of an .npz that somebody else may have written. RunError: it cannot be read, holds objects,
    or lacks one that is needed."""
    import zipfile
    import zlib

    import numpy as np

    try:
        with path.open("rb") as file, np.load(file) as kept:
            found = {name: kept[name] for name in kept.files}
        if lacking := [name for name in needed if name not in found]:
            raise ValueError(f"it lacks {lacking[0]}")
    except (*NO_ARRAYS, zipfile.BadZipFile, zlib.error) as problem:
        said = "it holds objects" if "pickle" in str(problem) else _why(problem)
        raise RunError(f"{path}: is damaged ({said}).\n{COPY}") from None
    return found


def mend_json_lines(path: Path) -> None:
    """Cut off a last line that a crash left without its end, so that the next line starts on its own."""
    if path.exists() and (text := path.read_bytes()) and not text.endswith(b"\n"):
        whole = text[: text.rfind(b"\n") + 1]
        write_atomic(path, lambda temporary: temporary.write_bytes(whole))


def disk_error(path: Path, problem: OSError) -> RunError:
    """What a person can do about a failed write."""
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        then = f"What was written before is whole. Free some space, then: mapsto resume {path.parent}"
        then = (
            then if _in_training(path.parent) else "Free some space, or choose another place, and try again."
        )
        return RunError(f"{path}: the disk is full.\n{then}")
    if problem.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
        return RunError(
            f"{path}: may not be written ({problem.strerror}).\nChoose another place with --out, or change"
            " its permissions."
        )
    return RunError(
        f"{path}: cannot be written ({problem.strerror or problem}).\nCheck the disk and the path."
    )


def _in_training(folder: Path) -> bool:
    """Is it a run that can be resumed, or may become one? Other folders hold what a command wrote, to be
    asked for again."""
    return bool([*folder.glob("checkpoint*.safetensors")])


def _sync_folder(folder: Path) -> None:
    """Make a rename itself survive a power cut, where the system can."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One folder, one writer. The system frees the lock when its owner dies, however it dies. RunError names
    the owner."""
    path = folder / "lock"
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as problem:
        raise disk_error(path, problem) from None
    with file:
        if not _take(file):
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise RunError(f"{folder} is being written by {owner}.\nWait for it, or end it, then try again.")
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def hold(file: IO[bytes], path: Path) -> None:
    """Lock an open file until it is closed, or its process dies. RunError: another process holds it."""
    if not _take(file):
        raise RunError(
            f"{path} is being written by another process.\nWait for it, or end it, then try again."
        )


def is_locked(folder: Path) -> bool:
    """Is somebody writing it?"""
    try:
        with (folder / "lock").open("r+", encoding="utf-8") as file:
            return not _take(file)
    except OSError:
        return False


def _take(file: IO[Any]) -> bool:
    if sys.platform == "win32":
        import msvcrt

        try:
            file.seek(4096)  # the byte that is locked lies behind the owner's name
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
