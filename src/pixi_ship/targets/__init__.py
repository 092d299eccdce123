"""A job as text for what runs jobs besides schedulers: one module for each target."""
