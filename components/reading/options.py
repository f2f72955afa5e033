"""What the user may say about the source; all but the source is detected where it is left out."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, field_validator

from components.errors import UserError
from components.reading import passwords
from components.stage import parameters

AUTO = "auto"
SHOWN_NAMES = 20  # of columns, in a message
Format = Literal[
    "auto", "csv", "tsv", "json", "jsonl", "parquet", "arrow", "excel", "fasttext", "texts"
]


@parameters
class Options:
    source: str = Field(
        min_length=1,
        description="A file, an archive or a folder of files, s3://bucket/key or"
        " s3://bucket/prefix/, https://host/path, a database such as postgresql://user@host/name,"
        " 'builtin' (25,000 IMDB reviews) or 'builtin:rotten_tomatoes' (8,530 sentences).",
    )
    query: str = Field(
        default="",
        description="SQL of a database, whose result has the columns; the password comes from the"
        f" environment, {passwords.VARIABLE}.",
    )
    text_column: str = Field(default="text", min_length=1, description="Column of the text.")
    label_column: str = Field(default="label", min_length=1, description="Column of the label.")
    group_column: str = Field(
        default="",
        description="Column of what a text is about or by, such as a film or a customer: all texts"
        " of a group are on one side of the split; empty: there is none.",
    )
    other_sources: dict[str, str | dict[str, Any]] = Field(
        default_factory=dict,
        description="Sources besides it, each by the name that its rows get in the column source,"
        " such as {old: builtin}; in the place of an address, options for this source alone:"
        " {old: {source: old.csv, text_column: body}}.",
    )
    labelled: str = Field(
        default="",
        description="Parquet file of labelled predictions, as components.join writes it: a path or"
        " s3://bucket/key; as long as there is no such file, it counts as empty.",
    )
    labels: dict[str, list[Any]] = Field(
        default_factory=dict,
        description="Values of the label column for each class, and those whose rows to drop, such"
        " as {negative: [1, 2], drop: [3], positive: [4, 5]}; empty: the usual spellings.",
    )
    exclude: str = Field(
        default="",
        description="CSV file with a column id, as components.suspects writes it, at an address"
        " like a source's: the rows of these texts are dropped; empty: there is none.",
    )
    forgotten: str = Field(
        default="",
        description="CSV file with a column id, as components.forget writes it, at an address like"
        " a source's: the rows of these texts are dropped; empty, or a file of this machine that"
        " does not exist: there is none.",
    )
    format: Format = Field(
        default="auto",
        description="Format of the files; texts: a folder for each class, with a file for each"
        " text; auto: by name and content.",
    )
    separator: str = Field(
        default=AUTO,
        pattern=r"^(auto|tab|.)$",
        description="Character between the fields of CSV, or 'tab'.",
    )
    quoting: Literal["auto", "standard", "backslash", "none"] = Field(
        default="auto",
        description="Quotes of CSV: standard (a quote in a text is doubled), backslash (it follows"
        " a backslash), none (a quote is a character of the text).",
    )
    header: Literal["auto", "present", "absent"] = Field(
        default="auto", description="Whether the first row of CSV has the names of the columns."
    )
    columns: tuple[str, ...] = Field(
        default=(),
        description="Names of the columns of CSV, in place of those in the file; without names and"
        " without a header they are 1, 2, 3 …",
    )
    encoding: str = Field(
        default=AUTO,
        min_length=1,
        description="Encoding of files of text; auto: UTF-8, or what a byte order mark says.",
    )
    damaged_rows: Literal["refuse", "drop"] = Field(
        default="refuse",
        description="What to do about a row of CSV with broken quotes or another number of fields.",
    )

    @field_validator("source", "exclude", "forgotten")
    @classmethod
    def _have_no_password(cls, address: str) -> str:
        return passwords.check(address)


def wanted_columns(options: Options) -> dict[str, str]:
    """Return the names of the columns that are read, by flag: text, label, and group if any."""
    columns = {"--text-column": options.text_column, "--label-column": options.label_column}
    return columns | ({"--group-column": options.group_column} if options.group_column else {})


def require_columns(
    names: Sequence[str], options: Options, address: str, way_out: str = ""
) -> None:
    """Check that a table has each column that is read, once.

    Raises:
        UserError: it has not; the message ends with ``way_out``.
    """
    for flag, name in wanted_columns(options).items():
        if names.count(name) != 1:
            what = "no column" if name not in names else "more than one column"
            found = ", ".join(names[:SHOWN_NAMES])
            raise UserError(f"{address}: {what} {name!r} among ({found}); see {flag}{way_out}")
