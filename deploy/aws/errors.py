"""Turn exceptions of boto3 into errors of one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

from components.errors import UnavailableError, UserError


@contextmanager
def one_line() -> Iterator[None]:
    """Raise errors of one line for the exceptions of boto3 in the block.

    Raises:
        UserError: AWS refused the request, or the configuration is incomplete.
        UnavailableError: AWS was not reached, or failed.
    """
    try:
        yield
    except ClientError as error:
        cause = error.response["Error"]
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        fault = UnavailableError if status >= 500 else UserError
        raise fault(f"{error.operation_name}: {cause['Code']}, {cause['Message']}") from error
    except (ConnectionError, HTTPClientError) as error:
        raise UnavailableError(str(error)) from error
    except BotoCoreError as error:
        raise UserError(str(error)) from error
