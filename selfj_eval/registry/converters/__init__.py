"""From upstream's files to our columns: one module a family of sets.

A converter is a function that takes ``Sequence[UpstreamFile]``, in the registry's order, and yields
rows. The registry names it as ``module:function``.
"""
