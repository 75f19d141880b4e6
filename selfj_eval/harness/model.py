"""lm-eval's model ``selfj``: the judge tasks of lm-eval on this package's own scorer."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import lm_eval.models  # noqa: F401  # fills the registry, which lm-eval does only while it is empty
import numpy as np
import numpy.typing as npt
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM, CacheHook, TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.utils import simple_parse_args_string
from tqdm import tqdm

from selfj_eval.engines.base import Batch
from selfj_eval.engines.models.text_encoder import TextEncoder, fill_template
from selfj_eval.engines.models.tokenizer import load_tokenizer
from selfj_eval.engines.models.weights import model_folders, resolve_folder
from selfj_eval.engines.open_engine import open_backend
from selfj_eval.engines.options import ENGINES, JudgeOptions
from selfj_eval.errors import JudgeError, shown
from selfj_eval.harness.answer_cache import claim
from selfj_eval.harness.chat import check_digits, frame_of, framed, without_bos
from selfj_eval.jobs.options import OptionError
from selfj_eval.prompts.labels import DIGITS
from selfj_eval.prompts.templates import DEFAULT_TEMPLATE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

_WINDOW = 4096  # prompts that are tokenized and sorted together
_NO_DEVICE = "cuda:0"  # what lm_eval's command says when it is told no device

Answer = tuple[float, bool]


@register_model("selfj")
class SelfJLM(LM):  # type: ignore[misc]
    """A judge as an lm-eval model: log-probabilities of the digits "0".."9" after a prompt.

    Answers the requests of ``selfj_judge_*`` and ``selfj_pair_*``, ten to a prompt, from one
    forward pass a distinct prompt. It does not generate, and scores no other continuation.

    The second value of an answer, lm-eval's ``is_greedy``, says whether greedy decoding would
    give the digit. Only the ten digits are known here, so it is True where that is certain:
    the digit is the likeliest of the ten and likelier than all that is not a digit together.
    Stock models also say True where it is not certain. No task of this package reads it.

    Args:
        pretrained: ``demo``, a model folder or GGUF file, a hub id, or with ``openai`` the name at
            the server.
        adapter: Folder or hub id of a LoRA adapter; ``peft``, as the stock ``hf`` model calls
            it, means the same.
        revision: Branch, tag or commit of the judge on the hub.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ... ``cuda:0``, lm_eval's own default,
            means ``auto`` where there is no CUDA, and for the other engines.
        batch_tokens: Tokens a batch (transformers).
        engine: ``transformers``, ``vllm`` or ``openai``.
        max_length: Longest prompt in tokens; by default the judge's own limit. The tasks trim
            to it.
        trust_remote_code: Whether to run Python code that comes with the model.
        batch_size, max_batch_size: lm-eval gives them; they mean nothing here.
        **engine_args: Arguments of the engine's own, for vllm and openai.

    Raises:
        JudgeError: If an argument is unknown or wrong, or the judge cannot be loaded.
    """

    chat_template = TemplateLM.chat_template  # chosen as the stock models choose it
    claims_answer_cache = True

    def __init__(
        self,
        pretrained: str | None = None,
        *,
        adapter: str | None = None,
        peft: str | None = None,
        revision: str | None = None,
        dtype: str | None = "auto",
        device: str | None = None,
        batch_tokens: int | None = None,
        engine: str = "transformers",
        max_length: int | None = None,
        trust_remote_code: bool = False,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        **engine_args: Any,
    ) -> None:
        super().__init__()
        if pretrained is None:
            raise JudgeError(
                "the model selfj needs a judge: the model argument `pretrained` (a folder, a hub "
                "id such as oceanpty/Self-J, or demo)."
            )
        if engine == "transformers" and engine_args:
            raise JudgeError(
                f"the model selfj has no argument {', '.join(sorted(engine_args))}; there are: "
                "pretrained, adapter (or peft), revision, dtype, device, batch_tokens, engine, "
                f"max_length, trust_remote_code. Engines are {', '.join(ENGINES)}; the last two "
                "take arguments of their own."
            )
        if adapter is not None and peft is not None:
            raise JudgeError("adapter and peft mean the same; give only one of them.")
        if str(batch_size or 1) != "1" or max_batch_size is not None:
            logger.warning("The model selfj forms its own batches: `batch_size` is not used.")
        self._name, self._engine, self._engine_args = str(pretrained), engine, engine_args
        self._code, self._adapter = trust_remote_code, peft if adapter is None else adapter
        self._revision = None if revision is None else str(revision)
        options = _options(
            engine=engine,
            engine_args=engine_args,
            adapter=self._adapter,
            revision=self._revision,
            dtype="auto" if dtype is None else dtype,
            device=_device(device, engine),
            batch_tokens=batch_tokens,
            max_tokens=max_length,
            trust_remote_code=trust_remote_code,
        )
        self.backend = open_backend(self._name, options)
        if self.backend.template.name != DEFAULT_TEMPLATE:
            raise JudgeError(
                f"{pretrained} is an encoder judge: it judges in selfj score, not in lm-eval."
            )
        limit = self.backend.max_tokens
        self.max_length = limit if max_length is None else max_length
        if self.max_length > limit:
            raise JudgeError(
                f"the model argument `max_length` must be at most {limit} for this judge, got "
                f"{max_length}."
            )

    @classmethod
    def create_from_arg_string(
        cls, arg_string: str, additional_config: Mapping[str, Any] | None = None
    ) -> SelfJLM:
        """lm-eval's hook: a model from ``name=value,name=value``."""
        return cls.create_from_arg_obj(simple_parse_args_string(arg_string), additional_config)

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: Mapping[str, Any], additional_config: Mapping[str, Any] | None = None
    ) -> SelfJLM:
        """lm-eval's hook: a model from a mapping, which goes before lm-eval's own options."""
        return cls(**{**(additional_config or {}), **arg_dict})

    def set_cache_hook(self, cache_hook: CacheHook) -> None:
        """lm-eval's hook: answers are kept in the file ``use_cache``, which must be this judge's.

        Raises:
            JudgeError: If it holds another judge's.
        """
        if cache_hook.dbdict is not None:
            claim(cache_hook.dbdict, self.backend.identity)
        super().set_cache_hook(cache_hook)

    def loglikelihood(
        self, requests: Sequence[Instance], disable_tqdm: bool = False
    ) -> list[Answer]:
        """Log-probability of each request's digit after its prompt, and whether it is greedy.

        Args:
            requests: Instances whose ``args`` are (prompt, digit).
            disable_tqdm: Show no progress bar.

        Returns:
            One pair a request. The log-probability is in the softmax over the whole vocabulary;
            NaN for a prompt that could not be scored, with the reason in the log.

        Raises:
            JudgeError: If a request is not of that form, or a prompt does not fit. Nothing
                has been scored then.
        """
        waiting: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            prompt, continuation = request.args
            if not prompt or continuation not in DIGITS:
                what = f"the likelihood of {continuation!r} after {prompt[-20:]!r}"
                self._refuse(request, what)
            waiting.setdefault(prompt, []).append(index)
        groups = list(waiting.values())
        texts = list(waiting)
        if self.tokenizer is not None:
            texts = [without_bos(self.tokenizer, text, self._name) for text in self._read(texts)]
        self._check(texts, [requests[group[0]] for group in groups])
        answers: dict[int, Answer] = {}
        description = "Running loglikelihood requests"
        with tqdm(total=len(requests), desc=description, disable=disable_tqdm) as bar:
            for batch in self._batches(texts):
                for at, reason in batch.reasons.items():
                    first = requests[groups[at][0]]
                    where = f"{first.task_name}, document {first.doc_id}"
                    logger.warning("%s: no score from the judge: %s", shown(where), shown(reason))
                for at, row in zip(batch.indices, batch.log_probabilities, strict=True):
                    greedy = _certainly_greedy(row)
                    for index in groups[at]:
                        digit = int(requests[index].args[1])
                        answers[index] = (float(row[digit]), digit == greedy)
                        if not np.isnan(row[digit]):  # is tried again by the next run
                            self.cache_hook.add_partial(
                                "loglikelihood", requests[index].args, answers[index]
                            )
                    bar.update(len(groups[at]))
        return [answers[index] for index in range(len(requests))]

    def loglikelihood_rolling(
        self, requests: Sequence[Instance], disable_tqdm: bool = False
    ) -> NoReturn:
        """Not what a judge does; raises ``JudgeError``."""
        self._refuse(requests[0], "the likelihood of a whole text")

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> NoReturn:
        """Not what a judge does; raises ``JudgeError``."""
        self._refuse(requests[0], "generated text")

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """The judge's tokenizer; None for a server whose tokenizer is not named."""
        name = self._engine_args.get("tokenizer")
        if name is None and self._engine == "openai":
            return None
        own = None
        if name is None and self._adapter is not None:  # which may have a tokenizer of its own
            folders = model_folders(
                self._name, self._adapter, revision=self._revision, code=self._code
            )
            own = folders.tokenizer
        name, revision = (name, None) if name else (self._name, self._revision)
        folder = resolve_folder(name, revision=revision, code=self._code, weights=False)
        return load_tokenizer(folder, name, self._code, own)[1]

    @property
    def tokenizer_name(self) -> str:
        """lm-eval's hook: names chat-templated prompts in its cache of requests."""
        return str(getattr(self.tokenizer, "name_or_path", self._name)).replace("/", "__")

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The messages in the tokenizer's chat template.

        Raises:
            JudgeError: If there is none, or it does not take the messages.
        """
        if self.tokenizer is None:
            raise JudgeError("no chat template: give the model argument `tokenizer`.")
        try:
            return fill_template(
                self.tokenizer,
                chat_history,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
        except JudgeError as error:  # no template, or whatever its code raises
            raise JudgeError(f"{self._name}: {error}") from error

    def get_model_info(self) -> dict[str, Any]:
        """lm-eval's hook: which judge it was, for the results file."""
        return {
            "model_dtype": self.backend.identity.get("dtype"),
            "model_revision": self._revision,
            "selfj_engine": self._engine,
            "selfj_judge_used": dict(self.backend.identity),
            "selfj_usage": dict(self.backend.usage),
        }

    def _read(self, texts: Sequence[str]) -> list[str]:
        """The prompts, those in the chat template as what they are: it writes special tokens.

        In all else special tokens are text. A server gets the text, and reads it as it does.
        """
        if self.tokenizer is None or self._engine == "openai" or not self.tokenizer.chat_template:
            return list(texts)
        encoder, frame = TextEncoder(self.tokenizer), frame_of(self.apply_chat_template)
        return [framed(encoder, frame, text) for text in texts]

    def _batches(self, texts: Sequence[str]) -> Iterator[Batch]:
        """Scores of all texts; positions are those in ``texts``."""
        for start in range(0, len(texts), _WINDOW):
            for batch in self.backend.score(texts[start : start + _WINDOW]):
                indices = [start + i for i in batch.indices]
                reasons = {start + i: reason for i, reason in batch.reasons.items()}
                yield Batch(indices, batch.log_probabilities, reasons)

    def _check(self, texts: Sequence[str], requests: Sequence[Instance]) -> None:
        """Refuse prompts that are too long, or after which a digit is another token."""
        for text, request in zip(texts, requests, strict=True):
            length = len(self.backend.tokenize(text))
            if length > self.max_length:
                raise JudgeError(
                    f"{request.task_name}, document {request.doc_id}: a prompt of {length} "
                    f"tokens, but the judge takes {self.max_length}. The tasks trim prompts to "
                    "what they are told, with the tokenizer that they are told: give the model "
                    f"argument `max_length` {self.max_length}, or in lm-eval's `metadata` "
                    f'{{"selfj_max_tokens": {self.max_length}, "selfj_tokenizer": "..."}}.'
                )
        if self.tokenizer is not None:
            check_digits(self.tokenizer, texts, self._name)

    def _refuse(self, request: Instance, what: str) -> NoReturn:
        raise JudgeError(
            f"{request.task_name} asks for {what}. The model selfj is for the judge tasks "
            "(selfj_judge_*, selfj_pair_*): it gives only the likelihoods of the ten digits "
            "after a prompt, not those of a template's own labels. Use lm-eval's model hf for "
            "this task."
        )


def _certainly_greedy(row: npt.NDArray[np.float64]) -> int | None:
    """The digit that is likelier than any other token, or None where that is not certain."""
    p = np.exp(row)
    top = int(p.argmax())
    return top if p[top] > 1 - p.sum() else None


def _device(given: str | None, engine: str) -> str:
    if given is None:
        return "auto"
    if given == _NO_DEVICE:
        if engine != "transformers":
            return "auto"
        import torch

        return given if torch.cuda.is_available() else "auto"
    return str(given)


def _options(**values: Any) -> JudgeOptions:
    """The judge's options; an error names lm-eval's argument."""
    try:
        return JudgeOptions(**values)
    except OptionError as error:
        name = "max_length" if error.name == "max_tokens" else error.name
        raise JudgeError(f"the model argument `{name}` {error.expected}") from error
