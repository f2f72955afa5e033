"""Labels given by persons to captured predictions, however they came back."""

from components.io.records import record


@record
class Label:
    """A label for the text at ``index`` of the request ``request_id``.

    ``by`` names the annotator; ``at`` is the time of labelling, ISO 8601.
    """

    request_id: str
    index: int
    label: str
    by: str | None = None
    at: str | None = None
