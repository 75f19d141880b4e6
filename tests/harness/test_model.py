"""``--model selfj``: judge tasks give what the stock ``hf`` model gives; others are refused."""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from selfj_eval import Judge, JudgeError, SelfJError
from selfj_eval.demo import JUDGE_DIR
from selfj_eval.engines.base import Batch
from selfj_eval.harness.model import SelfJLM, _certainly_greedy

ROOT = Path(__file__).parents[2]


def request(prompt: str, continuation: str = "5", kind: str = "loglikelihood") -> Instance:
    arguments: tuple[Any, ...] = (prompt, continuation)
    return Instance(kind, {}, arguments, 0, metadata=("some_task", 7, 1))


@pytest.fixture(scope="module")
def demo() -> SelfJLM:
    return SelfJLM("demo")


@pytest.mark.long
def test_the_command_gives_the_scores_of_hf(command: Any, tmp_path: Path, evaluate: Any) -> None:
    task, limit = "selfj_judge_demo", 40
    done = command(
        "selfj", "lm-eval", "--model", "selfj", "--model_args", "pretrained=demo", "--tasks", task,
        "--limit", limit, "--output_path", tmp_path, "--log_samples",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (file,) = tmp_path.glob(f"demo/samples_{task}_*.jsonl")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    stock = evaluate("hf", task, {"pretrained": str(JUDGE_DIR)}, limit=limit)
    assert len(rows) == limit
    for row, sample in zip(rows, stock["samples"][task], strict=True):
        assert row["doc_id"] == sample["doc_id"]
        for own, other in zip(row["filtered_resps"], sample["filtered_resps"], strict=True):
            assert float(own[0]) == pytest.approx(other[0], abs=1e-4)
            assert own[1] == str(other[1])  # the demo judge's digit mass is near 1: all certain
        assert row["score"] == pytest.approx(sample["score"], abs=1e-4)
    (file,) = tmp_path.glob("demo/results_*.json")
    written = json.loads(file.read_text(encoding="utf-8"))
    for metric, value in stock["results"][task].items():
        if isinstance(value, float):
            assert written["results"][task][metric] == pytest.approx(
                value, abs=1e-4, nan_ok=True
            ), metric
    identity = dict(Judge.load("demo").backend.identity)
    assert written["config"]["selfj_judge_used"] == identity
    assert written["config"]["selfj_engine"] == "transformers"
    assert written["max_length"] == 1024
    assert "Running loglikelihood requests: 100%" in done.stderr


@pytest.mark.parametrize(("task", "limit"), [("selfj_judge_mtbench", 12), ("selfj_pair_llmbar", 6)])
def test_real_sets_give_the_scores_of_hf(
    data: Path, task: str, limit: int, evaluate: Any, assert_same: Any
) -> None:
    metadata = {"selfj_data": str(data), "max_length": 500}
    arguments = {"pretrained": str(JUDGE_DIR), "max_length": 500}
    ours, stock = (
        evaluate(model, task, arguments, limit=limit, metadata=metadata)
        for model in ("selfj", "hf")
    )
    assert_same(ours, stock, task)
    assert ours["results"][task]["unscored,none"] == 0
    if task == "selfj_judge_mtbench":
        assert ours["results"][task]["trimmed,none"] > 0


def test_an_adapter_under_both_its_names(
    tiny_judge: Path, tmp_path: Path, evaluate: Any, assert_same: Any
) -> None:
    torch.manual_seed(3)
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_judge), LoraConfig(target_modules=["q_proj"])
    )
    for name, weights in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.3)
    adapted.save_pretrained(tmp_path)
    base = {"pretrained": str(tiny_judge)}
    task, given = "selfj_judge_demo", base | {"peft": str(tmp_path)}
    stock = evaluate("hf", task, given, limit=3)
    assert_same(evaluate("selfj", task, given, limit=3), stock, task)
    again = evaluate("selfj", task, base | {"adapter": str(tmp_path)}, limit=3)
    assert_same(again, stock, task)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same(evaluate("selfj", task, base, limit=3), stock, task)
    with pytest.raises(JudgeError, match="adapter and peft mean the same"):
        SelfJLM("demo", adapter="a", peft="b")


