"""How fast metacurate is, beside other software that does the same work.

    python -m benchmarks                    all, into benchmarks/results.json and results.md
    python -m benchmarks --only matching    one of them; the others' results stay
    python -m benchmarks --quick            small sizes, into build/bench: does it still work?

Rules that every benchmark keeps: rivals and metacurate do the same work on the same input, each
measurement in a fresh process (`fresh`); answers are compared first, and no time is reported
unless they agree; ratios count, because machines are noisy; a figure is the median of five runs,
taken in turns.
"""
