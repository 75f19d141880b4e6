"""Tables."""


def tables(*_):
    return ""
