"""What things cost, measured in turns within one run and told as ratios: ``python -m benchmarks`` runs them all.

A benchmark is a module with ``run(quick)``, which returns :class:`~benchmarks.record.Table` objects, and a name in
``benchmarks.__main__.BENCHMARKS``. It passes or fails nothing.
"""