def test_each_distinct_prompt_is_scored_once_and_any_digits_may_be_asked_for(
    demo: SelfJLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    score = demo.backend.score

    def recorded(prompts: Sequence[str]) -> Iterator[Batch]:
        asked.extend(prompts)
        return score(prompts)

    monkeypatch.setattr(demo.backend, "score", recorded)
    pairs = [("Rate a.", "3"), ("Rate b, please.", "9"), ("Rate a.", "0"), ("Rate a.", "3")]
    found = demo.loglikelihood([request(*pair) for pair in pairs], disable_tqdm=True)
    assert sorted(asked) == ["Rate a.", "Rate b, please."]
    rows = {}
    for batch in score(list(dict(pairs))):
        rows |= {list(dict(pairs))[i]: r for i, r in zip(batch.indices, batch[1], strict=True)}
    expected = [rows[prompt][int(digit)] for prompt, digit in pairs]
    assert [value for value, _ in found] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("probabilities", "greedy"),
    [
        ([0.1] * 4 + [0.5] + [0.0] * 5, 4),  # 0.1 is left for all other tokens together
        ([0.02] * 4 + [0.4] + [0.0] * 5, None),  # another token may have 0.52
        ([0.02] * 4 + [0.5] + [0.02] * 5, 4),
        ([math.nan] * 10, None),
    ],
)
def test_greedy_is_said_only_where_it_is_certain(
    probabilities: list[float], greedy: int | None
) -> None:
    with np.errstate(divide="ignore"):
        assert _certainly_greedy(np.log(probabilities)) == greedy


@pytest.mark.parametrize(
    ("prompt", "continuation"), [("Rate.", " 5"), ("Rate.", "10"), ("Rate.", ""), ("", "5")]
)
def test_what_no_judge_task_asks_is_refused(demo: SelfJLM, prompt: str, continuation: str) -> None:
    wrong = request(prompt, continuation)
    with pytest.raises(JudgeError, match="some_task asks for .* Use lm-eval's model hf for this"):
        demo.loglikelihood([request("Rate."), wrong])


def test_texts_are_neither_generated_nor_scored(demo: SelfJLM, evaluate: Any) -> None:
    with pytest.raises(JudgeError, match="some_task asks for the likelihood of a whole text"):
        demo.loglikelihood_rolling([request("Once upon a time")])
    with pytest.raises(JudgeError, match="selfj_gen_demo asks for generated text. The model"):
        evaluate("selfj", "selfj_gen_demo", {"pretrained": "demo"}, limit=1)


def test_a_prompt_over_the_limit_is_an_error_before_anything_is_scored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = SelfJLM("demo", max_length=64)
    monkeypatch.setattr(model.backend, "score", lambda _: pytest.fail("scored"))
    requests = [request("Rate."), request("word " * 70)]
    message = r"some_task, document 7: a prompt of \d+ tokens, but .* argument `max_length` 64,"
    with pytest.raises(SelfJError, match=message):
        model.loglikelihood(requests)
    with pytest.raises(JudgeError, match="`max_length` must be at most 1024 for this judge"):
        SelfJLM("demo", max_length=1025)


