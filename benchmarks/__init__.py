"""The figures, each beside its peer in the same run: `python -m benchmarks`, see docs/benchmarks.md."""
