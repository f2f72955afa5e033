"""Reviews and captured requests on S3, for as long as the runs need them."""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pandas as pd
from botocore.exceptions import ClientError

from components import ingest
from components.errors import UserError
from components.io import reviews
from components.reading.options import Options
from deploy.aws.errors import one_line

REVIEWS = 5_000  # which a training of eight candidates takes minutes for
LABELLED, REQUESTS = 4_000, 2_000  # sentences


def training_reviews() -> bytes:
    """Return built-in reviews in Parquet, others each time: equal ones make no new version."""
    return _parquet(_builtin("builtin").sample(REVIEWS, random_state=_seed()))


def drifted() -> tuple[bytes, bytes]:
    """Return drifted requests as the predictor captures them, and reviews of their kind to learn.

    As in ``make drift-demo`` these are sentences of another set; half of them have labels by now.
    """
    sentences = _builtin("builtin:rotten_tomatoes").sample(frac=1, random_state=_seed())
    labelled, rest = sentences[:LABELLED], sentences[LABELLED : LABELLED + REQUESTS]
    requests = "".join(json.dumps({"data": {"text": text}}) + "\n" for text in rest["text"])
    known = _builtin("builtin").sample(REVIEWS, random_state=_seed())
    return requests.encode(), _parquet(pd.concat([known, labelled], ignore_index=True))


def _seed() -> int:
    return int(time.time())


def _builtin(source: str) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "reviews.parquet"
        ingest.ingest(Options(source), path)
        return reviews.read(path)


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    table[["text", "label"]].to_parquet(buffer, index=False)
    return buffer.getvalue()


@contextmanager
def uploaded(address: str, content: bytes) -> Iterator[None]:
    """Keep an object on S3, with the keys of the environment, while the block runs.

    Raises:
        UserError: the address is not one of S3, or S3 refuses the request.
        UnavailableError: S3 does not respond.
    """
    bucket, key = _bucket_and_key(address)
    client = boto3.client("s3")  # honours AWS_ENDPOINT_URL
    with one_line():
        client.put_object(Bucket=bucket, Key=key, Body=content)
    try:
        yield
    finally:
        with one_line():
            client.delete_object(Bucket=bucket, Key=key)


def is_there(address: str) -> bool:
    """Tell whether S3 has the object, or any object with the prefix."""
    bucket, prefix = _bucket_and_key(address)
    with one_line():
        try:
            found = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchBucket":
                return False
            raise
    return bool(found.get("Contents"))


def _bucket_and_key(address: str) -> tuple[str, str]:
    parts = urlsplit(address, allow_fragments=False)
    if parts.scheme != "s3":
        raise UserError(f"{address}: the test writes to s3:// alone")
    return parts.netloc, parts.path.removeprefix("/")
