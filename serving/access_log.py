"""Write a line of JSON to stdout for each request: what was asked for, and never the text."""

import contextlib
from datetime import UTC, datetime
from typing import BinaryIO

import orjson

from serving.metrics import Answer


class AccessLog:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, answer: Answer) -> None:
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "id": answer.request_id,
            "method": answer.method,
            "route": answer.endpoint,
            "status": answer.status,
            "duration_ms": round(answer.seconds * 1000, 3),
            "texts": answer.texts,
            "version": answer.version,
            "trace_id": answer.trace_id,
            "parent_id": answer.parent_id,
        }
        with contextlib.suppress(OSError):  # stdout is closed or full; the request is answered
            self._stream.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            self._stream.flush()
