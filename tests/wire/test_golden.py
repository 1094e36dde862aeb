"""Golden messages: records of every kind as a released version wrote them must open for ever.

`python tests/wire/test_golden.py` (with `services` and `tests` on the path) writes the missing ones; an existing file
is never written again, because it stands for what is on logs already.
"""

import hashlib
import json
from pathlib import Path

import pytest

import wire_cases as cases
from tacit.rounds.types import Kind
from tacit.wire import codec
from tacit.wire.envelope import open_record

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("kind", list(Kind))
def test_golden_record_opens(kind: Kind) -> None:
    """The record opens to the body of its case, under the digest that was written down."""
    value = (GOLDEN / f"{kind.name.lower()}.bin").read_bytes()
    checked = open_record(cases.topic_of(kind), value, cases.RING)
    assert checked.body == cases.BODIES[kind]
    assert checked.digest.hex() == json.loads((GOLDEN / "digests.json").read_text())[kind.name.lower()]


@pytest.mark.parametrize("kind", list(Kind))
def test_golden_header_is_kept(kind: Kind) -> None:
    """Every header field means today what it meant when it was written."""
    header, body, _ = codec.split_record((GOLDEN / f"{kind.name.lower()}.bin").read_bytes())
    found = codec.decode_header(header)
    assert found == cases.header(kind, body=hashlib.sha256(body).digest())


def test_every_file_has_a_kind() -> None:
    """No golden record is forgotten when a kind goes."""
    assert {path.stem for path in GOLDEN.glob("*.bin")} == {kind.name.lower() for kind in Kind}


def write() -> None:
    """Writes the golden records that do not exist yet."""
    path = GOLDEN / "digests.json"
    digests = json.loads(path.read_text()) if path.exists() else {}
    for kind in Kind:
        file = GOLDEN / f"{kind.name.lower()}.bin"
        if not file.exists():
            sealed = cases.record(kind)
            file.write_bytes(sealed.value)
            digests[kind.name.lower()] = sealed.digest.hex()
    path.write_text(json.dumps(digests, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    write()
