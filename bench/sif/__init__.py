"""SIF files: ours against Apptainer's own and plain mksquashfs, and how jobs start in them."""
