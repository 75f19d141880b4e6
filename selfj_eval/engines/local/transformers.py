"""Judging with Hugging Face transformers: one forward pass a batch, no generation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from selfj_eval.engines.base import Batch, longest_first
from selfj_eval.engines.local.batching import Batcher, Rows, Scores, is_memory
from selfj_eval.engines.local.batching import batch_tokens as default_tokens
from selfj_eval.engines.local.cpu_linear import speed_up_checked
from selfj_eval.engines.local.prefix_tree import (
    ATTENTION,
    CPU_PIECE,
    PIECE,
    Nodes,
    Tree,
    pack,
    register,
    tree_batches,
)
from selfj_eval.engines.models.loading import choose_device, choose_dtype, load_model
from selfj_eval.engines.models.tokenizer import JudgeTokenizer
from selfj_eval.engines.models.weights import model_folders
from selfj_eval.errors import JudgeError, brief
from selfj_eval.jobs.arguments import items
from selfj_eval.prompts.templates import DEFAULT_TEMPLATE, Offsets, PromptTemplate, Turn

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from selfj_eval.engines.local.tree_mask import TreeMask

_LOG = logging.getLogger(__name__)


class TransformersBackend:
    """A judge in transformers. Several threads may use it; there is one forward pass at a time.

    Args:
        model: ``demo``, a model folder or GGUF file, or a hub id.
        adapter: Folder or hub id of a LoRA adapter (peft) to put on the model.
        template: The prompt template, or its name: its labels are scored.
        revision: Branch, tag or commit of the model on the hub.
        dtype: ``auto`` (float32 on a CPU, bfloat16 or float16 on an accelerator), ``float32``,
            ``bfloat16`` or ``float16``.
        device: ``auto`` (an accelerator where there is one), ``cpu``, ``cuda``, ``cuda:1``, ...
        batch_tokens: Tokens a batch; by default what the device's free memory holds.
        trust_remote_code: Whether to run Python code that comes with the model.

    Raises:
        JudgeError: If the judge cannot be loaded completely and safely.
    """

    usage: Mapping[str, float] = {}

    def __init__(
        self,
        model: str,
        *,
        adapter: str | None = None,
        template: str | PromptTemplate = DEFAULT_TEMPLATE,
        revision: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        batch_tokens: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        folders = model_folders(model, adapter, revision=revision, code=trust_remote_code)
        folder, adapter_folder = folders.model, folders.adapter
        self._tokenizer = JudgeTokenizer(
            str(folder),
            template=template,
            trust_remote_code=trust_remote_code,
            tokenizer=folders.tokenizer,
        )
        self.template = self._tokenizer.template
        self.device = choose_device(device)
        self.dtype = choose_dtype(dtype, self.device)
        self.identity: Mapping[str, str] = {
            **folders.identity(),
            "dtype": self.dtype,
        }
        load = partial(
            load_model, folder, adapter_folder, self.dtype, self.device, trust_remote_code
        )
        self._set_up(load, str(folder), batch_tokens)

    def _set_up(
        self, load: Callable[[], PreTrainedModel], name: str, batch_tokens: int | None
    ) -> None:
        """Load the model, try it, and choose how it is run."""
        self._model = load()
        self._check_causal(name)
        if self.device.startswith("cpu") and not self._speed_up():
            del self._model  # or both would be in memory
            self._model = load()
        self._packs = self._can_pack()
        size = self._model.dtype.itemsize
        tokens = batch_tokens or default_tokens(self._model.config, self.device, size)
        self._batcher = Batcher(tree_batches if self._packs else longest_first, tokens, self.device)

    @property
    def max_tokens(self) -> int:
        """Longest prompt the judge takes by default."""
        # The tokens of a label but its last stand behind the prompt.
        longest = max(map(len, self._tokenizer.labels.branches))
        return self._tokenizer.max_tokens - longest

    def tokenize(self, text: str) -> Offsets:
        """Character offsets of the tokens of ``text``, special tokens included."""
        return self._tokenizer.offsets(text)

    def chat(self, turns: Sequence[Turn]) -> str:
        """Messages in the model's chat template."""
        return self._tokenizer.in_chat(turns)

    def score(self, prompts: Iterable[str]) -> Iterator[Batch]:
        """Judge all prompts, one forward pass a batch.

        Labels of several tokens add a row for each of their beginnings, such as the prompt with
        "1" behind it for "10"; in a packed row that costs these tokens alone.

        Prompts that begin alike share what they have in common (``prefix_tree``), where the
        architecture allows it. A batch that does not fit into memory is halved.

        Args:
            prompts: Finished prompts, no longer than ``max_tokens``.

        Yields:
            Batches with float64 log-probabilities of shape (m, k), of the template's k labels.
        """
        texts = items(prompts, str, "score()")
        if not texts:
            return
        labels, forward = (
            self._tokenizer.labels,
            self._forward_tree if self._packs else self._forward,
        )
        ids = self._tokenizer.rows(texts)
        if labels.single:
            yield from self._batcher.run(ids, forward)
            return
        rows = [[*row, *branch] for row in ids for branch in labels.branches]
        found = (
            (batch.indices, batch.log_probabilities) for batch in self._batcher.run(rows, forward)
        )
        yield from (Batch(*done) for done in labels.gathered(found))

    def _check_causal(self, name: str) -> None:
        """Refuse a model that sees the padding or anything else behind the prompt."""
        ids = self._tokenizer.encode("Rate: 5, 7.")
        alone, padded = self._forward([ids]), self._forward([ids, ids * 3])
        if not np.allclose(alone[0], padded[0], atol=self._tolerance, rtol=0, equal_nan=True):
            raise JudgeError(
                f"{name} cannot judge: what follows a prompt changes its answer, so it is not a "
                "causal (left-to-right) language model. Use a decoder such as Llama."
            )

    def _speed_up(self) -> bool:
        """Prepare the model for the CPU; whether it still says the same."""
        ids = self._tokenizer.encode("Rate this from 0 to 9, please: five, seven.")
        rows = [ids, ids[:-3]]
        return speed_up_checked(self._model, lambda: self._forward(rows), self._tolerance)

    def _can_pack(self) -> bool:
        """Whether a packed row gives what its prompts give alone."""
        config = self._model.config
        text = getattr(config, "text_config", None) or config
        windows = [getattr(text, name, None) for name in ("sliding_window", "attention_chunk_size")]
        context = self._tokenizer.max_tokens
        self._window = min([own for own in windows if own is not None], default=context)
        self._usual = before = config._attn_implementation
        self._in_one_kernel = False
        ids = self._tokenizer.encode("Rate this from 0 to 9, please: five, seven. ")
        on_gpu = self.device.startswith("cuda")
        # On a GPU more than one block of the kernel.
        ids *= max(2, min(20, self._window // (2 * len(ids)))) if on_gpu else 2
        rows = sorted([ids, ids + ids[:9], ids + ids[3:5], ids[-4:] + ids])
        if max(map(len, rows)) > self._window:
            return False
        alone = self._forward(rows)
        register()
        for self._in_one_kernel in (True, False) if on_gpu else (False,):
            if self._packs_like(alone, rows):
                return True
        self._model.set_attn_implementation(before)
        return False

    def _packs_like(self, alone: Scores, rows: Rows) -> bool:
        """Whether rows give packed what they give alone, and none of them sees another."""
        try:
            self._model.set_attn_implementation(ATTENTION)
            packed = self._forward_tree(rows)
            # In half precision a leak from row to row might pass for rounding: what differs in one
            # must not be seen in the other at all.
            ids = min(rows, key=len)
            neighbours = ([[*ids, *own], ids] for own in (ids[:9], ids[9:18]))
            first, other = (self._forward_tree(pair)[1] for pair in neighbours)
            apart = np.allclose(first, other, atol=1e-3, rtol=0, equal_nan=True)
        except Exception as error:  # whatever an architecture or a compiler makes of it
            _LOG.info("%s cannot be packed: %s", type(self._model).__name__, brief(error))
            return False
        if apart and np.allclose(alone, packed, atol=self._tolerance, rtol=0, equal_nan=True):
            return True
        how = "by FlexAttention" if self._in_one_kernel else "node by node"
        _LOG.info("%s says something else when packed %s", type(self._model).__name__, how)
        return False

    @property
    def _tolerance(self) -> float:
        """Largest difference that is rounding."""
        return 1e-2 if self.dtype == "float32" else 0.5

    def _forward_tree(self, rows: Rows) -> Scores:
        """Log-probabilities of the tokens asked for after each row, packed; shape (rows, k)."""
        import torch

        if max(map(len, rows)) > self._window:  # which the packed attention does not know
            self._model.set_attn_implementation(self._usual)
            try:
                return np.concatenate([self._forward([row]) for row in rows])
            finally:
                self._model.set_attn_implementation(ATTENTION)
        tree = pack(rows, CPU_PIECE if self.device.startswith("cpu") else PIECE)
        nodes = self._nodes(tree)
        try:
            scores = self._asked(
                (torch.zeros(len(rows), dtype=torch.long), torch.tensor(tree.last)),
                input_ids=torch.tensor([tree.ids]).to(self.device),
                position_ids=torch.tensor([tree.positions]).to(self.device),
                selfj_nodes=nodes,
            )
        except Exception as error:
            if not self._in_one_kernel or is_memory(error):
                raise
            # It is compiled anew for a few shapes, such as those of short rows.
            _LOG.warning("FlexAttention failed, and is not used any more: %s", brief(error))
            self._in_one_kernel = False
            return self._forward_tree(rows)
        if not nodes.used:
            raise JudgeError(f"{type(self._model).__name__} has an attention of its own.")
        return scores

    def _nodes(self, tree: Tree) -> Nodes | TreeMask:
        """What the layers attend by."""
        if not self._in_one_kernel:
            return Nodes(tree, self.device, self._model.dtype)
        from selfj_eval.engines.local.tree_mask import TreeMask

        return TreeMask(tree)

    def _forward(self, rows: Rows) -> Scores:
        """Log-probabilities of the tokens asked for after each row of ids; shape (rows, k)."""
        import torch

        # Padding stands on the right, where causal attention never looks, so no mask is needed
        # and every token has the position it would have alone.
        width = max(map(len, rows))
        batch = torch.tensor([[*row, *[row[0]] * (width - len(row))] for row in rows])
        last = torch.tensor([len(row) - 1 for row in rows])
        return self._asked((torch.arange(len(rows)), last), input_ids=batch.to(self.device))

    def _asked(self, at: tuple[torch.Tensor, torch.Tensor], **inputs: Any) -> Scores:
        """Log-probabilities of the labels' tokens as next ones at some places; shape (m, k).

        Args:
            at: Rows and columns of the places, each of shape (m,).
            **inputs: Of the model.
        """
        import torch

        def only_there(
            _: torch.nn.Module, args: tuple[torch.Tensor, ...]
        ) -> tuple[torch.Tensor, ...]:
            # The last layer gave only these tokens, in this order; or the row has no others.
            if args[0].shape[:2] == (1, len(at[0])):
                return (args[0].transpose(0, 1), *args[1:])
            rows, columns = (index.to(args[0].device) for index in at)
            return (args[0][rows, columns, None], *args[1:])

        head = self._model.get_output_embeddings()
        # A hook, so that the vocabulary is computed at one position a row while whatever a model
        # does after its head (scaling, soft-capping) still happens.
        hook = head.register_forward_pre_hook(only_there)
        try:
            with torch.inference_mode():
                logits = self._model(**inputs, use_cache=False).logits
                if logits.shape[:2] != (len(at[0]), 1):
                    raise JudgeError(
                        f"{type(self._model).__name__} computes its vocabulary in an unusual way; "
                        "this architecture cannot be used."
                    )
                log_probabilities = logits[:, -1].float().log_softmax(-1)
                asked = log_probabilities[:, list(self._tokenizer.labels.asked)]
        finally:
            hook.remove()
        result: Scores = asked.double().cpu().numpy()
        return result
