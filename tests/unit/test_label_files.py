"""Files of labels that persons fill in: the lists of a queue, as programs save them."""

import json

import pytest

from components.errors import UserError
from components.labelling import label_files
from components.labelling.labels import Label

ONE = Label("r1", 2, "positive")


@pytest.mark.parametrize(
    "content",
    [
        "request_id,index,text,label\nr1,2,a text,positive\n",
        "\ufeffrequest_id;index;text;label\r\nr1;2;a text;positive\r\n",
        "request_id\tindex\ttext\tlabel\nr1\t2\ta text\t positive \n",
        'text,label,request_id,index\n"two\nlines",positive,r1,2\n',
        '{"request_id": "r1", "index": 2, "text": "a text", "label": "positive"}\n\n',
    ],
)
def test_filled_list(content):
    assert label_files.read(content.encode(), "labels") == ([ONE], 0)


def test_texts_without_a_label_are_counted():
    table = b"request_id,index,text,label\nr1,2,a,positive\nr2,0,b,\nr3,0,c,  \n"
    assert label_files.read(table, "labels.csv") == ([ONE], 2)
    rows = [{"request_id": "r1", "index": 2, "label": "positive"}, {"label": None}]
    lines = "\n".join(map(json.dumps, rows)).encode()
    assert label_files.read(lines, "labels.jsonl") == ([ONE], 1)


@pytest.mark.parametrize(("given", "label"), [("1", "1"), ("true", "true"), ("-3", "-3")])
def test_label_that_json_reads_as_another_type(given, label):
    line = f'{{"request_id": "r", "index": 0, "label": {given}}}'
    assert label_files.read(line.encode(), "x") == ([Label("r", 0, label)], 0)


def test_person_and_time_are_kept():
    table = b"request_id,index,label,by,at\nr1,2,positive,ann,2026-01-01\n"
    assert label_files.read(table, "x")[0] == [Label("r1", 2, "positive", "ann", "2026-01-01")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"request_id,label\nr1,positive\n", "q/labels.csv: no column 'index'"),
        (b"request_id,index,label\nr1,x,positive\n", "q/labels.csv, line 2: not a Label: index"),
        (
            b"request_id,index,label\n\xff",
            "q/labels.csv: not UTF-8 (invalid start byte at byte 23); save it as CSV UTF-8",
        ),
        (b"PK\x03\x04\x00\xff", "q/labels.csv: a spreadsheet or archive; save it as CSV UTF-8"),
        (b'{"request_id": "r1"', "q/labels.csv, line 1: not JSON"),
        (b'{"request_id": "r1", "label": "x"}', "q/labels.csv, line 1: not a Label: index"),
        (b'request_id,index,label\nr1,0,"x', "q/labels.csv, line 1: unexpected end"),
        (b"", "q/labels.csv: no column 'index'"),
        (b"request_id,index,label\nr1,-1,x", "q/labels.csv, line 2: not a Label: index"),
        (b"request_id,index,label\nr1,0,x,y", "q/labels.csv, line 2: more fields than columns"),
        (b'{"request_id": "r", "index": 0, "label": ["x"]}', "q/labels.csv, line 1: not a Label"),
        (b'[{"request_id": "r", "index": 0, "label": "x"}]', "q/labels.csv: task without a number"),
    ],
)
def test_damaged_file_is_named(content, message):
    with pytest.raises(UserError) as error:
        label_files.read(content, "q/labels.csv")
    assert str(error.value).startswith(message)
