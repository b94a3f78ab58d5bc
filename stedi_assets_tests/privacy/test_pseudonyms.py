"""Pseudonyms, and the key that they are made with."""

from __future__ import annotations

import hashlib
import hmac
import multiprocessing
import stat
from pathlib import Path

import pyarrow as pa
import pytest

from stedi_assets.privacy.keys import SecretKeyError
from stedi_assets.privacy.pseudonyms import Pseudonyms, key_path, pseudonyms
from stedi_assets.settings import Settings
from stedi_assets_tests.kit.driven import make_partitions
from stedi_assets_tests.kit.lake import SmallLake
from stedi_assets_tests.kit.records import DAY, STAMP, customer, lines


def rfc_2104(key: bytes, text: bytes) -> str:
    """HMAC-SHA256, as the RFC writes it."""
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + text).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).hexdigest()


@pytest.mark.parametrize("key", [b"a key for tests", b"k", b"long " * 30])
@pytest.mark.parametrize("email", ["ann@example.com", "zoë@example.com", ""])
def test_a_pseudonym_is_an_hmac(key: bytes, email: str) -> None:
    assert Pseudonyms(lambda: key).subject_id(email) == rfc_2104(key, email.encode())
    assert rfc_2104(key, email.encode()) == hmac.new(key, email.encode(), "sha256").hexdigest()


def test_pseudonyms_of_a_frame() -> None:
    people = pa.table({"email": ["ann@example.com", "bob@example.com", "ann@example.com", None], "more": [1, 2, 3, 4]})
    found = Pseudonyms(lambda: b"key").subject_ids(people).collect("pyarrow").to_native().to_pylist()
    assert sorted(found, key=lambda row: row["email"]) == [
        {"email": email, "subject_id": rfc_2104(b"key", email.encode())}
        for email in ("ann@example.com", "bob@example.com")
    ]


def test_a_key_is_named_without_saying_anything_about_it() -> None:
    one, other = (Pseudonyms(lambda key=key: key) for key in (b"one", b"other"))
    assert one.key_id != other.key_id
    assert one.key_id == Pseudonyms(lambda: b"one").key_id
    assert hashlib.sha256(b"one").hexdigest()[:16] != one.key_id != one.subject_id("")[:16]


def of_lake(lake: Path | str, key: str | None = None) -> Pseudonyms:
    return pseudonyms(Settings(lake_uri=str(lake), pseudonym_key=key))


def test_a_local_lake_makes_its_key_once(tmp_path: Path) -> None:
    lake = tmp_path / "data" / "lake"
    made = of_lake(lake)
    path = key_path(str(lake))
    assert not path.exists(), "made before it is needed"
    subject = made.subject_id("ann@example.com")
    assert path.parent == lake.parent, "outside the lake, so that sharing the lake does not share it"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text().strip()) >= 64
    assert of_lake(lake).subject_id("ann@example.com") == subject
    assert of_lake(tmp_path / "other").subject_id("ann@example.com") != subject


def _subject_of(lake: str) -> str:
    return of_lake(lake).subject_id("ann@example.com")


@pytest.mark.process
@pytest.mark.slow
def test_processes_that_make_the_key_at_once_agree_on_one(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        found = pool.map(_subject_of, [str(tmp_path / "lake")] * 16, chunksize=1)
    assert len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [key_path(str(tmp_path / "lake")).name]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    of_lake(tmp_path / "lake").subject_id("ann@example.com")
    path = key_path(str(tmp_path / "lake"))
    path.chmod(mode)
    with pytest.raises(SecretKeyError, match=f"can be read by others .*{mode:04o}.*chmod 600") as caught:
        of_lake(tmp_path / "lake").subject_id("ann@example.com")
    assert path.read_text().strip() not in str(caught.value)


def test_an_empty_key_is_refused(tmp_path: Path) -> None:
    path = key_path(str(tmp_path / "lake"))
    path.touch(0o600)
    with pytest.raises(SecretKeyError, match="is empty"):
        of_lake(tmp_path / "lake").subject_id("ann@example.com")


def test_a_key_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SecretKeyError, match=r"Cannot make the pseudonym key .*STEDI_PSEUDONYM_KEY"):
        of_lake(tmp_path / "file" / "lake").subject_id("ann@example.com")


def test_another_lake_needs_a_key() -> None:
    with pytest.raises(SecretKeyError, match="STEDI_PSEUDONYM_KEY is not set"):
        of_lake("s3://bucket/lake").subject_id("ann@example.com")
    assert of_lake("s3://bucket/lake", "key").subject_id("a") == rfc_2104(b"key", b"a")


def test_a_lost_key_is_not_replaced_while_a_pseudonym_is_left_in_any_table(tmp_path: Path) -> None:
    """The history of consent keeps those who withdrew, and a new key would give them another name."""
    lake = SmallLake.at(tmp_path)
    lake.land("customer_landing", lines(customer("ann"), customer("ann", consents=False, updated=STAMP)))
    make_partitions(lake.resources, ["customer_landing", "consent_history"], [DAY])
    assert (lake.count("customers_curated"), lake.count("consent_history")) == (0, 1)
    lake.close()
    key_path(str(tmp_path / "lake")).unlink()

    with pytest.raises(SecretKeyError, match=r"pseudonym key .* is gone\. The lake has subject_ids"):
        SmallLake.at(tmp_path).resources.pseudonyms.subject_id("ann@example.com")
    assert not key_path(str(tmp_path / "lake")).exists()


def test_a_key_is_made_anew_where_nothing_depends_on_it(tmp_path: Path) -> None:
    first = SmallLake.at(tmp_path).resources.pseudonyms.subject_id("ann@example.com")
    key_path(str(tmp_path / "lake")).unlink()
    assert SmallLake.at(tmp_path).resources.pseudonyms.subject_id("ann@example.com") != first
