"""AlpacaEval's own metrics and annotators, called as they are; the one place that imports it.

Only the requests of its annotators are ours (``annotating``).
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from selfj_eval.alpaca.annotating import Completions
from selfj_eval.errors import JudgeError, brief
from selfj_eval.registry.alpaca_pack import ANNOTATORS, EvaluationSet, ModelAnswers

_CHUNK = 10  # comparisons after which AlpacaEval keeps what it has


class Annotation(TypedDict):
    """One comparison in AlpacaEval's own fields.

    ``output_1`` and ``generator_1`` are the baseline's, ``output_2`` and ``generator_2`` the
    model's; ``index`` is the instruction's position in the official order. What is unscored has the
    preference None, and a stored preference may be about an output that is not stored. GPT-4's
    annotators give no scores. A judge that is shown both answers says of each order the probability
    that the model's is better.
    """

    index: int
    instruction: str
    output_1: str | None
    generator_1: str
    output_2: str | None
    generator_2: str
    annotator: str
    score_1: NotRequired[float | None]
    score_2: NotRequired[float | None]
    model_shown_first: NotRequired[float | None]
    baseline_shown_first: NotRequired[float | None]
    preference: float | None


def alpaca_eval() -> Any:
    """The package, whose import changes the root logger and warns of its own use of setuptools.

    Raises:
        JudgeError: If it is not installed or cannot be imported, with what to do.
    """
    root = logging.getLogger()
    level = root.level
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import alpaca_eval as package
            import alpaca_eval.annotators
            import alpaca_eval.metrics.glm_winrate
    except ImportError as error:
        raise JudgeError(
            f"AlpacaEval cannot be imported ({brief(error)}). Install the extra: "
            "pip install -c constraints.txt 'selfj-eval[alpaca]' (it keeps setuptools below 82, "
            "which AlpacaEval 0.6.6 needs)."
        ) from error
    finally:
        root.setLevel(level)
    return package


def win_rate(annotations: Sequence[Annotation]) -> dict[str, float | int]:
    """AlpacaEval's ``get_winrate``.

    Returns:
        ``win_rate``, ``standard_error`` and ``discrete_win_rate`` in percent, and counts;
        ``n_total`` counts the rows that have a preference. A value that is undefined, such as
        the standard error of one row, is left out.
    """
    return _plain(alpaca_eval().metrics.get_winrate(_frame(annotations)))


def length_controlled(
    annotations: Sequence[Annotation], gamed: Path, *, of: int
) -> dict[str, float | int] | str:
    """AlpacaEval's ``get_length_controlled_winrate``, offline, writing nothing.

    Dubois et al. 2024, "Length-controlled AlpacaEval" (arXiv 2404.04475), as coded in 0.6.6.

    Args:
        annotations: All rows of one model. Their ``index`` places an instruction; AlpacaEval
            itself goes by the row, which is the same when none is missing.
        gamed: Its file ``df_gamed.csv``.
        of: How many instructions the evaluation set has. On less than 90 % of them there is no
            length control: it is fitted for the whole set.

    Returns:
        The numbers of ``win_rate`` with ``length_controlled_winrate`` and ``lc_standard_error``;
        or the reason why there is no length-controlled win rate.
    """
    import sklearn

    frame = _frame(annotations).set_index("index")
    frame.index.name = None
    n = int(frame["preference"].notna().sum())
    if n < 0.9 * of:
        return f"made for the whole set, and there are preferences for {n} of {of} instructions"
    itself = frame["generator_1"].iloc[0] == frame["generator_2"].iloc[0]  # 50, unfitted
    if not itself and (frame["output_1"].str.len() - frame["output_2"].str.len()).std() == 0:
        return "all answers differ from the baseline's by the same length"
    module = alpaca_eval().metrics.glm_winrate
    download, level = module.hf_hub_download, logging.getLogger().level
    module.hf_hub_download = lambda **_: str(gamed)
    try:
        # AlpacaEval switches scikit-learn's metadata routing on for good.
        with sklearn.config_context(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = module.get_length_controlled_winrate(
                frame, save_weights_dir=None, is_warn_extreme_changes=False
            )
    except ValueError as error:
        return f"AlpacaEval's regression failed: {brief(error)}"
    finally:
        module.hf_hub_download = download
        logging.getLogger().setLevel(level)
    return _plain(found)


def annotate_with_gpt4(
    version: str,
    instructions: EvaluationSet,
    baseline: ModelAnswers,
    model: ModelAnswers,
    *,
    cache: Path,
) -> list[Annotation]:
    """Annotate with AlpacaEval's own GPT-4 annotator of a version.

    It speaks to OpenAI, or to what ``OPENAI_BASE_URL`` names, with ``OPENAI_API_KEY``.

    Args:
        version: ``v1`` or ``v2``.
        instructions, baseline, model: What to compare.
        cache: File of AlpacaEval's cache: what is in it is not asked again.

    Returns:
        AlpacaEval's annotations with their ``index``; ``preference`` is None where the
        annotator's answer could not be read.

    Raises:
        JudgeError: If the endpoint cannot be used; what was annotated is in the cache.
    """
    package = alpaca_eval()
    root, own = logging.getLogger(), logging.getLogger("selfj_eval")
    level, own_level = root.level, own.level
    own.setLevel(own.getEffectiveLevel())
    root.setLevel(logging.CRITICAL)  # it prints what it cannot read of each reply
    try:
        annotator = _annotator(package)(annotators_config=ANNOTATORS[version], caching_path=cache)
        most = int(package.constants.OPENAI_MAX_CONCURRENCY)
        ask = Completions(package.utils.prompt_to_chatml, concurrency=most)
        for single in annotator.annotators.values():
            single.fn_completions = ask
        rows = annotator.annotate_head2head(
            outputs_1=_outputs(instructions, baseline),
            outputs_2=_outputs(instructions, model),
            chunksize=_CHUNK,
        )
    except Exception as error:  # whatever a reply makes it raise
        raise JudgeError(
            f"the annotator {ANNOTATORS[version]} failed: {brief(error).rstrip('.')}. Check "
            "OPENAI_API_KEY and OPENAI_BASE_URL (unset: OpenAI's own). What was annotated, but "
            f"for the last {_CHUNK} at most, is kept in {cache}: run it again to continue."
        ) from error
    finally:
        root.setLevel(level)
        own.setLevel(own_level)
    position = {text: k for k, text in enumerate(instructions.instructions)}
    found: list[Annotation] = []
    for row in rows:
        value = row.get("preference")
        readable = value is not None and value == value and 1 <= value <= 2
        found.append(
            {
                "instruction": row["instruction"],
                "output_1": row["output_1"],
                "output_2": row["output_2"],
                "annotator": row["annotator"],
                "generator_1": baseline.model,
                "generator_2": model.model,
                "index": position[row["instruction"]],
                "preference": float(value) if readable else None,
            }
        )
    return found


def _annotator(package: Any) -> Any:
    """AlpacaEval's annotator, with a cache that survives a kill and a second run.

    It writes its cache in place, and pandas 3 cannot extend one of nothing but whole numbers.
    """

    class Annotator(package.annotators.PairwiseAnnotator):  # type: ignore[misc]
        df_annotations: Any

        def load_(self, path: Any = None) -> None:
            super().load_(path)
            if self.df_annotations is not None:  # none is kept yet
                key = self.annotation_key
                self.df_annotations = self.df_annotations.astype({key: float})

        def save(self, path: Any = None) -> None:
            final = Path(path or self.caching_path)
            partial = final.with_name(f".{final.name}.{os.getpid()}.tmp")
            try:
                super().save(partial)
                partial.replace(final)
            finally:
                partial.unlink(missing_ok=True)

    return Annotator


def _outputs(instructions: EvaluationSet, answers: ModelAnswers) -> list[dict[str, str]]:
    pairs = zip(instructions.instructions, answers.outputs, strict=True)
    return [
        {"instruction": text, "output": output, "generator": answers.model}
        for text, output in pairs
        if output is not None
    ]


def _frame(annotations: Sequence[Annotation]) -> Any:
    import pandas as pd

    frame = pd.DataFrame.from_records(list(annotations))
    return frame.assign(preference=frame["preference"].astype(float))


def _plain(numbers: Mapping[str, Any]) -> dict[str, float | int]:
    """Numbers of Python, without those that are NaN."""
    plain = {k: v.item() if hasattr(v, "item") else v for k, v in numbers.items()}
    return {k: v for k, v in plain.items() if v == v}
