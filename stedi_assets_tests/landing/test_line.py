"""The rule for one line: literal cases, and the oracle's opinion of every line that can be thought of."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedi_assets.contracts import LandingSource
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.line import DEEPEST, Rejected, Value, validate_line
from stedi_assets.reference import RejectedLineError, parse
from stedi_assets_tests.kit.examples import examples
from stedi_assets_tests.kit.records import DAY, NOON
from stedi_assets_tests.landing.corpus import EARLIEST, GOOD, LATEST, TABLES, lines


def source(table: str) -> LandingSource:
    found = contract(table).source
    assert found is not None
    return found


def judged(table: str, line: bytes | str) -> tuple[Value, ...] | str | None:
    """The verdict: values, a reason, or none for a blank line."""
    verdict = validate_line(line.encode() if isinstance(line, str) else line, source(table), DAY)
    return verdict.reason if isinstance(verdict, Rejected) else verdict


def step(**changes: str | None) -> str:
    """A step reading as JSON, with fields set to literals or left out."""
    fields = {"sensorReadingTime": str(NOON), "serialNumber": '"s-1"', "distanceFromObject": "7", **changes}
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items() if value is not None) + "}"


def test_values_come_as_delivered_in_the_order_of_the_contract():
    line = f'{{"q":[1],"distanceFromObject":7,"serialNumber":" S ","sensorReadingTime":{NOON}}}'
    assert judged("step_trainer_landing", line) == (NOON, " S ", 7)
    assert judged("accelerometer_landing", GOOD["accelerometer_landing"]) == ("ann@example.com", NOON, 1.0, 2.5, -0.3)
    assert judged("customer_landing", GOOD["customer_landing"]) == (
        "Ann Example",
        "ann@example.com",
        None,
        None,
        "s-1",
        None,
        NOON,
        None,
        None,
        None,
    )


@pytest.mark.parametrize("line", [b"", b" ", b"\t\r", b"\v\f", b"\r"])
def test_blank_lines_are_nothing(line: bytes):
    assert judged("customer_landing", line) is None


@pytest.mark.parametrize(
    ("spelt", "value"),
    [
        ("7", 7),
        ("7.0", 7),
        ("70e-1", 7),
        ("7e0", 7),
        ("0.7E+1", 7),
        ("-0", 0),
        ("-0.0", 0),
        ("1e3", 1000),
        (str(2**53 - 1), 2**53 - 1),
        (f"{2**53 - 1}.0", 2**53 - 1),
        (str(2**53 + 1), 2**53 + 1),
        (str(2**63 - 1), 2**63 - 1),
    ],
)
def test_a_number_without_a_fraction_is_an_integer_however_spelt(spelt: str, value: int):
    found = judged("step_trainer_landing", step(distanceFromObject=spelt))
    assert found == (NOON, "s-1", value)
    assert isinstance(found[2], int)


@pytest.mark.parametrize(
    ("spelt", "reason"),
    [
        ("1.5", "distanceFromObject is not an integer"),
        ('"7"', "distanceFromObject is not an integer"),
        ("true", "distanceFromObject is not an integer"),
        ("[]", "distanceFromObject is not an integer"),
        ("{}", "distanceFromObject is not an integer"),
        (f"{2**53}.0", "distanceFromObject is not an integer"),
        ("1e300", "distanceFromObject is not an integer"),
        ("1e999", "distanceFromObject is not finite"),
        (str(2**63), "distanceFromObject does not fit 64 bits"),
        ("9" * 5000, "distanceFromObject does not fit 64 bits"),
        ("-" + "9" * 5000, "distanceFromObject does not fit 64 bits"),
        ("-1", "distanceFromObject is below 0"),
        ("-1.0", "distanceFromObject is below 0"),
        ("null", "lacks distanceFromObject"),
        (None, "lacks distanceFromObject"),
        ("NaN", "a number is not finite"),
        ("Infinity", "a number is not finite"),
        ("-Infinity", "a number is not finite"),
        ("01", "not one JSON object"),
        ("+1", "not one JSON object"),
        (".5", "not one JSON object"),
        ("1.", "not one JSON object"),
        ("0x7", "not one JSON object"),
    ],
)
def test_what_is_no_integer(spelt: str | None, reason: str):
    assert judged("step_trainer_landing", step(distanceFromObject=spelt)) == reason


@pytest.mark.parametrize(
    ("spelt", "found"),
    [
        ("1e308", 1e308),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("5e-324", 5e-324),
        ("1e-999", 0.0),
        ("12345678901234567891", 12345678901234567891.0),
        ("1e999", "x is not finite"),
        ("1" * 400, "x is not finite"),
        ("9" * 5000, "x is not finite"),
        ('"1"', "x is not a number"),
        ("false", "x is not a number"),
    ],
)
def test_numbers(spelt: str, found: float | str):
    line = GOOD["accelerometer_landing"].replace(b'"x":1', b'"x":' + spelt.encode())
    verdict = judged("accelerometer_landing", line)
    assert (verdict if isinstance(found, str) else verdict[2]) == found


@pytest.mark.parametrize(
    ("spelt", "found"),
    [
        ('"a"', "a"),
        ('" "', "lacks serialNumber"),
        ('""', "lacks serialNumber"),
        ('"\\u000b"', "lacks serialNumber"),
        ("null", "lacks serialNumber"),
        ("5", "serialNumber is not text"),
        ('["a"]', "serialNumber is not text"),
        ('"\u00a0"', "\u00a0"),
        ('"\\u0000"', "\0"),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('"\\ud800"', "a text is not Unicode"),
        ('"\\ude00\\ud83d"', "a text is not Unicode"),
        ('"a\tb"', "not one JSON object"),
        ('"a\0b"', "not one JSON object"),
    ],
)
def test_texts(spelt: str, found: str):
    verdict = judged("step_trainer_landing", step(serialNumber=spelt))
    assert (verdict[1] if isinstance(verdict, tuple) else verdict) == found


@pytest.mark.parametrize(
    ("unknown", "reason"),
    [
        ("NaN", "a number is not finite"),
        ("[[Infinity]]", "a number is not finite"),
        ("1e999", None),
        ("9" * 5000, None),
        ('"\\ud800"', "a text is not Unicode"),
        ('{"q":["\\udfff"]}', "a text is not Unicode"),
        ('{"\\udfff":1}', "a text is not Unicode"),
        ('{"q":"\\ud800","q":1}', "a text is not Unicode"),
        ('{"q":1,"q":2}', None),
        ("tru", "not one JSON object"),
        ('"\\\\ud800"', None),
        ("[" * (DEEPEST - 1) + "]" * (DEEPEST - 1), None),
        ("[" * DEEPEST + "]" * DEEPEST, "nested too deeply"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_unknown_keys_are_ignored_but_their_values_must_be_json(unknown: str, reason: str | None):
    verdict = judged("step_trainer_landing", step(unknown=unknown))
    assert verdict == ((NOON, "s-1", 7) if reason is None else reason)


@pytest.mark.parametrize(
    "more",
    ['"distanceFromObject":7', '"q":1,"q":1', '"\\u0073erialNumber":"s-1"', '"":1,"":2', '"sensorReadingTime":null'],
)
def test_a_line_that_repeats_a_key(more: str):
    assert judged("step_trainer_landing", step()[:-1] + f",{more}}}") == "repeats a key"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"x", "not one JSON object"),
        (b"null", "not one JSON object"),
        (b"7", "not one JSON object"),
        (b"[]", "not one JSON object"),
        (b'"{}"', "not one JSON object"),
        (b"{}", "lacks sensorReadingTime"),
        (b"[%s]", "not one JSON object"),
        (b"%s%s", "not one JSON object"),
        (b"%s %s", "not one JSON object"),
        (b"%s\r%s", "not one JSON object"),
        (b"%s,", "not one JSON object"),
        (b"%s x", "not one JSON object"),
        (b"\xef\xbb\xbf%s", "not one JSON object"),
        (b"%s\0", "not one JSON object"),
        (b"\v%s", "not one JSON object"),
        (b"%s\f", "not one JSON object"),
        (b"%s\xc2\xa0", "not one JSON object"),
        (b"/**/%s", "not one JSON object"),
        (b"%s\xff", "not UTF-8"),
        (b"%s\xc0\x80", "not UTF-8"),
        (b"%s\xed\xa0\x80", "not UTF-8"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_what_is_not_one_json_object(line: bytes, reason: str):
    good = step().encode()
    assert judged("step_trainer_landing", line.replace(b"%s", good)) == reason


@pytest.mark.parametrize(
    "text", [step()[:-1] + ",}", step()[:-1], step()[1:], step().replace('"', "'"), step().title()]
)
def test_broken_objects(text: str):
    assert judged("step_trainer_landing", text) in {"not one JSON object", (NOON, "S-1", 7)}


@pytest.mark.parametrize(
    "spelt", ["SENSORREADINGTIME", "sensorreadingtime", "Sensorreadingtime", "\\u0053ensorReadingTime"]
)
def test_keys_mean_a_field_in_any_case(spelt: str):
    assert judged("step_trainer_landing", step().replace("sensorReadingTime", spelt)) == (NOON, "s-1", 7)


def test_two_keys_that_mean_one_field_repeat_it():
    for other in ("SerialNumber", "serialNumber", "serialnumber"):
        assert judged("step_trainer_landing", step()[:-1] + f',"{other}":"s-1"}}') == "repeats a key"


def test_nothing_beyond_ascii_means_a_field():
    """U+212A is the sign of kelvin, whose lower case is k; U+0130 is a capital i with a dot."""
    for odd in ("\u212a", "\u0130"):
        key = odd.join("distanceFromObject".split("i", 1))
        assert judged("step_trainer_landing", step().replace("distanceFromObject", key)) == "lacks distanceFromObject"


@pytest.mark.parametrize("line", ["\t %s \r", "%s\r", "\r%s"])
def test_json_white_space_around_an_object_is_fine(line: str):
    assert judged("step_trainer_landing", line % step()) == (NOON, "s-1", 7)


@pytest.mark.parametrize(
    ("time", "good"),
    [(EARLIEST, True), (EARLIEST - 1, False), (LATEST, True), (LATEST + 1, False), (0, False), (-1, False)],
)
def test_times_of_readings(time: int, good: bool):
    verdict = judged("step_trainer_landing", step(sensorReadingTime=str(time)))
    assert isinstance(verdict, tuple) is good
    assert good or verdict == "sensorReadingTime is before 2015 or more than a day after the landing day"


def test_a_customers_own_dates_have_no_range():
    line = f'{{"email":"e@x","serialNumber":"s","lastUpdateDate":{NOON},"registrationDate":{2**63 - 1}}}'
    verdict = judged("customer_landing", line)
    assert verdict[5:7] == (2**63 - 1, NOON)


@pytest.mark.parametrize("time", [EARLIEST - 1, LATEST + 1, NOON // 1000, NOON * 1000, 0, -1])
def test_a_record_of_no_possible_time_is_rejected(time: int):
    """Of the future it would pin consent for good; in seconds it would be passed over as old."""
    line = f'{{"email":"e@x","serialNumber":"s","lastUpdateDate":{time}}}'
    assert judged("customer_landing", line) == "lastUpdateDate is before 2015 or more than a day after the landing day"


@pytest.mark.parametrize("email", ["ann", "mailto:ann@example.com", "Ann <ann@example.com>", "ann@example.com\\u0000x"])
def test_a_record_whose_email_can_be_compared_with_no_other_is_rejected(email: str):
    """It may be a withdrawal, which would count for nobody."""
    line = f'{{"email":"{email}","serialNumber":"s","lastUpdateDate":{NOON}}}'
    assert judged("customer_landing", line) == "email is not a plain e-mail address"


@pytest.mark.parametrize("table", TABLES)
@settings(max_examples=examples(30, 150), deadline=None)
@given(data=st.data())
def test_the_oracle_agrees(table: str, data: st.DataObject):
    line = data.draw(lines(table))
    verdict = judged(table, line)
    if verdict is None:
        assert not line.strip(b" \t\n\r\v\f")
        return
    try:
        expected = parse(line, table, DAY)
    except RejectedLineError:
        assert isinstance(verdict, str)
    except RecursionError:
        assert verdict in {"nested too deeply", "not one JSON object"}
    else:
        assert verdict == expected
        assert [type(value) for value in verdict] == [type(value) for value in expected]
        assert all(math.isfinite(value) for value in verdict if isinstance(value, float))
