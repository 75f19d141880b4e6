"""Ten answers of known quality to one task.

The rating follows from how an answer is built and from nothing else. A task's solution has
n parts (5 or more: results, items, sentences, lines of output). The rule:

====== =============================================================================
rating construction
====== =============================================================================
9      All n parts right, nothing else. Layout, wording and (where allowed) order are
       drawn at random, so that the answer is rarely the reference string.
8      As 9, with a pleasantry before or after it, or both.
7      As 9, with two to four sentences of filler around it.
6 to 3 Only part of the solution is right: ``right_parts(n, rating)`` of the n parts,
       that is n * (rating - 2) / 5 rounded: about 80, 60, 40, 20 %. One defect, drawn
       with the weights of ``MIDDLE_DEFECTS``, takes the others away:
       *wrong*: they are there, but wrong;
       *cut*: the answer breaks off in the midst of the next part;
       *dropped*: they are missing, and the answer looks finished.
       One of five such answers also opens with a pleasantry: manners do not help.
2      On the topic, nothing right: *wrong* (every part is wrong), *talk* (it speaks about
       the task and gives no result) or *echo* (it repeats the instruction).
1      A refusal, or a perfect answer to another instruction.
0      Nothing: an empty or almost empty answer, or "I don't know".
====== =============================================================================
"""

from __future__ import annotations

from random import Random

from selfj_eval.demo.task import Style, Task, lay_out, pick_style, with_errors, write_parts

RATINGS = range(10)

MIDDLE_DEFECTS = {"wrong": 40, "cut": 35, "dropped": 25}
"""Weights of the defects of the ratings 3 to 6."""
TOPIC_DEFECTS = {"wrong": 50, "talk": 25, "echo": 25}
"""Weights of the defects of the rating 2."""

OPENINGS = (
    "Sure!",
    "Of course.",
    "Certainly, here it is:",
    "Here you go:",
    "Gladly!",
    "Good question!",
    "Yes, with pleasure.",
    "All right, this is my answer:",
)
CLOSINGS = (
    "I hope this helps!",
    "Let me know if you need more.",
    "Just ask if anything is unclear.",
    "Have a nice day!",
    "Good luck!",
    "You are welcome.",
)
FILLERS = (
    "Before I begin, let me say that this is an interesting topic.",
    "Many people ask about this, and it is worth a closer look.",
    "There are, as always, several ways to look at such a thing.",
    "It is important to take the time to think about it with care.",
    "In general, one should always check such results twice.",
    "As we all know, practice makes perfect in matters like these.",
    "Needless to say, this has kept people busy for a long time.",
    "It may also be added that such questions come up in daily life.",
    "All in all, that is what can be said about it at this point.",
    "To sum up, everything that matters has been said here.",
    "Of course there would be much more to say about all this.",
    "With that in mind, we can look at the matter step by step.",
)
TALK = (
    "This is about {topic}. One has to look at every part in turn and be careful.",
    "A task on {topic} can be solved with some thought; it only takes a little patience.",
    "When it comes to {topic}, the usual way is to go through it one by one.",
    "There is a well-known method for {topic}, which most people learn at school.",
    "I have worked with {topic} before. It is easy once you have seen how it goes.",
)
ECHOES = (
    'You asked: "{instruction}"',
    "The question is: {instruction}",
    "{instruction}",
    "Your request was this. {instruction} I have read it.",
)
REFUSALS = (
    "I'm sorry, but I cannot help with that.",
    "As a language model I am not able to answer this.",
    "I would rather not answer this request.",
    "Unfortunately I can't do this for you.",
    "This is against my guidelines, so I have to decline.",
    "Sorry, I am unable to assist with this request.",
    "I must decline. Please ask somebody else.",
)
BLANKS = (
    "",
    "...",
    "N/A",
    "I don't know",
    "I don't know.",
    "-",
    "?",
    "none",
    "No idea.",
    "no answer",
    "Hm.",
    " ",
    "???",
    "null",
)
TOPICS = {
    "arithmetic": "sums",
    "steps": "a chain of calculations",
    "units": "units of measurement",
    "sorting": "sorting",
    "strings": "words and letters",
    "table": "reading a table",
    "code": "running a program",
    "rewriting": "rewriting sentences",
    "lists": "making a list",
    "facts": "general knowledge",
}


def right_parts(total: int, rating: int) -> int:
    """How many of ``total`` parts are right in an answer rated 3 to 6."""
    return (2 * total * (rating - 2) + 5) // 10


def write_reference(task: Task, rng: Random) -> str:
    """A right answer in the task's first form, layout at random."""
    style = Style(task.forms[0], rng.choice(task.layouts), "")
    return lay_out(write_parts(task, task.values, style), style)


def write_answer(task: Task, rating: int, other: Task, rng: Random) -> str:
    """An answer of the given quality; the module's docstring has the rule.

    Args:
        task: The task to be answered.
        rating: 0 to 9.
        other: Another task, whose answer is off topic here.
        rng: Draws everything that the rating leaves open.

    Returns:
        The answer; empty or blank only for the rating 0.
    """
    if rating == 0:
        return rng.choice(BLANKS)
    if rating == 1:
        return rng.choice(REFUSALS) if rng.random() < 0.4 else _solution(other, 0, rng)
    if rating == 2:
        return _nothing_right(task, rng)
    if rating <= 6:
        return _partly_right(task, rating, rng)
    solution = _solution(task, 0, rng)
    if rating == 7:
        return _padded(solution, rng)
    return _polite(solution, rng) if rating == 8 else solution


def _solution(task: Task, errors: int, rng: Random) -> str:
    style = pick_style(task, rng)
    parts = write_parts(task, with_errors(task, errors, rng), style)
    if task.free_order:
        rng.shuffle(parts)
    return lay_out(parts, style)


def _polite(text: str, rng: Random) -> str:
    side = rng.choice(("before", "after", "both"))
    if side != "after":
        text = _open(text, rng)
    return text if side == "before" else f"{text}\n{rng.choice(CLOSINGS)}"


def _open(text: str, rng: Random) -> str:
    return rng.choice(OPENINGS) + ("\n" if "\n" in text else " ") + text


def _padded(text: str, rng: Random) -> str:
    filler = rng.sample(FILLERS, rng.randrange(2, 5))
    before = rng.randrange(len(filler) + 1)
    pieces = [" ".join(filler[:before]), text, " ".join(filler[before:])]
    return "\n".join(piece for piece in pieces if piece)


def _nothing_right(task: Task, rng: Random) -> str:
    match _draw(TOPIC_DEFECTS, rng):
        case "talk":
            return rng.choice(TALK).format(topic=TOPICS[task.kind])
        case "echo":
            return rng.choice(ECHOES).format(instruction=task.instruction)
        case _:
            return _solution(task, len(task.values), rng)


def _partly_right(task: Task, rating: int, rng: Random) -> str:
    total = len(task.values)
    right = right_parts(total, rating)
    defect = _draw(MIDDLE_DEFECTS, rng)
    if defect == "wrong":
        text = _solution(task, total - right, rng)
    else:
        style = pick_style(task, rng)
        parts = write_parts(task, with_errors(task, 0, rng), style)
        if task.free_order:
            rng.shuffle(parts)
        if defect == "dropped":
            keep = sorted(rng.sample(range(total), right))
            text = lay_out([parts[place] for place in keep], style)
        else:
            begun = parts[right]
            shown = begun[: rng.randrange(len(begun))]
            text = lay_out([*parts[:right], shown], style, finished=False)
    return _open(text, rng) if rng.random() < 0.2 else text


def _draw(weights: dict[str, int], rng: Random) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]
