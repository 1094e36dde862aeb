"""The model file in the oldest XGBoost that it promises to load in, in an environment of its own."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from tacit.learning import ensemble
from unit.learning import test_ensemble as sample

LOCK = Path(__file__).parents[2] / "requirements" / "xgboost-2.1.txt"
VERSION = "2.1.4"
SCRIPT = """
import json, sys
import numpy, xgboost
rows = numpy.load(sys.argv[2])
booster = xgboost.Booster({"nthread": 1}, model_file=sys.argv[1])
names = booster.feature_names
def batch(part):
    return booster.predict(xgboost.DMatrix(part, feature_names=names, feature_types=booster.feature_types),
                           output_margin=True)
def inplace(part):
    return booster.inplace_predict(part, predict_type="margin", validate_features=False)
answers = {
    "version": xgboost.__version__,
    "batch": batch(rows).tolist(),
    "single": [float(batch(row[None])[0]) for row in rows],
    "inplace": inplace(rows).tolist(),
    "inplace_single": [float(inplace(row[None])[0]) for row in rows],
}
print(json.dumps(answers))
"""

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(900)]


def run(*command: str) -> str:
    """Runs a program and gives its output; a failure carries its last words."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  fixed programs
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def build(folder: Path) -> Path:
    """An environment with the locked packages; kept for the next run once it is complete."""
    python, done = folder / "bin" / "python", folder / "complete"
    if not done.exists():
        run(sys.executable, "-m", "venv", "--clear", str(folder))
        install = ("install", "--quiet", "--no-deps", "--require-hashes", "-r", str(LOCK))
        run(str(python), "-m", "pip", *install)
        done.touch()
    return python


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter with XGBoost 2.1; without it a CI run fails and any other one skips with the reason."""
    cache = Path(os.environ.get("TACIT_CACHE", tempfile.gettempdir())) / "tmp"
    name = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    try:
        cache.mkdir(parents=True, exist_ok=True)
        return build(cache / f"xgboost-2.1-{name}")
    except (OSError, RuntimeError) as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"XGBoost {VERSION} could not be installed: {error}")
        pytest.skip(f"XGBoost {VERSION} could not be installed: {error}")


@pytest.mark.parametrize("name", sample.MODELS)
def test_old_xgboost_gives_the_same_margins(name: str, python: Path, tmp_path: Path) -> None:
    """Batches, single rows and in-place predictions of both versions agree to the last bit."""
    rng = np.random.default_rng(5)
    model, rows = ensemble.booster(sample.MODELS[name](rng), sample.CONTRACT), sample.values_of(rng, 300)
    (tmp_path / "model.json").write_bytes(model)
    np.save(tmp_path / "rows.npy", rows)
    answers = json.loads(run(str(python), "-c", SCRIPT, str(tmp_path / "model.json"), str(tmp_path / "rows.npy")))
    assert answers["version"] == VERSION
    expected = sample.predict(sample.load(model), rows).tolist()
    for way in ("batch", "single", "inplace", "inplace_single"):
        assert answers[way] == expected, way
