"""The figures of the project, each a command: `python -m tests.benchmarks.NAME`."""
