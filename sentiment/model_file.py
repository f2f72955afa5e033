"""Read a model file as the parameters of the model, without skops, scikit-learn or SciPy.

The file holds what skops writes of a Pipeline (see :mod:`sentiment.store`): ``schema.json``, a tree
of nodes, and the arrays that it names. Only the two steps of our own Pipeline are looked for in the
tree, and in them only the attributes that :class:`Parameters` needs. No type that the file names is
imported or made. The forms that earlier releases wrote are read as well.
"""

import hashlib
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from sentiment import validity
from sentiment.archive import SCHEMA, Archive, Head, parse
from sentiment.bounded import open_file
from sentiment.linear import Linear
from sentiment.parameters import LABELS, Parameters, read_version

MODEL_FILE = "model.skops"
# written beside it by the stages train and evaluate
FACTS_FILE = "training.json"
FINDINGS_FILE = "findings.json"

MAX_BYTES = 2**31  # 4,000,000 n-grams, the usual limit, with 50 classes take 1.7 GB
_MAX_NGRAMS = 2**24
_MAX_TOKENS = 2**26  # bytes of all tokens: 32 for each of as many as keys can number
_MAX_PROTOCOL = 2  # of skops
_STEPS = {
    "ngrams": ("sentiment.vectorizer", "NgramVectorizer"),
    "classifier": ("sentiment.model", "NgramClassifier"),
}
_ANY = -1  # a length that may be any other


class _File(NamedTuple):
    """An array of the archive, in the place of an attribute."""

    name: str


Attributes = dict[str, Any]  # of both steps: a value of JSON, or a _File


def digest(path: Path) -> str:
    """Return the SHA-256 of a model file as hexadecimal digits.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no regular file, or too large.
    """
    with open_file(path, MAX_BYTES) as file:
        return _digest(file)


