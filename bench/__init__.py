"""Build times, sizes, memory and disk, as ratios to what plain tools take in the same run."""
