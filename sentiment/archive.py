"""Read the zip archive of a model file, of which nothing is believed.

:func:`sentiment.store.save` stores its entries uncompressed, one after the other, without comments,
and names them ``schema.json`` and ``0.npy``, ``1.npy``, …; an archive of any other form is refused.
So no entry is larger than the file, and the type and shape of an array are known, and compared with
the size of its entry, before memory is reserved for it.
"""

import json
import math
import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

SCHEMA = "schema.json"
_MAX_SCHEMA = 2**16  # bytes; 6,000 are usual
_MAX_DIRECTORY = 2**14  # bytes; less than 100 an entry
_NAME = re.compile(r"schema\.json|\d{1,3}\.npy")
_END = struct.Struct("<4s4H2LH")  # the last record of an archive
_LOCAL = struct.Struct("<4s5H3L2H")  # the record before an entry, without its name
_ZIP64 = b"PK\6\7"  # begins another record, by which an archive has a second directory
_UTF8_NAME = 0x800
_MAGIC = b"\x93NUMPY\1\0"
_HEADER = re.compile(
    rb"\{'descr': '(\|u1|<[if]8|<U[1-9]\d{0,3})', 'fortran_order': (?:True|False),"
    rb" 'shape': \(((?:\d{1,10}, ?)*(?:\d{1,10})?)\), \} *\n"
)


class Head(NamedTuple):
    """The type of an array, as in ``<f8``, and its shape."""

    dtype: str
    shape: tuple[int, ...]


class Archive:
    def __init__(self, file: BinaryIO) -> None:
        """Check the form of the archive in ``file``.

        Raises:
            ValueError: it has another form than ``save`` gives it.
        """
        with _named("not a whole model file"):
            directory = _check_end(file)
        with _named("not the archive of a model"):
            self._zip = zipfile.ZipFile(file)
            _check_entries(file, self._zip.infolist(), directory)
        self._sizes = {info.filename: info.file_size for info in self._zip.infolist()}

    @property
    def names(self) -> set[str]:
        return set(self._sizes)

    def schema(self) -> Any:
        """Return the parsed ``schema.json``.

        Raises:
            ValueError: it is absent, too large or no JSON.
        """
        if self._size(SCHEMA) > _MAX_SCHEMA:
            raise ValueError(f"{SCHEMA}: {self._size(SCHEMA)} bytes, and {_MAX_SCHEMA} are allowed")
        with _named(SCHEMA):
            return parse(self._zip.read(SCHEMA))

    def head(self, name: str) -> Head:
        """Return type and shape of an array, of which its entry has the size.

        Raises:
            ValueError: there is no such array, or it is of a type that no model file has.
        """
        size = self._size(name)
        with _named(name), self._zip.open(name) as entry:
            start = entry.read(len(_MAGIC) + 2)
            length = int.from_bytes(start[len(_MAGIC) :], "little")
            match = _HEADER.fullmatch(entry.read(length))
            if not start.startswith(_MAGIC) or not match:
                raise ValueError("not an array of a type that models have")
        head = Head(match[1].decode(), tuple(map(int, re.findall(rb"\d+", match[2]))))
        expected = len(start) + length + np.dtype(head.dtype).itemsize * math.prod(head.shape)
        if expected != size:
            raise ValueError(f"{name}: {size} bytes, and its shape needs {expected}")
        return head

    def array(self, name: str) -> NDArray[Any]:
        """Return an array.

        Raises:
            ValueError: as :meth:`head`, or its checksum is another one.
        """
        self.head(name)
        with _named(name), self._zip.open(name) as entry:
            found: NDArray[Any] = np.lib.format.read_array(entry, allow_pickle=False)
        return found

    def _size(self, name: str) -> int:
        if name not in self._sizes:
            raise ValueError(f"{name!r:.50}: not in the archive")
        return self._sizes[name]


def parse(text: str | bytes) -> Any:
    """Return the value of JSON.

    Raises:
        ValueError: it is no JSON, or too deep.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("too deeply nested") from None


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Raise every error of zipfile and numpy about damaged bytes as a ValueError of ``name``."""
    try:
        yield
    except (ValueError, EOFError, RuntimeError, struct.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{name}: {error}") from error


def _check_end(file: BinaryIO) -> int:
    """Return where the directory begins, which must lie right before the end of the archive."""
    size = file.seek(0, 2)
    if size < _END.size:
        raise ValueError(f"{size} bytes")
    tail = min(size, _END.size + 20)
    file.seek(size - tail)
    record = file.read(tail)
    if record.startswith(_ZIP64):
        raise ValueError("it has a second directory")
    magic, *_, length, begin, comment = _END.unpack(record[-_END.size :])
    if magic != b"PK\5\6" or comment or begin + length + _END.size != size:
        raise ValueError("it does not end with the directory of an archive")
    if length > _MAX_DIRECTORY:
        raise ValueError(f"a directory of {length} bytes, and {_MAX_DIRECTORY} are allowed")
    return int(begin)


def _check_entries(file: BinaryIO, entries: list[zipfile.ZipInfo], directory: int) -> None:
    """Check that the entries are stored one after the other, up to the directory."""
    position, names = 0, set()
    for entry in sorted(entries, key=lambda each: each.header_offset):
        name = entry.orig_filename
        if not _NAME.fullmatch(name) or name in names:
            raise ValueError(f"entry {name!r:.50}: a foreign name, or there twice")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & ~_UTF8_NAME:
            raise ValueError(f"{name} is compressed or encrypted, and a model is stored as it is")
        if entry.header_offset != position or entry.compress_size != entry.file_size:
            raise ValueError(f"{name} overlaps another entry, or leaves a gap")
        names.add(name)
        file.seek(position)
        *_, name_length, extra = _LOCAL.unpack(file.read(_LOCAL.size))
        if (name_length, extra) != (len(name), 0):
            raise ValueError(f"{name} has another name or length where it begins")
        position += _LOCAL.size + len(name) + entry.file_size
    if position != directory:
        raise ValueError("bytes that belong to no entry")
