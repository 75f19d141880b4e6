"""Data sets that feed more than one category: which part a text of theirs belongs to.

The authors publish that such sets were split, and how many instructions each part kept, not by
which rule. Here it is the data set's own label where it has one (topic, forum, site), and
otherwise words in the text. Each rule gives a text exactly one part, so that the parts of a data
set are disjoint and together are the whole of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from selfj_eval.collection.source_rows import SourceRow

Rule = Callable[[SourceRow, str], str]

# Words that are hardly used but of programming; names that are common words, too (go, swift,
# rust, basic), are not among them.
PROGRAMMING = re.compile(
    r"(?<![\w+#])(?:"
    r"c\+\+|c\#|f\#|\.net|asp\.net|objective-?c|node\.?js|javascript|typescript|java|python|php"
    r"|perl|fortran|cobol|haskell|scala|kotlin|matlab|visual basic|vb\.net|vba|django|jquery"
    r"|angularjs|sql|mysql|postgresql|sqlite|mongodb|nosql|html5?|css3?|xml|json|api"
    r"|regex|regular expressions?|programming|programmers?|coding|coders?"
    r"|software (?:engineer(?:ing|s)?|develop(?:er|ers|ment))|web develop(?:er|ers|ment)"
    r"|(?:source|machine|assembly) (?:code|language)|pseudo-?code|compilers?|debugg(?:er|ers|ing)"
    r"|algorithms?|data structures?|linked lists?|hash ?(?:map|table)s?|unit tests?"
    r"|github|git repositor(?:y|ies)|stack ?overflow|leetcode|hackerrank"
    r"|null ?pointer|segmentation fault"
    r")(?![\w+#])",
    re.IGNORECASE,
)

# The position of "Computers & Internet" among the ten topics of the data set.
_COMPUTERS = 4
_CODING_FORUMS = frozenset({"programmers"})
_CODING_SITES = frozenset(
    (
        *("codegolf", "codereview", "dba", "devops", "emacs", "reverseengineering"),
        *("softwareengineering", "sqa", "stackapps", "stackoverflow", "vi"),
    )
)
_ACADEMIC_SITES = frozenset(
    (
        *("ai", "astronomy", "bioinformatics", "biology", "chemistry", "cogsci", "cs"),
        *("cseducators", "cstheory", "datascience", "earthscience", "economics", "engineering"),
        *("hsm", "linguistics", "math", "matheducators", "mathoverflow", "mattermodeling"),
        *("medicalsciences", "or", "physics", "psychology", "quant", "quantumcomputing"),
        *("scicomp", "stats"),
    )
)


def speaks_of_programming(text: str) -> bool:
    """Whether a text has a word of ``PROGRAMMING`` in it, in any case."""
    return PROGRAMMING.search(text) is not None


def _yahoo_topics(row: SourceRow, text: str) -> str:
    # Most of that topic is on viruses and mail: the label alone is too wide for "Coding".
    if row.number("topic") == _COMPUTERS and speaks_of_programming(text):
        return "coding"
    return "common"


def _quora(row: SourceRow, text: str) -> str:
    return "coding" if speaks_of_programming(text) else "common"


def _cqadupstack(row: SourceRow, text: str) -> str:
    return "coding" if row.text("subset") in _CODING_FORUMS else "common"


def _stackexchange(row: SourceRow, text: str) -> str:
    site = row.text("subset")
    if site in _CODING_SITES:
        return "coding"
    return "academic" if site in _ACADEMIC_SITES else "common"


def _part(rule: Rule, name: str) -> Callable[[SourceRow, str], bool]:
    return lambda row, text: rule(row, text) == name


PARTS: dict[str, Callable[[SourceRow, str], bool]] = {
    f"{data_set}.{name}": _part(rule, name)
    for data_set, rule, names in (
        ("yahoo_topics", _yahoo_topics, ("common", "coding")),
        ("quora", _quora, ("common", "coding")),
        ("cqadupstack", _cqadupstack, ("common", "coding")),
        ("stackexchange", _stackexchange, ("common", "coding", "academic")),
    )
    for name in names
}
"""Whether a text of a row belongs to a part, by ``data set.part``."""