def test_arguments_as_lm_eval_gives_them(caplog: pytest.LogCaptureFixture) -> None:
    given = {"batch_size": 1, "max_batch_size": None, "device": "cuda:0"}
    text = "pretrained=demo,dtype=float32,batch_tokens=512,revision=1,max_length=900"
    model = SelfJLM.create_from_arg_string(text, given)
    assert model.max_length == 900
    assert model.get_model_info()["model_revision"] == "1"
    if not torch.cuda.is_available():  # lm_eval's command says cuda:0 when it is told nothing
        assert model.backend.device == "cpu"
    assert "--batch_size" not in caplog.text
    own = {"pretrained": "demo", "device": "cpu"}
    model = SelfJLM.create_from_arg_obj(own, given | {"batch_size": "auto"})
    assert model.backend.device == "cpu"
    assert "The model selfj forms its own batches: `batch_size` is not used" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs a judge: the model argument `pretrained`"),
        (
            {"pretrained": "demo", "colour": 1, "parallelize": True},
            "no argument colour, parall",
        ),
        ({"pretrained": "demo", "batch_tokens": "many"}, "`batch_tokens` must be a whole number"),
        (
            {"pretrained": "demo", "max_length": 0},
            "argument `max_length` must be at least 1",
        ),
        ({"pretrained": "demo", "trust_remote_code": "yes"}, "`trust_remote_code` must be true or"),
        ({"pretrained": "demo", "dtype": "int3"}, "must be one of auto, float32"),
        ({"pretrained": "demo", "device": "toaster"}, "unknown device 'toaster'"),
        ({"pretrained": "demo", "engine": "steam"}, "must be one of transformers"),
        ({"pretrained": "/no/such/judge"}, "no folder '/no/such/judge'"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SelfJError, match=message):
        SelfJLM.create_from_arg_obj(arguments, {"batch_size": 1})


