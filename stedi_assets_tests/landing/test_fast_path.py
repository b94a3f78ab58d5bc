"""Whatever is read whole, at full speed, is what the rule gives; and what should be read that way is."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedi_assets.contracts import DataType
from stedi_assets.contracts import table as contract
from stedi_assets.engines.duckdb import DuckDBEngine
from stedi_assets.lakehouse import Lakehouse
from stedi_assets.lakehouse.fingerprint import fingerprint
from stedi_assets.landing.context import IngestContext
from stedi_assets.landing.day_plan import DayPlan, PlannedFile
from stedi_assets.landing.fast_path import fast_path_query
from stedi_assets.landing.files import LandingFile, LandingZone
from stedi_assets.landing.profile import profile_file
from stedi_assets.landing.quarantine import DayQuarantine
from stedi_assets.landing.reading import DayReader
from stedi_assets.landing.suppress import DaySuppression
from stedi_assets_tests.kit.examples import chosen, examples
from stedi_assets_tests.kit.records import DAY, NOON
from stedi_assets_tests.landing.corpus import GOOD, TABLES, lines
from stedi_assets_tests.landing.judged import SEVERAL, Row, judged, rows_of

FS = fsspec.filesystem("file")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("raw")


class Whole:
    """Reads files of one table at full speed, if the product does."""

    def __init__(self, engine: DuckDBEngine, table: str, root: Path) -> None:
        self.table = table
        self.root = root
        (root / table).mkdir(exist_ok=True)
        lakehouse, zone = Lakehouse(str(root / "lake")), LandingZone(str(root))
        self.context = IngestContext(engine, lakehouse, zone, contract(table))
        self.accepted = 0

    def read(self, *contents: bytes, names: Iterable[str] = ("a.json", "b.json", "c.json")) -> list[Row] | None:
        """The rows of files, or none where they are not read this way."""
        batch = []
        for name, content in zip(names, contents, strict=False):
            path = f"{self.table}/{name}"
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_bytes(content)
            file = LandingFile(self.table, path, DAY, len(content), "")
            batch.append(PlannedFile(file, profile_file(FS, f"{self.root}/{path}")))
        plan = DayPlan(DAY, fingerprint("test"), tuple(batch))
        quarantine = DayQuarantine(self.context, plan, DaySuppression(self.context, None, plan.fingerprint))
        reader = DayReader(self.context, plan, quarantine)
        if not reader.read_fast(batch):
            assert not reader.files
            assert not reader.entries
            return None
        assert [(one.source_file, one.rows, one.lines) for one in reader.entries] == [
            (one.file.path, one.profile.lines, one.profile.lines) for one in batch
        ]
        written = f"{self.context.lakehouse.root(contract(self.table))}/{reader.files[0].path}"
        return rows_of(
            contract(self.table), self.context.engine.connection.read_parquet(written).to_arrow_table().to_pylist()
        )

    @staticmethod
    def marks(content: bytes) -> tuple[int, int]:
        """The quotes and the commas."""
        return content.count(b'"'), content.count(b",")

    def may_be_good(self, content: bytes) -> bool:
        """Whether the counts of quotes and commas leave room for good lines only."""
        lines = content.count(b"\n") + (not content.endswith(b"\n"))
        fields = contract(self.table).landing_source.fields
        fewest, most = (
            (sum(4 if field.type is DataType.TEXT else 2 for field in of) * lines, (len(of) - 1) * lines)
            for of in ([field for field in fields if field.required], fields)
        )
        return all(low <= has <= high for low, has, high in zip(fewest, self.marks(content), most, strict=True))

    def check(self, *contents: bytes, names: Iterable[str] = ("a.json", "b.json", "c.json")) -> None:
        """Whatever is read this way is what ``validate_line`` says, every line."""
        names = list(names)
        rows = self.read(*contents, names=names)
        if rows is None:
            return
        self.accepted += 1
        expected = []
        for name, content in zip(names, contents, strict=False):
            good, bad = judged(self.table, content)
            assert not bad
            numbered = self.table == "customer_landing"
            expected += [(*values, f"{self.table}/{name}", *(place if numbered else ())) for place, values in good]
        assert Counter(rows) == Counter(expected)


@pytest.fixture(params=TABLES)
def whole(request: pytest.FixtureRequest, engine: DuckDBEngine, tmp_path: Path) -> Whole:
    return Whole(engine, request.param, tmp_path)


def tricky(table: str) -> list[bytes]:
    """Lines that go wrong in ways that may make up for each other."""
    good = GOOD[table]
    text, time, number, key, last = {
        "accelerometer_landing": (b'"ann@example.com"', b"1691323200000", b"2.5", b'"user"', b'"z"'),
        "step_trainer_landing": (b'"s-1"', b"1691323200000", b"7", b'"serialNumber"', b'"distanceFromObject"'),
        "customer_landing": (b'"ann@example.com"', b"1691323200000", b"1691323200000", b'"email"', b'"lastUpdateDate"'),
    }[table]
    optional = [
        good[:-1] + b',"phone":"5"}',
        good[:-1] + b',"phone":""}',
        good[:-1] + b',"phone":null}',
        good[:-1] + b',"phone":5}',
        good[:-1] + b',"Phone":"5"}',
        good[:-1] + b',"phone":"5","phone":"6"}',
        good[:-1] + b',"registrationDate":5}',
        good[:-1] + b',"registrationDate":"5"}',
        good[:-1] + b',"registrationDate":5.5}',
        good[:-1] + b',"registrationDate":null}',
        good[:-1] + b',"registrationDate":5,"registrationDate":5}',
        good.replace(b'"customerName":"Ann Example",', b""),
    ]
    return [
        good,
        *(optional if table == "customer_landing" else []),
        # quotes more, quotes less
        good.replace(number, b'"%s"' % number),
        good.replace(time, b'"%s"' % time),
        good.replace(text, b"5"),
        good.replace(text, b"null"),
        good.replace(text, b'""'),
        good.replace(text, b"{}"),
        good.replace(text, b'{"a":1}'),
        good.replace(text, b'["a"]'),
        good.replace(text, b'"a\\"b"'),
        good.replace(text, b'"\\u0022"'),
        good.replace(text, b'"\\\\"'),
        good.replace(text, b'" a"'),
        good.replace(text, b'"a,b"'),
        good.replace(text, b'"\\ud800"'),
        good.replace(text, b'"\xff"'),
        good.replace(key, b'"us\\"er"'),
        good.replace(key, b"'k'"),
        good.replace(key, b'"%s"' % key[1:-1].upper()),
        # keys more, keys less
        good[:-1] + b',"q":1}',
        good[:-1] + b',"q":"b"}',
        good[:-1] + b",%s:1}" % last,
        good[:-1] + b",'q':1}",
        good[:-1] + b",q:1}",
        good.replace(b",%s" % last, b",%s:1,%s" % (last, last)),
        good[: good.rindex(b",")] + b"}",
        b"{%s:%s}" % (key, text),
        b"{}",
        # commas
        good[:-1] + b",}",
        good[:-1] + b" ,\t}",
        good + b",",
        good.replace(b",", b"\t,", 1),
        good.replace(b",", b" ", 1),
        good.replace(b",", b",,", 1),
        # numbers
        good.replace(number, b"1.5"),
        good.replace(number, b"1e999"),
        good.replace(number, b"NaN"),
        good.replace(number, b"-Infinity"),
        good.replace(number, b"true"),
        good.replace(number, b"false"),
        good.replace(number, b"null"),
        good.replace(number, b"01"),
        good.replace(number, b"-1"),
        good.replace(time, b"1.5"),
        good.replace(time, b"1691323200000.5"),
        good.replace(time, b"1691323200000.0"),
        # around the object
        good + good,
        good + b" " + good,
        good + b"\r" + good,
        good + b"\r\r" + good,
        b"[" + good + b"]",
        good + b"\r",
        b" \t" + good,
        b"\v" + good,
        good + b"\f",
        good + b"\0",
        b"\xef\xbb\xbf" + good,
        good + b"}",
        good + b" x",
        good + b"//",
        good[:-1],
        good[1:],
        good[: len(good) // 2],
        good[len(good) // 2 :],
        # no object
        b"",
        b" ",
        b"\r",
        b"\v",
        b"\0",
        b"x",
        b"null",
        b"[]",
        b'""',
        b'"',
        b",",
        b",,",
        b",,,,",
        b"," * 8,
        b'"' * (good.count(b'"')),
        b'"' * (good.count(b'"')) + b"," * good.count(b","),
    ]


def test_no_mix_of_bad_lines_is_taken_for_good_ones(whole: Whole):
    """Every one and many pairs of the tricky lines, wherever their quotes may be those of good ones."""
    pool = tricky(whole.table)
    contents = [content for line in pool for content in (line, line + b"\n")]
    pairs = [b"\n".join(pair) + b"\n" for pair in itertools.combinations_with_replacement(pool, 2)]
    # The product refuses the others by their counts alone; looking at each would take a minute.
    likely = [content for content in pairs if whole.may_be_good(content)]
    for content in contents + random.Random(1).sample(likely, min(len(likely), chosen(30, 400))):
        whole.check(content)
    assert len(likely) > 100
    assert whole.accepted > 10


def test_three_bad_lines_that_make_up_for_each_other(whole: Whole):
    pool = tricky(whole.table)
    good = whole.marks(pool[0])
    odd = [line for line in pool if whole.marks(line) != good]
    tried = 0
    for some in itertools.combinations_with_replacement(odd, 3):
        content = b"\n".join(some) + b"\n"
        if whole.may_be_good(content):
            tried += 1
            whole.check(content)
            if tried == chosen(60, 200):
                break
    assert tried > 20


@pytest.mark.parametrize("table", TABLES)
@settings(SEVERAL, max_examples=examples(10, 80))
@given(data=st.data())
def test_what_is_read_whole_is_what_is_judged(engine: DuckDBEngine, folder: Path, table: str, data: st.DataObject):
    whole = Whole(engine, table, folder)
    good = st.just(GOOD[table])
    batch = st.lists(
        st.lists(st.one_of(good, good, st.sampled_from(tricky(table)), lines(table)), max_size=4).map(b"\n".join),
        min_size=1,
        max_size=3,
    )
    whole.check(*data.draw(batch))


@pytest.mark.parametrize(
    "line",
    [
        b'{"z":1,"y":2,"x":3,"timestamp":%d,"user":"a"}',
        b'\t{ "user" : "Zo\xc3\xab \xf0\x9f\x98\x80" ,"timestamp":%d.0,"x":-0,"y":1E-2,"z":12345678901234567891 }\r',
        b'{"\\u0075ser":"\\u0041\\/b","timestamp":%d,"x":5e-324,"y":1e308,"z":0.1}',
    ],
)
def test_good_files_are_read_whole(engine: DuckDBEngine, tmp_path: Path, line: bytes):
    whole = Whole(engine, "accelerometer_landing", tmp_path)
    for end in (b"\n", b"\r\n"):
        whole.check(end.join([line % NOON] * 5), (line % NOON) + end)
    assert whole.accepted == 2


def test_customers_are_read_whole_with_their_line_numbers(engine: DuckDBEngine, tmp_path: Path):
    """Files of many lines, of which each lacks other fields, in a batch; their numbers are the lines' own."""
    whole = Whole(engine, "customer_landing", tmp_path)
    plain = GOOD["customer_landing"]
    kinds = [plain, plain[:-1] + b',"phone":"5"}', plain[:-1] + b',"registrationDate":5}']
    contents = [
        b"\n".join(kinds[n % 3].replace(b"ann@", b"p%d-%d@" % (file, n)) for n in range(5_000)) for file in range(3)
    ]
    whole.check(*contents, names=["b.json", "c/a.json", "a.json"])
    assert whole.accepted == 1