def read(path: Path, expected: str | None = None) -> tuple[Parameters, str]:
    """Return the parameters in a model file, and its digest.

    ``expected`` is the digest that the file must have. Types, shapes and sizes are checked in a few
    kilobytes of the file before the rest is read, and again in the bytes that were read, which are
    those that have the digest.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no regular file, not the expected one, damaged, or of a later release; or
            its stemmer needs NLTK, which is not installed.
    """
    with open_file(path, MAX_BYTES) as file:
        try:
            found = _digest(file)
            if expected not in (None, found):
                raise ValueError(f"not the model that was registered, whose digest is {expected}")
            _check_heads(Archive(file))
            file.seek(0)
            data = file.read(MAX_BYTES)
            if hashlib.sha256(data).hexdigest() != found:
                raise ValueError("changed while it was read")
            return _parameters(Archive(BytesIO(data))), found
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def _digest(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _parameters(archive: Archive) -> Parameters:
    attributes = _check_heads(archive)
    version, stemmer = read_version(attributes["tokens"])
    values = {
        name: archive.array(value.name) if isinstance(value, _File) else value
        for name, value in attributes.items()
    }
    parameters = Parameters(
        version=version,
        stemmer=stemmer,
        tokens=values["tokens_"],
        keys=values["keys_"],
        names=tuple(map(str, values.get("names_", LABELS))),
        linear=Linear(values["weights_"], values["squares_"], values["intercept_"]),
    )
    validity.check(parameters, values["max_n"])
    parameters.tokenizer()  # so that a server without NLTK says so when it loads the model
    return parameters


def _check_heads(archive: Archive) -> Attributes:
    """Return the attributes, whose arrays have the types and shapes of :class:`Parameters`.

    Raises:
        ValueError: an attribute is absent or of another kind, or an array belongs to none.
    """
    attributes = _attributes(archive.schema())
    read_version(attributes["tokens"])
    heads = {
        name: archive.head(value.name)
        for name, value in attributes.items()
        if isinstance(value, _File)
    }
    classes = len(LABELS)
    if "names_" in attributes:
        (classes,) = _shape(heads, "names_", "<U", (_ANY,))
    (columns,) = _shape(heads, "keys_", "<i8", (_ANY,))
    (size,) = _shape(heads, "tokens_", "|u1", (_ANY,))
    for name, length, most in (
        ("tokens_", size, _MAX_TOKENS),
        ("keys_", columns, _MAX_NGRAMS),
        ("names_", classes, validity.MAX_CLASSES),
    ):
        if not 1 <= length <= most:
            raise ValueError(f"{name}: of length {length}, and 1 to {most} are possible")
    several = (classes,) if classes != len(LABELS) else ()
    _shape(heads, "weights_", "<f8", (columns, *several))
    _shape(heads, "squares_", "<f8", (columns,))
    _shape(heads, "classes_", "<i8", (classes,))
    if several:
        _shape(heads, "intercept_", "<f8", several)
    elif type(attributes["intercept_"]) is not float:
        raise ValueError("intercept_: not a number")
    files = {value.name for value in attributes.values() if isinstance(value, _File)}
    if foreign := archive.names - files - {SCHEMA}:
        raise ValueError(f"{min(foreign)}: no attribute that this release knows")
    return attributes


def _shape(heads: dict[str, Head], name: str, dtype: str, shape: tuple[int, ...]) -> Any:
    """Return the shape of an attribute's array, in which ``_ANY`` stands for any length.

    The dtype ``<U`` stands for strings of any length, such as ``<U8``.
    """
    if name not in heads:
        raise ValueError(f"{name}: not an array")
    head = heads[name]
    fits = len(head.shape) == len(shape) and all(
        expected in (_ANY, length) for expected, length in zip(shape, head.shape, strict=True)
    )
    if not fits or not (head.dtype == dtype or (dtype == "<U" and head.dtype.startswith(dtype))):
        raise ValueError(
            f"{name}: of type {head.dtype} and shape {head.shape}, not {dtype} and {shape}"
        )
    return head.shape


def _attributes(schema: Any) -> Attributes:
    """Return the attributes of both steps that :class:`Parameters` needs.

    Raises:
        ValueError: it is not the schema of a sentiment model, or that of a later release.
    """
    try:
        if (protocol := schema["protocol"]) not in range(_MAX_PROTOCOL + 1):
            raise ValueError(f"a newer release made it, with protocol {protocol!r:.50} of skops")
        pipeline = _content(schema, "ObjectNode", "sklearn.pipeline", "Pipeline")
        steps = _content(_content(pipeline, "DictNode")["steps"], "ListNode")
        found: Attributes = {"tokens": 1}  # models of the first tokens do not name them
        for step, (name, type_) in zip(steps, _STEPS.items(), strict=True):
            label, node = _content(step, "TupleNode")
            if _value(label) != name:
                raise ValueError(f"a step {_value(label)!r:.50}, not {name}")
            state = _content(_content(node, "ObjectNode", *type_), "DictNode")
            found |= {name: _value(state[name]) for name in _WANTED & state.keys()}
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{SCHEMA}: not that of a sentiment model ({error!r:.200})") from error
    except ValueError as error:
        raise ValueError(f"{SCHEMA}: {error}") from error
    if "vocabulary_" in found:
        found["tokens_"] = found.pop("vocabulary_")
    for name in ("max_n", "intercept_"):
        if name not in found:
            raise ValueError(f"{SCHEMA}: {name} is absent")
    return found


_WANTED = {
    *("max_n", "tokens", "tokens_", "vocabulary_", "keys_"),
    *("classes_", "names_", "weights_", "squares_", "intercept_"),
}


def _content(node: Any, loader: str, module: str | None = None, name: str | None = None) -> Any:
    """Return the content of a node of this kind and, if named, this type."""
    if node["__loader__"] != loader:
        raise ValueError(f"a {node['__loader__']!r:.50}, not a {loader}")
    if module and (node["__module__"], node["__class__"]) != (module, name):
        found = f"{node['__module__']}.{node['__class__']}"
        raise ValueError(f"a {found!r:.100}, not a {module}.{name}")
    return node["content"]


def _value(node: Any) -> Any:
    """Return the value of a node of JSON, or the file of an array."""
    if node["__loader__"] == "JsonNode":
        return parse(node["content"])
    if node["__loader__"] != "NdArrayNode" or node["type"] != "numpy":
        raise ValueError(f"a {node['__loader__']!r:.50} for a number or an array")
    return _File(str(node["file"]))
