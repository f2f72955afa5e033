"""The labelled predictions that join writes: a source that is absent until there is a label."""

from pathlib import Path

from components.reading.sources import bucket_and_key, s3_client, s3_errors

_ABSENT = ("404", "NoSuchKey")


def exists(address: str) -> bool:
    """Tell whether there are labelled predictions at a path or an address in S3.

    Raises:
        UserError: access is denied.
        UnavailableError: S3 does not respond.
    """
    if not address.startswith("s3://"):
        return Path(address).exists()
    import botocore.exceptions

    bucket, key = bucket_and_key(address)
    with s3_errors(address):
        try:
            s3_client().head_object(Bucket=bucket, Key=key)
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in _ABSENT:
                return False
            raise
    return True
