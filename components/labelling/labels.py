"""Labels given by persons to captured predictions, however they came back."""

from typing import Annotated

from pydantic import Field

from components.io.records import record


@record
class Label:
    """A label for the text at ``index`` of the request ``request_id``.

    ``by`` names the annotator; ``at`` is the time of labelling, ISO 8601.
    """

    request_id: str
    index: Annotated[int, Field(ge=0)]
    label: str
    by: str | None = None
    at: str | None = None
