"""What a machine offers, asked without changing anything: a runtime, a cache, schedulers."""
