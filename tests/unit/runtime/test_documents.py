"""Documents from YAML and JSON files."""

from fractions import Fraction
from pathlib import Path

import pytest
import yaml

import wire_cases as cases
from tacit import canonical
from tacit.federation import Manifest, Policy
from tacit.privacy.types import Mode
from tacit.rounds.plan import Plan, PlanError
from tacit.runtime.documents import load, read_yaml
from tacit.wire.errors import DocumentError

POLICY = f"""
bank: ash
account: cards  # the data set
unit: customer
bucket_cap: {{epsilon: "0.5", delta: "0.00001"}}
lifetime_cap: {{epsilon: 4, delta: "1/100000"}}
root: {canonical.label(bytes(32))}
peers:
  birch: {canonical.label(bytes(32))}
contracts: [{canonical.label(bytes(32))}]
modes: [local]
paused: true
"""


def written(folder: Path, text: str | bytes, name: str = "policy.yaml") -> Path:
    """A file with this content."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(folder: Path, text: str | bytes, name: str = "policy.yaml") -> str:
    """The message with which a policy file is refused."""
    path = written(folder, text, name)
    with pytest.raises(DocumentError) as caught:
        load(Policy, path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_policy_from_yaml(tmp_path: Path) -> None:
    """Comments, flow style, exact numbers, defaults."""
    policy = load(Policy, written(tmp_path, POLICY))
    assert policy.bucket_cap.epsilon == Fraction(1, 2)
    assert policy.lifetime_cap.delta == Fraction(1, 10**5)
    assert policy.modes == (Mode.LOCAL,)
    assert policy.paused
    assert policy.max_paid_retries == 2


@pytest.mark.parametrize("name", ["plan.yaml", "plan.yml", "plan.json"])
def test_one_plan_in_every_format(tmp_path: Path, name: str) -> None:
    """The same document, whatever the suffix; unquoted dates and null stand for themselves in YAML."""
    plain = canonical.plain(cases.PLAN)
    text = canonical.encode(cases.PLAN) if name.endswith("json") else yaml.safe_dump(plain | {"parent": None}).encode()
    text = text.replace(b"'2018-08-01'", b"2018-08-01")
    assert load(Plan, written(tmp_path, text, name)) == cases.PLAN


def test_manifest_keeps_its_digest(tmp_path: Path) -> None:
    """A manifest written as YAML has the digest that its members signed."""
    path = written(tmp_path, yaml.safe_dump(canonical.plain(cases.MANIFEST)))
    assert load(Manifest, path).digest == cases.MANIFEST.digest


def test_float_is_refused_with_a_hint(tmp_path: Path) -> None:
    """The line, the value, and what to write instead."""
    message = refusal(tmp_path, POLICY.replace('"0.5"', "0.5"))
    assert "line 5: 0.5: not a whole number: write it as a string" in message


@pytest.mark.parametrize("value", [".inf", "1.0e+3", ".nan"])
def test_other_floats_are_refused(tmp_path: Path, value: str) -> None:
    """Infinity and exponents too."""
    assert "write it as a string" in refusal(tmp_path, POLICY.replace('"0.5"', value))


@pytest.mark.parametrize("value", ["yes", "on", "Off", "TRUE", "010", "0x10", "1_000", "1:30", "0b1", "+1"])
def test_yaml_surprises_are_refused(value: str) -> None:
    """Words that YAML 1.1 reads as truth, and digits that it reads as other numbers."""
    with pytest.raises(DocumentError, match=r"line 1: .*: quote it, or write a plain decimal number"):
        read_yaml(f"a: {value}".encode())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "line 2: key 'a' stands twice"),
        ("a: {b: 1, b: 2}\n", "line 1: key 'b' stands twice"),
        ("a: [{b: 1, b: 1}]\n", "line 1: key 'b' stands twice"),
        ("1: a\n", "line 1: a key that is not text"),
        ("a: {? [x] : 1}\n", "a key that is not text"),
        ("a: &x [1]\nb: *x\n", "line 1: an alias: write the value out"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "a key that is not text"),
        ("a: !!python/object/apply:os.system [ls]\n", "tag 'tag:yaml.org,2002:python/object/apply:os.system'"),
        ("a: !!binary aGk=\n", "tag 'tag:yaml.org,2002:binary'"),
        ("a: !mine 1\n", "tag '!mine'"),
        ("a: 1\n---\nb: 2\n", "not YAML"),
        ("a: [1\n", "not YAML"),
        ("a: 2018-02-30\n", "not YAML"),
        ("a: !!int x\n", "quote it"),
        ("- a\n", "expected a mapping"),
        ("", "expected a mapping"),
        ("text\n", "expected a mapping"),
        ("\x07: 1\n", "not YAML"),
    ],
)
def test_yaml_out_of_form_is_refused(text: str, message: str) -> None:
    """One value has one spelling, and nothing is run."""
    with pytest.raises(DocumentError) as caught:
        read_yaml(text.encode())
    assert message in str(caught.value)


def test_billion_laughs_are_not_laughed(tmp_path: Path) -> None:
    """Aliases are refused before anything is expanded."""
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "an alias" in refusal(tmp_path, "\n".join(lines))


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    """In YAML and in JSON."""
    assert "nested too deeply" in refusal(tmp_path, "a: " + "[" * 5000)
    assert "nested too deeply" in refusal(tmp_path, "[" * 50_000, "policy.json")


def test_unknown_key_names_the_file(tmp_path: Path) -> None:
    """Path of the file, path of the key, and the keys there are."""
    message = refusal(tmp_path, POLICY.replace("epsilon: 4", "epsilon: 4, epsilom: 4"))
    assert "lifetime_cap.epsilom: unknown key; known are epsilon, delta" in message


@pytest.mark.parametrize("name", ["policy.toml", "policy", "policy.yaml.bak"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    """A format is told by the suffix alone."""
    assert "expected .json, .yaml or .yml" in refusal(tmp_path, POLICY, name)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """With the reason of the operating system."""
    with pytest.raises(DocumentError, match=r"absent\.yaml: cannot be read: No such file"):
        load(Policy, tmp_path / "absent.yaml")


def test_long_file_is_refused(tmp_path: Path) -> None:
    """Over 960 KiB nothing is parsed."""
    assert "over 983040 bytes" in refusal(tmp_path, b"#" * 983_041)


def test_errors_of_the_class_carry_the_file(tmp_path: Path) -> None:
    """A plan out of range stays a PlanError; a note says in which file."""
    data = canonical.encode(canonical.plain(cases.PLAN) | {"epsilon": 900})
    path = written(tmp_path, data, "plan.json")
    with pytest.raises(PlanError, match="epsilon = 900") as caught:
        load(Plan, path)
    assert caught.value.__notes__ == [f"in {path}"]
