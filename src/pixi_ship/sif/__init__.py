"""Apptainer's Singularity Image Format: written and read here, no Apptainer needed."""