def test_file_names_are_no_patterns(engine: DuckDBEngine, tmp_path: Path):
    """``f[1].json`` also means ``f1.json`` to the reader: one would be read twice and the other not at all."""
    whole = Whole(engine, "accelerometer_landing", tmp_path)
    names = [
        "f[1].json",
        "f1.json",
        "a*.json",
        "ab.json",
        "c?.json",
        "cd.json",
        "**.json",
        "it's.json",
        'q"q.json',
        "é .json",
    ]
    contents = [GOOD["accelerometer_landing"].replace(b"ann", b"p%d" % n) for n in range(len(names))]
    whole.check(*contents, names=names)
    assert whole.accepted == 1
    assert whole.read(GOOD["accelerometer_landing"], names=["back\\slash.json"]) is None


def test_folder_names_give_no_values(engine: DuckDBEngine, tmp_path: Path):
    """``x=7/`` is a partition to the reader, which would take its value for the field's."""
    whole = Whole(engine, "accelerometer_landing", tmp_path)
    whole.check(GOOD["accelerometer_landing"], names=["x=7/user=bob/landing_date=2023-08-06/filename=f.json"])
    assert whole.accepted == 1


def test_a_file_that_grew_since_it_was_profiled_is_not_read_whole(
    engine: DuckDBEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = Whole(engine, "accelerometer_landing", tmp_path)
    line = GOOD["accelerometer_landing"] + b"\n"
    real = fast_path_query

    def grow(*args: object) -> str:
        (tmp_path / "accelerometer_landing" / "a.json").write_bytes(line * 3)
        return real(*args)

    monkeypatch.setattr("stedi_assets.landing.reading.fast_path_query", grow)
    assert whole.read(line * 2) is None