def test_prompts_without_a_score_are_unscored_and_the_others_are_not(
    tiny_judge: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, evaluate: Any
) -> None:
    task, limit = "selfj_judge_demo", 8
    whole = evaluate("selfj", task, {"pretrained": str(tiny_judge)}, limit=limit)["samples"][task]
    prompts = [sample["arguments"][0][0] for sample in whole]
    tokenizer = AutoTokenizer.from_pretrained(tiny_judge)
    tokens = [set(tokenizer(prompt).input_ids) for prompt in prompts]
    some = set.union(*tokens) - set.intersection(*tokens)
    token = min(sorted(some), key=lambda t: sum(t in found for found in tokens))
    broken = [token in found for found in tokens]
    folder = tmp_path / "judge"
    shutil.copytree(tiny_judge, folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.embed_tokens.weight"][token] = math.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    result = evaluate("selfj", task, {"pretrained": str(folder)}, limit=limit)
    assert result["results"][task]["unscored,none"] == sum(broken) < limit
    for sample, before, lost in zip(result["samples"][task], whole, broken, strict=True):
        assert sample["unscored"] == lost
        assert all(math.isnan(p) == lost for p, _ in sample["filtered_resps"])
        reason = f"{task}: unscored: document {sample['doc']['id']}: the model gave no finite"
        assert (reason in caplog.text) == lost
        if not lost:
            assert sample["score"] == pytest.approx(before["score"], abs=1e-4)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server of the demo judge, in this process."""
    pytest.importorskip("openai", reason="the extra openai is not installed")
    place = Path(__file__).parents[1] / "servers" / "judge_server.py"
    spec = importlib.util.spec_from_file_location("judge_server", place)
    assert spec is not None and spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    program.JUDGES["demo"] = program.Judge(JUDGE_DIR)
    server = program.Server(("127.0.0.1", 0), program.Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


def test_another_engine_with_arguments_of_its_own(
    url: str, caplog: pytest.LogCaptureFixture, evaluate: Any, assert_same: Any
) -> None:
    task, engine = "selfj_judge_demo", {"engine": "openai", "base_url": url, "tokenizer": "demo"}
    arguments = {"pretrained": "demo+vllm", **engine}
    ours = evaluate("selfj", task, arguments, limit=4, device="cuda:0")  # lm_eval's default
    assert_same(ours, evaluate("selfj", task, {"pretrained": "demo"}, limit=4), task)
    assert ours["config"]["selfj_engine"] == "openai"
    assert ours["config"]["selfj_usage"]["requests"] >= 4
    model = SelfJLM(**arguments)
    found = model.loglikelihood([request(p) for p in ("Rate a.", "Rate <<none>>.", "Rate a.")])
    assert [math.isnan(value) for value, _ in found] == [False, True, False]
    assert not found[1][1]
    assert "some_task, document 7: no score from the judge: the server" in caplog.text
    with pytest.raises(JudgeError, match="the engine openai takes no argument 'colour'"):
        SelfJLM(**arguments, colour="red")
    with pytest.raises(JudgeError, match="the engine openai takes no `adapter`"):
        SelfJLM(**arguments, adapter="some/adapter")


@pytest.fixture(scope="module")
def chat_judge(tiny_judge: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes a tiny judge with a chat template."""

    def make(template: str, *more_tokens: str) -> Path:
        folder = tmp_path_factory.mktemp("chat") / "judge"
        shutil.copytree(tiny_judge, folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, chat_template=template)
        tokenizer.add_tokens(list(more_tokens))
        tokenizer.save_pretrained(folder)
        return folder

    return make


CHAT = "{% for m in messages %}<user>{{ m.content }}{% endfor %}"


@pytest.mark.parametrize(
    "template", ["<s>" + CHAT + "<judge>", CHAT + "<judge>"], ids=["with bos", "without bos"]
)
def test_a_chat_template_as_hf_applies_it(
    chat_judge: Any, template: str, evaluate: Any, assert_same: Any
) -> None:
    task, arguments = "selfj_judge_demo", {"pretrained": str(chat_judge(template))}
    options = {"apply_chat_template": True, "metadata": {"selfj_chat_template": True}, "limit": 3}
    ours, stock = (evaluate(model, task, arguments, **options) for model in ("selfj", "hf"))
    prompt = ours["samples"][task][0]["arguments"][0][0]
    assert "<user>Please act as a precise judge" in prompt
    assert prompt.endswith("### Response:<judge>")
    assert_same(ours, stock, task)


def test_a_chat_template_that_ends_with_a_blank(chat_judge: Any, evaluate: Any) -> None:
    """Stock models score the blank with the digit: the same score, another digit mass."""
    task, arguments = (
        "selfj_judge_demo",
        {"pretrained": str(chat_judge(CHAT + '<judge>{{ "\n" }}'))},
    )
    options = {"apply_chat_template": True, "metadata": {"selfj_chat_template": True}, "limit": 3}
    ours, stock = (
        evaluate(model, task, arguments, **options)["samples"][task] for model in ("selfj", "hf")
    )
    for own, other in zip(ours, stock, strict=True):
        assert own["score"] == pytest.approx(other["score"], abs=1e-4)
        assert own["digit_mass"] > 2 * other["digit_mass"]


def test_chat_templates_that_cannot_be_used(chat_judge: Any, tiny_judge: Path) -> None:
    with pytest.raises(JudgeError, match="the chat template of .* cannot be filled in"):
        SelfJLM(str(tiny_judge)).apply_chat_template([{"role": "user", "content": "Rate."}])
    model = SelfJLM(str(chat_judge(CHAT + "<judge>=", "=5")))
    prompt = model.apply_chat_template([{"role": "user", "content": "Rate."}])
    with pytest.raises(JudgeError, match="the digit '5' is not one token of its own"):
        model.loglikelihood([request(prompt)])


def test_an_encoder_is_refused(minilm: Path, tmp_path: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(minilm)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=2, id2label=dict(enumerate("0123456789")),
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(JudgeError, match="is an encoder judge: it judges in selfj score, not in"):
        SelfJLM(str(tmp_path))


def test_the_model_is_registered_and_stock_models_do_not_load_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    target = project["entry-points"]["lm_eval.models"]["selfj"]
    assert target == f"{SelfJLM.__module__}:{SelfJLM.__qualname__}"
    assert get_model("selfj") is SelfJLM
    code = (
        "import sys; from selfj_eval.cli import lm_eval; lm_eval._register_model(); "
        "lm_eval._register_model(); from lm_eval.api.registry import model_registry; "
        f"assert model_registry._objs['selfj'] == '{target}'; assert 'hf' in model_registry; "
        "assert 'selfj_eval.harness.model' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
