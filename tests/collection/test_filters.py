"""What the filters of the instruction collection keep and drop."""

# ruff: noqa: RUF001 - the texts are meant as they stand here
from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from selfj_eval.collection.filters import Step, dropped_by, steps
from selfj_eval.collection.options import FilterOptions
from selfj_eval.errors import DataError

pytest.importorskip("py3langid", reason="the extra collect is not installed")
STEPS = steps()
BY_NAME = {step.name: step for step in STEPS}

# By step: texts that it drops, and texts near to them that all steps keep.
DROPPED = {
    "too_short": [
        "",
        "    \n\t      \n   ",
        "Hello!",
        "pliers",
        "Truthfulness",
        "Video cameras",
        "kitchen towel",
        "supercalifragilistic",
        "2 + 2 = ?",
    ],
    "too_long": [
        "Summarise this report. " + "The council met on Tuesday and put it off. " * 100,
        "word " * 1025,
        "a " * 600 + "b " * 600,
        "Translate into French:" + " The cat sat." * 320,
        "x = [" + "1, " * 520 + "]  # how do I sort this list?",
        "Why does this fail?\n" + "foo(bar(baz()));\n" * 200,
        "Guess the key: " + "y" * 4001,
        "What is the meaning of " + "really " * 1100 + "long questions?",
    ],
    "broken_encoding": [
        "Why did they say it isn\ufffdt allowed to park here?",
        "Could the new law raise up to Â£1m a year for the health service?",
        "What does Beyoncâ€™s new song mean to you all?",
        "How long is the flight from ZÃ¼rich to New York?",
        "Is it 30Â°C in Cairo at this time of the year?",
        "Why do people use ðŸ˜€ in their messages so often?",
        "Explain the word Ð¿Ñ€Ð¸Ð²ÐµÑ‚ to a beginner.",
        "How do I get over guilt\x7f?",
        "Solve the equation \x0crac{1}{2}x = \x07lpha for x.",
        "What is the capital\x85 of Peru, and why is it not Cusco?",
        "Who wrote this \ud83d sonnet about the sea?",
        "ï»¿What is the tallest building in the world?",
    ],
    "boilerplate": [
        "[deleted].",
        "[ removed ]",
        "* [deleted] *",
        "This post has been removed by the moderators.",
        "This question was closed as off topic.",
        "This video is unavailable.",
        "404: Not Found",
        "403 - Forbidden.",
        "Click here to subscribe to our weekly news",
        "Sign up for our newsletter and never miss a sale again.",
        "This website uses cookies to ensure you get the best experience.",
        "We use cookies to improve your experience. Accept all.",
        "You must be logged in to view this content.",
        "Please log in or register to post a reply.",
        "Please enable JavaScript to continue using this application.",
        "You need to enable JavaScript to run this app.",
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
        "© 2012 Example Media Ltd. All rights reserved.",
    ],
    "mostly_links": [
        "https://www.example.com/blog/cycling/ultimate-guide-to-your-weight",
        "See http://example.org/questions/12345/how-to-sort-a-list-in-python",
        "www.example.com/a/b/c and www.example.com/d/e/f",
        "Summarise: https://example.com/2021/11/a-very-long-report-on-the-economy.pdf",
        "ftp://files.example.org/pub/releases/latest/readme.txt please",
        "check this https://youtu.be/abcdefghijk?t=120 (and this https://youtu.be/lmnopqrstuv)",
        "<https://example.net/one/two/three> <https://example.net/four>",
        "HTTPS://EXAMPLE.COM/SHOP/SALE?ID=123456789 BUY NOW",
    ],
    "mostly_symbols": [
        "++++[>++++<-]>+++.---.+++++++..+++.",
        "1234 5678 9012 3456 7890 1234",
        "-------------------------- x --------------------------",
        "!!! ??? !!! ??? !!! ok",
        "$57.72 B 21.02 % $47.70 B -29.6 % $67.76 B 3.98 %",
        "2022-10-01 00:00:00\n2022-11-01 00:00:00\n2022-12-01 00:00:00",
        "☺☺☺☺☺☺ ★★★★★★ ♥♥♥♥♥♥ hi",
        "(555) 123-4567 / (555) 765-4321 ext. 12",
        "┌────────┬────────┐ │ a      │ b      │ └────────┴────────┘",
    ],
    "no_instruction": [
        "Hello, how are you today?",
        "hi there, how are you?",
        "Good morning everyone!",
        "Thank you so much!!!",
        "Thanks in advance for your help",
        "Please help me!!!",
        "Can anyone please help me with this?",
        "I have a question...",
        "Dear Sir or Madam,",
        "Hi Jonathan!!",
        "Best regards, John Smith",
        "Monday, 3 March 2014",
        "Yes, I do. Do you?",
    ],
    "repeated": [
        "spam spam spam spam spam spam spam spam spam spam",
        "ha ha ha ha ha ha ha ha ha ha ha ha ha",
        "buy now " * 8,
        "what is love " * 10,
        "Pizza, pizza, pizza! PIZZA " + "pizza pizza, " * 6,
        "The quick brown fox.\n" * 12,
        "How do I fix this?\n" + "Traceback: something went badly wrong here\n" * 9,
        "Best shoes online shop.\nCheap shoes online shop.\n" * 6,
        "la la la la la la la, la la la. la la la la la la",
    ],
    "language": [
        "Comment peut-on faire une bonne tarte aux pommes ?",
        "Traduce del inglés al castellano este párrafo, por favor",
        "Wer oder was ist mit diesem Satz eigentlich gemeint?",
        "Qual é a melhor maneira de aprender a tocar violão?",
        "Genera un formulario en JavaScript y html para el login",
        "Schreibe ein Programm in Python, das eine Liste sortiert.",
        "Qual è il fiume più lungo che attraversa la Lombardia?",
        "Jaka jest najdłuższa rzeka w Polsce i dokąd płynie?",
        "Напиши функцию на Python, которая сортирует список.",
        "如何 用 Python 写 一个 排序 函数 ？ 请 给出 例子",
        "كيف يمكنني تعلم البرمجة في المنزل؟",
        "Bagaimana cara membuat kue yang enak di rumah sendiri?",
    ],
}  # fmt: skip
KEPT = {
    "too_short": [
        "Peel a banana.",
        "What is pi?",
        "define the lupus",
        "tobira stock price",
        "f(x) = 2x^2, f(4)?",
        "Is Zeus a Titan",
        "Why no snow?",
        "C# vs Java",
    ],
    "too_long": [
        "Summarise this report on a test. " + " ".join(f"It has item{n}x." for n in range(200)),
        "word number what? " + " ".join(f"item{n}" for n in range(400)),
        "x" * 3000 + " is how long a word? Count the letters of it, please.",
    ],
    "broken_encoding": [
        "Why does “naïve café” keep its accents – and “resume” not…?",
        "Why does my page show â€™ instead of an apostrophe? It is encoded as UTF-8.",
        "How do I decode Ã© back into an accent in Python (charset latin-1)?",
        "What is 30 °C in °F, and is £1 more than €1?",
        "Add an emoji to this sentence 😀: I love pizza 🍕",
        "Format this table:\n\tname\tage\r\n\tAnn\t7",
        "Is SÃO PAULO larger than RIO DE JANEIRO in area?",
        "Was the poet Ángel González from Oviedo?",
    ],
    "boilerplate": [
        "How do I remove a deleted post from the cache?",
        "404 Not Found error when deploying Django on nginx",
        "Access denied for user 'root'@'localhost' (using password: YES)",
        "Click here to subscribe: how do I write a better button text?",
        "This site uses cookies. Is that legal without asking visitors?",
        "Write a cookie notice for my web site that uses cookies.",
        "Lorem ipsum dolor sit amet - what does this text mean?",
        "Enable JavaScript in Chrome on Android",
        "Why was my question closed?",
    ],
    "mostly_links": [
        "Why does http://localhost:8080/ refuse connections from my other computer?",
        "How do I match a URL such as https://example.com/a with a regular expression?",
        "I cannot reach www.example.com from the office. What could be the reason?",
        "What does the protocol part (https://) of an address stand for?",
        "Difference between ftp:// and sftp:// addresses in FileZilla",
        "Parse 'http://a.b/c?d=e' into scheme, host, path and query with Python",
        "git clone https://github.com/a/b fails with a certificate error. Why?",
        "Is www. still needed in front of domain names these days?",
    ],
    "mostly_symbols": [
        "A+B=C, B+C=D,C+D=?",
        "f(x) = 6x^2 - 2* x + 0.4, so f(4) =",
        "Prove $[A,B^n] = nB^{n-1}[A,B]$",
        "What is 12345 * 6789?",
        "def f(a, b): return {k: [v] for k, v in zip(a, b)}  # what is f([1], [2])?",
        "Solve 2x + 4 = 8",
        "SELECT * FROM t WHERE (a = 1) AND (b <> 2); -- why is it slow?",
        "$(\"#a > .b\").on('click', () => {}); does nothing",
    ],
    "no_instruction": [
        "Converting a list to a string in Python",
        "treating tension headaches without medication",
        "Who are you?",
        "Hello World Program",
        "Hello, I am looking for a recipe for bread.",
        "Thanks to whom was the light bulb invented?",
        "Write a thank you note to my teacher",
        "How are you able to understand me?",
        "what is monday named after",
        "Is it okay to have no friends?",
    ],
    "repeated": [
        "What is the rank of [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 1]]?",
        "Say the word hello ten times: hello hello hello hello hello",
        "Why is 'had had had had had had had' in this sentence correct English?",
        "for (;;) {\n  if (a) {\n    b();\n  }\n}\n}\n}\nWhere do I miss a brace?",
        "Row, row, row your boat, gently down the stream. Who wrote this song?",
        "Continue the sequence: 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1",
        "Is it true?\n\n\n\nOr is it false?\n\n\n\nIs it true?",
        "What is the name of the dog that the man that the cat that ran saw saw?",
    ],
    "language": [
        "python pandas groupby apply",
        "RK4 Gravity Simulator",
        "William Jones NPI number",
        "E = mc^2, F = ma, pV = nRT",
        "int main(void) { return printf(\"%d\", 42); }",
        "When was the Hungarian politician János Kádár born?",
        "Translate 'Où est la bibliothèque ?' into English for me.",
        "These are the lyrics (in Portuguese) of a song:\nEsse meu choro não cabe no peito, arde",
        "beamer headline colour theme",
        "What does the Japanese word 木漏れ日 mean?",
        "latin modern vs cm-super",
    ],
}  # fmt: skip


