"""Q6: bytes of vectors a bank, and CPU seconds of all banks' statistics over 90 days of the Handbook.

The task is what a bank does from encoded rows to bounded sums in all rounds of the default plan (preconditioner and
32 gradients; the quality round reads other, fewer rows), over all customers at once, on one core.

Usage: OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python bench/cost.py
"""

import sys
import time
from fractions import Fraction

from common import Figure, write
from handbook_data import FIRST_FOLD, Handbook
from learning import DELTA

from tacit.adapters import kernel as kernels
from tacit.features.spec import Contract
from tacit.features.types import Encoded
from tacit.learning.basis import Basis
from tacit.learning.course import Course, stages
from tacit.learning.kernel import Kernel
from tacit.learning.statistics import bounded_sum
from tacit.learning.types import Learner, QualityPlan, Shares
from tacit.privacy.calibration import calibrate
from tacit.privacy.release import release
from tacit.privacy.types import Mode

SHARES = Shares(preconditioner=Fraction(5, 100), gradients=Fraction(90, 100), quality=Fraction(5, 100))
DAYS = 90
CELL_BYTES = 8
REPEATS = 3


def vector_bytes(contract: Contract) -> int:
    """Bytes of all vectors that one bank sends in a run of the default plan."""
    return sum(stage.cells * CELL_BYTES for stage in stages(Learner(), SHARES, contract, QualityPlan()))


def statistic_seconds(rows: Encoded, contract: Contract, kernel: Kernel | None) -> tuple[float, list[list[int]]]:
    """CPU seconds of margins and bounded sums of a run at eps 1, and the sums of the first two rounds."""
    course = Course.start(Learner(), SHARES, contract, QualityPlan(), bytes(32))
    questions = [(stage.clip, stage.share) for stage in course.stages]
    noises = calibrate(Fraction(1), DELTA, questions, mode=Mode.LOCAL).noises
    basis, spent, first = Basis(contract, kernel), 0.0, []
    while not course.learnt:
        weights, _ = course.question
        assert weights is not None  # noqa: S101  the additive learner always asks with weights
        begun = time.process_time()
        sums = bounded_sum(course.stage, rows, basis, basis.margins(rows, weights))
        spent += time.process_time() - begun
        first.append(sums.sums.tolist())
        noise = noises[course.round]
        course = course.advance(release(sums, noise, Mode.LOCAL).values.tolist(), noise.variance)
    return spent, first[:1]


def best(rows: Encoded, contract: Contract, kernel: Kernel | None) -> tuple[float, list[list[int]]]:
    """The least of a few runs: what else runs on the machine only ever adds."""
    runs = [statistic_seconds(rows, contract, kernel) for _ in range(REPEATS)]
    return min(spent for spent, _ in runs), runs[0][1]


def main() -> int:
    """Measures bytes, NumPy, and the kernel where a C compiler is there."""
    book = Handbook()
    rows = book.training(FIRST_FOLD, "customer", DAYS).encoded
    task = f"{rows.rows} rows, {rows.units} customers, 33 rounds, least of {REPEATS}"
    slow, expected = best(rows, book.contract, None)
    found = [
        Figure("vectors a bank, default plan", vector_bytes(book.contract), "bytes", "<= 20,000", ceiling=20_000),
        Figure(f"NumPy alone: {task}", slow, "CPU s", "<= 8", ceiling=8.0),
    ]
    try:
        kernel = kernels.CompiledKernel(kernels.build())
    except (kernels.KernelError, OSError) as error:
        print(f"kernel not measured: {error}")
        return write("cost", found)
    fast, same = best(rows, book.contract, kernel)
    found += [
        Figure(f"with the compiled kernel: {task}", fast, "CPU s", "<= 2", ceiling=2.0),
        Figure("kernel and NumPy: round 0 has the same integers", float(same == expected), "1 = yes", floor=1.0),
    ]
    return write("cost", found)


if __name__ == "__main__":
    sys.exit(main())
