"""The instruction collection of Self-J (arXiv 2409.00935): 37 sources in three categories.

``sources`` reads what is known of them (``sources.yaml``), ``reading`` their rows, ``converters``
make instructions of rows, ``filters`` drop what is none, ``duplicates`` finds what is there twice.
"""
