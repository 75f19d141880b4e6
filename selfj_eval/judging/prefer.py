"""Which of two answers is better: a judge that is shown both, in both orders."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from selfj_eval.engines.options import JudgeOptions
from selfj_eval.errors import DataError, StoreError, printable
from selfj_eval.jobs.options import Options, PathLike, keywords, like, option
from selfj_eval.jobs.progress import Watch, steps
from selfj_eval.records.options import ReadOptions
from selfj_eval.records.writing import TableOptions

if TYPE_CHECKING:
    from selfj_eval.judging.pair_ways import Asked, Cost, Verdict
    from selfj_eval.judging.preferences import Preferences
    from selfj_eval.records.notices import Notices
    from selfj_eval.records.pairs import Pair, PairJudgment


@dataclass(frozen=True, kw_only=True)
class PreferOptions(JudgeOptions, TableOptions):
    """How answers are compared."""

    group_title: ClassVar[str] = Options.group_title

    judge: str | Path | Any = option(  # Any: a PairJudge, whose module takes long to load
        help="small-base, a model folder, a GGUF file, a hub id, or, with engine openai, a "
        "model's name on a server",
        placeholder="JUDGE",
    )
    template: str | None = option(
        None,
        "prompt template for two answers: pairwise, or a .yaml file of your own (docs/pairs.md; "
        "default: pairwise)",
    )
    pointwise: str | None = option(
        None,
        "also rate each answer alone, with the same judge and this template (such as chat or "
        "self-j), and compare the two methods",
        placeholder="TEMPLATE",
    )
    output: PathLike | None = option(
        None, "file with one row per pair: .jsonl, .json, .csv or .parquet", placeholder="FILE"
    )
    reference: bool = option(
        True, "show the judge the reference of the pairs that have one (default: yes)"
    )
    store: PathLike | None = option(
        None, "file that keeps judgments (default: beside the output)", placeholder="FILE"
    )
    limit: int | None = option(None, "only the first N pairs", low=1)
    fields: dict[str, str] = option(
        {},
        "the field FIELD of a pair, such as response_a, is called NAME in the file; write A.B for "
        "a field B inside A; may be repeated",
        placeholder="FIELD=NAME",
    )
    encoding: str | None = like(ReadOptions, "encoding")
    layout: str | None = like(ReadOptions, "layout")
    confidence: float = option(0.95, "confidence level of intervals", placeholder="C")
    resamples: int = option(1000, "how many resamples the bootstrap draws", low=20, high=1_000_000)
    seed: int = option(0, "seed of the bootstrap", low=0)
    progress: Watch = option(False, internal=True)

    def check(self) -> None:
        """Refuse what does not go together."""
        super().check()
        self.need_share("confidence")
        if self.pointwise is not None and not isinstance(self.judge, str | Path):
            raise DataError("`pointwise` needs the name of a judge, not a loaded judge.")


def prefer_answers(
    pairs: str | Path | Iterable[Pair] | Iterable[Mapping[str, Any]], options: PreferOptions
) -> Preferences:
    """Have a judge say which of two answers is better.

    Each pair is judged in both orders; the preference is the mean. Every finished judgment is kept
    in a store beside the output. After an interruption, make the same call again to continue.

    Args:
        pairs: A file of pairs, here or on the hub (``hf://datasets/OWNER/NAME[@REVISION]/PATH``), a
            pair set of judge_bench, such as ``llmbar``, or pairs in memory.

    Raises:
        DataError: If something is not a pair, before anything is judged.
        JudgeError: If the judge cannot be loaded whole and safely, or the template does not fit.
        StoreError: If a file cannot be written.
    """
    from selfj_eval.files.atomic import run_file, write_json
    from selfj_eval.judging.pair_ways import Bootstrapped, Verdict, ways_of
    from selfj_eval.judging.preferences import Preferences, rows_of
    from selfj_eval.prompts.templates import get_template
    from selfj_eval.raters.judge import Judge
    from selfj_eval.raters.pair_judge import bias_of
    from selfj_eval.records.notices import Notices
    from selfj_eval.records.writing import write_rows

    if options.pointwise is not None:  # before anything is judged
        Judge.check_kind(get_template(options.pointwise))
    source = _source(pairs)
    output, store = _files(source, options)
    notices = Notices()
    found = _read(pairs if source is None else source, options, notices)[: options.limit]
    judgments, cost, run, usage = _compared(found, source, store, options)
    verdicts = [Verdict.of_pair(own) for own in judgments]
    asked: list[Asked] = [(str(run["judge"]["template"]), verdicts, cost)]
    alone = None
    if options.pointwise is not None:
        gc.collect()  # the weights, before they are loaded for the other template
        alone, cost, more = _rated(found, store, options)
        usage = {name: value + more.get(name, 0) for name, value in usage.items()}
        asked.append((options.pointwise, alone, cost))
    settings = Bootstrapped(options.confidence, options.resamples, options.seed)
    (pairwise, *others), difference = ways_of(found, asked, settings)
    rows = rows_of(found, judgments, alone)
    if output is not None:
        write_rows(output, rows, safe_csv=options.safe_csv)
        write_json(run_file(output), run)
    wins = Counter(own.winner for own in judgments)
    return Preferences(
        pairs=len(found),
        labelled=sum(pair.label is not None for pair in found),
        instructions=len({pair.question for pair in found}),
        wins={name: wins[name] for name in ("A", "tie", "B")},
        pairwise=pairwise,
        position_bias=bias_of(judgments),
        pointwise=others[0] if others else None,
        difference=difference,
        errors=[
            f"{pair.id}: {own.error}"
            for given in (verdicts, alone or ())
            for pair, own in zip(found, given, strict=False)
            if own.error
        ],
        output=None if output is None else printable(output),
        usage=dict(usage),
        notices=tuple(notices.sentences()),
        run=run,
        judgments=tuple(judgments),
        _rows=rows,
    )


prefer = keywords(prefer_answers, PreferOptions)


def _source(pairs: object) -> Path | None:
    """The file of pairs, fetched where it is on the hub; None of what is in memory."""
    from selfj_eval.records.hub import local_file
    from selfj_eval.registry.named import judge_bench_file

    if not isinstance(pairs, str | Path):
        return None
    return judge_bench_file(pairs, "pairwise") or local_file(pairs)


def _files(source: Path | None, options: PreferOptions) -> tuple[Path | None, Path | None]:
    """Output and store, once it is sure that neither writes over anything that is read."""
    from selfj_eval.files.atomic import check_output

    output = None
    if options.output is not None:
        output = check_output(options.output, inputs=() if source is None else (source,))
    options.check_csv(output)
    beside = None if output is None else f"{output}.store"
    store = None if (named := options.store or beside) is None else Path(named)
    taken = {file.resolve() for file in (source, output) if file is not None}
    if store is not None and store.resolve() in taken:
        raise StoreError(
            f"the store {store} must be another file than the pairs {source} and the output "
            f"{output}; name another `store`."
        )
    return output, store


def _read(given: Any, options: PreferOptions, notices: Notices) -> list[Pair]:
    from selfj_eval.records.pairs import pairs_in_memory, read_pairs

    how = ReadOptions(fields=options.fields, encoding=options.encoding, layout=options.layout)
    if not isinstance(given, Path):
        return pairs_in_memory(given, options=how, notices=notices)
    return read_pairs(given, options=how, notices=notices)


def _compared(
    pairs: Sequence[Pair], source: Path | None, store: Path | None, options: PreferOptions
) -> tuple[list[PairJudgment], Cost, dict[str, Any], Mapping[str, float]]:
    """Both answers in one prompt: judgments, cost, how they were made, and a server's count."""
    from selfj_eval.files.hashes import sha256_of
    from selfj_eval.jobs.provenance import provenance
    from selfj_eval.judging.pair_ways import together
    from selfj_eval.judging.score import PACKAGES, usage_of
    from selfj_eval.raters.pair_judge import opened_pairwise

    how, reference = options.part(JudgeOptions), options.reference
    with (
        opened_pairwise(options.judge, how, reference=reference, store=store) as judge,
        steps(options.progress, len(pairs), "judged", "pair") as progress,
    ):
        judgments, cost = together(judge, pairs, progress)
        named = isinstance(options.judge, str | Path)
        about = {
            "model": str(options.judge) if named else None,
            "revision": options.revision,
            "adapter": options.adapter,
            **judge.description,
        }
    run = {"judge": about, "input": None, **provenance(*PACKAGES)}
    if source is not None:
        run |= {"input": printable(source), "input_sha256": sha256_of(source)}
    return judgments, cost, run, usage_of(judge)


def _rated(
    pairs: Sequence[Pair], store: Path | None, options: PreferOptions
) -> tuple[list[Verdict], Cost, Mapping[str, float]]:
    """Each answer alone."""
    from selfj_eval.judging.pair_ways import alone
    from selfj_eval.judging.score import usage_of
    from selfj_eval.raters.open_rater import opened

    how = options.part(JudgeOptions).with_values(template=options.pointwise)
    with (
        opened(str(options.judge), how, reference=options.reference, store=store) as rater,
        steps(options.progress, 2 * len(pairs), "judged alone", "answer") as progress,
    ):
        return *alone(rater, pairs, progress), usage_of(rater)
