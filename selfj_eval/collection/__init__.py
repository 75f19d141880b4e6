"""The instruction collection of Self-J (arXiv 2409.00935): 37 sources in three categories.

``sources`` reads what is known of them (``sources.yaml``), ``reading`` their rows, ``converters``
make instructions of rows, ``filters`` and ``contamination`` drop some, ``duplicates`` finds what is
there twice. ``preparing`` makes one source ready, ``running`` all of them. ``sampling``,
``statistics`` and ``verbs`` work on what came out.
"""