def texts(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(name, text) for name, some in table.items() for text in some]


def test_every_step_has_a_name_a_sentence_and_texts_here() -> None:
    assert [step.name for step in STEPS] == list(BY_NAME)
    assert all(step.drops.endswith(".") and step.drops.count(". ") == 0 for step in STEPS)
    assert set(DROPPED) == set(BY_NAME) and set(KEPT) == set(BY_NAME)


@pytest.mark.parametrize("name, text", texts(DROPPED))
def test_a_text_is_dropped_by_its_step(name: str, text: str) -> None:
    assert BY_NAME[name].dropped(text)
    assert dropped_by(text, STEPS) == name


@pytest.mark.parametrize("name, text", texts(KEPT))
def test_a_text_near_the_line_is_kept_by_all_steps(name: str, text: str) -> None:
    assert dropped_by(text, STEPS) is None


@given(st.text(max_size=200) | st.sampled_from([text for _, text in texts(DROPPED)]))
@example("\ud800")
@example("")
@settings(deadline=None, max_examples=300)
def test_exactly_the_first_step_that_drops_is_named(text: str) -> None:
    drops = [step.name for step in STEPS if step.dropped(text)]
    assert dropped_by(text, STEPS) == (drops[0] if drops else None)


@given(st.text(max_size=40), st.integers(1, 12), st.integers(0, 12))
@settings(deadline=None)
def test_limits_count_tokens_and_characters(text: str, low: int, more: int) -> None:
    # Counted character by character, as the documentation says what a token is.
    tokens, inside = 0, False
    for character in text:
        word = character.isalnum() or character == "_"
        tokens += (word and not inside) or not (word or character.isspace())
        inside = word
    limits = FilterOptions(
        min_tokens=low, max_tokens=low + more, min_characters=0, max_characters=30
    )
    short, long, *_ = steps(limits)
    assert short.dropped(text) == (tokens < low)
    assert long.dropped(text) == (tokens > low + more or len(text) > 30)


