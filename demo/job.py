"""A small batch job: solve seeded linear systems with numpy and say how well it went."""

import os
import sys
import time
from pathlib import Path

import numpy as np


def main() -> None:
    print(f"python   {sys.version.split()[0]} in {sys.prefix}")
    print(f"numpy    {np.__version__} from {Path(np.__file__).parent}")
    print(f"user     {os.getuid()}, directory {Path.cwd()}")

    generator = np.random.default_rng(20240229)
    size, systems = 400, 20
    started = time.perf_counter()
    worst = 0.0
    for _ in range(systems):
        matrix = generator.standard_normal((size, size)) + size * np.eye(size)
        wanted = generator.standard_normal(size)
        found = np.linalg.solve(matrix, matrix @ wanted)
        worst = max(worst, float(np.abs(found - wanted).max()))
    eigenvalues = np.linalg.eigvalsh(matrix @ matrix.T)
    seconds = time.perf_counter() - started

    print(f"solved   {systems} systems of {size} unknowns in {seconds:.2f} s")
    print(f"error    at most {worst:.1e}")
    print(f"spectrum from {eigenvalues[0]:.4e} to {eigenvalues[-1]:.4e}")
    if worst > 1e-9:
        sys.exit("result   wrong: the solutions do not solve their systems")
    print("result   correct")


if __name__ == "__main__":
    main()
