"""What things cost, measured in turns within one run and told as ratios.

``python -m studies.benchmarks`` runs them all. A benchmark is a module with ``run(quick)``, which returns
:class:`~studies.benchmarks.record.Table` objects, and a name in ``BENCHMARKS``. It passes or fails nothing.
"""