def test_limits_are_in_what_a_step_says_it_drops() -> None:
    limits = FilterOptions(
        min_tokens=4,
        max_tokens=99,
        min_characters=17,
        max_characters=1234,
        min_letters=0.35,
        max_links=0.6,
        language="de",
    )
    own = {s.name: s.drops for s in steps(limits)}
    for name, limit in (
        ("too_short", "17 characters or 4 tokens"),
        ("too_long", "1234 characters or 99 tokens"),
        ("mostly_symbols", "35%"),
        ("mostly_links", "60%"),
        ("language", "(de)"),
    ):
        assert limit in own[name]


def test_another_language_can_be_wanted() -> None:
    (language,) = [s for s in steps(FilterOptions(language="fr")) if s.name == "language"]
    assert not language.dropped("Comment peut-on faire une bonne tarte aux pommes ?")
    assert language.dropped("How do I bake a good apple pie in a small oven?")


def test_the_share_of_links_and_letters_can_be_set() -> None:
    strict = {s.name: s for s in steps(FilterOptions(min_letters=0.9, max_links=0.0))}
    assert strict["mostly_symbols"].dropped("Solve 2x + 4 = 8")
    assert strict["mostly_links"].dropped("Why does http://a.b/ fail on my computer?")


@pytest.mark.parametrize(
    "wrong, named",
    [
        ({"min_tokens": 9, "max_tokens": 8}, "`min_tokens` must be at most `max_tokens`, 8, got 9"),
        ({"min_characters": -1}, "min_characters"),
        ({"min_letters": 1.5}, "min_letters"),
        ({"max_links": -0.1}, "max_links"),
        ({"language": "klingon"}, "'klingon' is unknown; there are: .*en, "),
    ],
)
def test_settings_that_no_text_meets_are_refused(wrong: dict, named: str) -> None:
    with pytest.raises(DataError, match=named):
        steps(FilterOptions(**wrong))


def real_instructions(data, names) -> list[str]:
    import pyarrow.parquet as pq

    files = [path for name in names for path in sorted(data.glob(name))]
    columns = [pq.read_table(path, columns=["instruction"])["instruction"] for path in files]
    return list(dict.fromkeys(text for column in columns for text in column.to_pylist()))


def test_real_instructions_are_kept(data) -> None:
    alpaca = real_instructions(data, ["alpaca_eval/instructions.parquet"])
    assert len(alpaca) > 700
    assert all(dropped_by(text, STEPS) is None for text in alpaca)
    others = real_instructions(data, ["judge_bench/p*.parquet"])
    kept = sum(dropped_by(text, STEPS) is None for text in others)
    assert kept >= 0.98 * len(others) > 5000


def test_a_step_can_be_left_out() -> None:
    text = "Comment peut-on faire une bonne tarte aux pommes ?"
    some: list[Step] = [step for step in STEPS if step.name != "language"]
    assert dropped_by(text, some) is None
