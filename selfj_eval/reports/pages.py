"""What every HTML page has in common: templates, escaping, and the version that made it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from selfj_eval import __version__
from selfj_eval.errors import counted
from selfj_eval.reports.texts import label

if TYPE_CHECKING:
    from jinja2 import Environment


def rendered(
    template: str,
    *,
    package: str = "selfj_eval.reports",
    filters: Mapping[str, Callable[..., Any]] | None = None,
    **values: object,
) -> str:
    """A page: every text that comes from the data is escaped.

    Args:
        template: Its name in the package.
        package: Where it is, with the templates that it extends or includes.
        filters: What the template calls beside ``label`` and ``counted``.
        **values: What the template shows; SVG as ``markupsafe.Markup``.
    """
    environment = _environment(package, tuple((filters or {}).items()))
    return environment.get_template(template).render(version=__version__, **values)


@cache
def _environment(package: str, filters: tuple[tuple[str, Callable[..., Any]], ...]) -> Environment:
    """Keeps compiled templates: compiling one takes longer than filling it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"label": label, "counted": counted, **dict(filters)}
    return environment
