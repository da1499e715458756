"""The house stands: import directions, what is loaded when, frozen names and flags, dependencies, sizes, and pages that cannot lie."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mapsto
from mapsto.cli import parser
from mapsto.config import Settings, settings_of
from mapsto.recipes import recipe_of
from mapsto.registry import names
from mapsto.signature import Signature, Slot, parse

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "mapsto"
FILES = sorted(SOURCE.rglob("*.py"))
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")))

# Lowest first; rooms in one line may import each other.
ROOMS = (
    "errors cells signature config registry files source lazy seeds",
    "batch metrics prediction blocks events terminal page",
    "types",
    "outputs",
    "models generation",
    "learners training",
    "data",
    "recipes measure lite",
    "run checks",
    "steps",
    "assess doctor deploy",
    "report look serve",
    "api commands cli testing __main__",
)
HEIGHT = {room: height for height, line in enumerate(ROOMS) for room in line.split()}

# Files over 400 lines and functions over 50: none is added unseen.
LONG_FILES = {"training/probe.py", "types/base.py"}
LONG_FUNCTIONS = {
    *("assess/answering.py:assess", "assess/cost.py:_blocks", "assess/slices.py:_of_output"),
    *("data/formats/media.py:classed", "report/contest.py:_contest"),
    *("steps/prepare.py:prepare", "steps/rows.py:fit_types", "steps/rows.py:make_ready"),
}
FLAGS = {
    "train": "--trust --out --name --from --lora --fit-into --model --learner --metric --target --drop --keep --test --follow-links --root --split-seed --group --time --weight --folds --max-bad --store --allow "
    "--minutes --steps --epochs --until --patience --optimizer --lr --batch --micro-batch --weight-decay --momentum --warmup "
    "--schedule --clip --ema --precision --seed --device --threads --devices --plan --no-samples --positive --json --debug",
    "check": "--fix --target --drop --keep --test --follow-links --root --split-seed --group --time --weight --folds --max-bad --store --allow --json --debug",
    "look": "--model --target --drop --keep --test --follow-links --root --split-seed --group --time --weight --folds --max-bad --store --allow --json --debug",
    "plan": "--model --learner --target --drop --keep --test --follow-links --root --split-seed --group --time --weight --folds --max-bad --store --allow --minutes --steps --epochs --until "
    "--patience --optimizer --lr --batch --micro-batch --weight-decay --momentum --warmup --schedule --clip --ema --precision --seed --device "
    "--threads --devices --plan --json --debug",
    "export": "--trust --to --out --most-loss --ort --json --debug",
    "doctor": "--trust --overfit-one-batch --rate-range --json --debug",
    "profile": "--trust --steps --out --json --debug",
    "report": "--trust --no-samples --positive --json --debug",
    "compare": "--trust --metric --out --json --debug",
    "assess": "--trust --data --follow-links --root --out --no-samples --positive --json --debug",
    "resume": "--trust --json --debug",
    "extend": "--trust --data --follow-links --root --minutes --steps --epochs --until --patience --json --debug",
    "reproduce": "--trust --json --debug",
    "evaluate": "--trust --follow-links --root --beam --penalty --temperature --lm --lm-weight --json --debug",
    "predict": "--trust --out --follow-links --root --text --keep --only --probabilities --missing-ok --spreadsheet --beam --penalty --temperature --lm --lm-weight --debug",
    "embed": "--trust --out --follow-links --root --spreadsheet --debug",
    "runs": "--json --debug",
    "cache": "--limit --clear --json --debug",
    "score": "--trust --text --out --spreadsheet --debug",
    "chat": "--trust --system --tokens --temperature --top-p --seed --debug",
    "serve": "--host --port --token --cors --tls-key --tls-certificate --allow-urls --watch --keep-feedback --threads --no-log --wait --queue --most-bytes "
    "--most-pixels --most-rows --seconds --trust --debug",
    "stream": "--follow --state --key --csv --wait --batch --learn --out --most-forget --probabilities --missing-ok --trust --debug",
    "call": "--follow-links --root --out --text --token --probabilities --missing-ok --spreadsheet --debug",
    "sample": "--trust --prompt --n --tokens --temperature --top-p --seed --stop --out --debug",
}


def named(path: Path) -> str:
    return str(path.relative_to(SOURCE))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


# --- imports ---------------------------------------------------------------------------------------------------------------------


def imported(node: ast.AST) -> Iterator[str]:
    """Every room of mapsto imported below `node`, inside functions too, but not for type checking only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            for other in child.orelse:
                yield from imported(other)
        elif isinstance(child, ast.Import):
            yield from (alias.name.split(".")[1] for alias in child.names if alias.name.startswith("mapsto."))
        elif isinstance(child, ast.ImportFrom) and child.module == "mapsto":
            yield from (alias.name for alias in child.names if not alias.name.startswith("__"))
        elif isinstance(child, ast.ImportFrom) and child.level == 0 and (child.module or "").startswith("mapsto."):
            yield str(child.module).split(".")[1]
        else:
            yield from imported(child)


def test_every_room_has_its_place() -> None:
    found = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in FILES} - {"__init__"}
    assert found == set(HEIGHT), "a new room gets a line in ROOMS"


@pytest.mark.parametrize("path", [path for path in FILES if path != SOURCE / "__init__.py"], ids=named)
def test_imports_go_downward(path: Path) -> None:
    room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    wrong = {other for other in imported(tree(path)) if HEIGHT[other] > HEIGHT[room]}
    assert not wrong, f"{named(path)} ({room}) imports {', '.join(sorted(wrong))}, which stands above it"


def modules() -> dict[str, Path]:
    """{module: its file}; a package is its `__init__.py`."""
    parts = {path: path.relative_to(SOURCE.parent).with_suffix("").parts for path in FILES}
    return {".".join(words[:-1] if words[-1] == "__init__" else words): path for path, words in parts.items()}


def imported_modules(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """Modules of mapsto that a file imports anywhere, inside functions and for type checking, too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mapsto":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else str(node.module)


def test_no_import_circles() -> None:
    """Modules that import each other, at whatever depth, cannot be read one after the other. Peeled off layer
    by layer from both ends, what is left lies on circles."""
    known = modules()
    edges = {name: {*imported_modules(path, known)} - {name} for name, path in known.items()}
    left = set(edges)
    while peeled := {
        name
        for name in left
        if not edges[name] & left or not any(name in edges[other] for other in left)
    }:
        left -= peeled
    assert not left, sorted(left)


def test_imports_are_absolute() -> None:
    assert not [named(path) for path in FILES for node in ast.walk(tree(path)) if isinstance(node, ast.ImportFrom) and node.level]


@pytest.mark.parametrize(
    "words",
    [
        ["-c", "import mapsto"],
        ["-c", "import sys; from mapsto.cli import main; main(['--help'])"],
        ["-c", "from mapsto.cli import main; main(['train', '--help'])"],
    ],
    ids=["import", "help", "train help"],
)
def test_starting_loads_no_torch(words: list[str]) -> None:
    after = "\nimport sys; print('heavy:', [name for name in ('torch', 'numpy', 'sklearn', 'duckdb', 'PIL', 'rich') if name in sys.modules])"
    done = subprocess.run([sys.executable, words[0], words[1] + after], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_starting_loads_few_modules() -> None:
    """What `mapsto --help` costs is what it imports; seconds are told by `benchmarks/startup.py`."""
    program = "import sys; before = set(sys.modules); from mapsto.cli import main; main(['--help']); print(len(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) <= 180


# --- what is public --------------------------------------------------------------------------------------------------------------


def test_public_names_are_frozen() -> None:
    assert mapsto.__all__ == ["Client", "load", "resume", "train"]
    assert all(callable(getattr(mapsto, name)) for name in mapsto.__all__)
    assert {*mapsto.__all__} <= {*dir(mapsto)}, "editors complete them"
    assert {"minutes", "model", "seed", "target"} <= {*inspect.signature(mapsto.train).parameters}
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        getattr(mapsto, "trian")  # noqa: B009


def test_flags_are_frozen() -> None:
    _, commands = parser()
    found = {name: {flag for action in command._actions for flag in action.option_strings} - {"-h", "--help", "--help-all"} for name, command in commands.items()}
    assert found == {name: set(flags.split()) for name, flags in FLAGS.items()}


# --- dependencies ----------------------------------------------------------------------------------------------------------------


def closure(name: str, extras: frozenset[str] = frozenset(), without: frozenset[str] = frozenset()) -> set[str]:
    """Names of every installed distribution that `name` needs, markers evaluated here; itself left out."""
    found: set[str] = set()
    todo = [(name, extras)]
    while todo:
        current, wanted = todo.pop()
        for text in metadata.requires(current) or ():
            need = Requirement(text)
            other = canonicalize_name(need.name)
            if (
                other in found
                or other in without
                or not (need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in wanted or {""}))
            ):
                continue
            found.add(other)
            todo.append((other, frozenset(need.extras)))
    return found - {canonicalize_name(name)}


def test_nothing_needs_torchvision() -> None:
    """They exist only as CUDA builds in places mapsto runs in, and break what imports them."""
    assert not closure("mapsto", frozenset({"", "dev"})) & {"torchvision", "torchaudio"}


def test_the_core_is_small() -> None:
    core = closure("mapsto", without=frozenset({"torch"}))
    assert len(core) <= 35, sorted(core)
    size = sum(Path(str(file.locate())).stat().st_size for name in core for file in metadata.files(name) or () if Path(str(file.locate())).is_file())
    assert size <= 450e6, f"{size / 1e6:.0f} MB: {sorted(core)}"


# --- code ------------------------------------------------------------------------------------------------------------------------


def test_files_and_functions_stay_readable() -> None:
    """Those that are long are named, so that none joins them unseen."""
    lines = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    functions = {
        f"{named(path)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    long_files = {name for name, count in lines.items() if count > 400}
    long_functions = {name for name, count in functions.items() if count > 50}
    assert long_files <= LONG_FILES, "which second idea moved in?"
    assert long_functions <= LONG_FUNCTIONS
    assert max(lines.values()) < 600 and max(functions.values()) < 100


FOREIGN = {"models/_hub_record.py"}  # what it calls raises plain exceptions, which it says in words of its own


def test_the_house_has_few_rooms() -> None:
    assert len(list(SOURCE.glob("*.py"))) <= 15
    assert len([path for path in SOURCE.iterdir() if (path / "__init__.py").exists()]) <= 27
    assert len(ROOMS) <= 13


@pytest.mark.parametrize("path", FILES, ids=named)
def test_no_failure_is_swallowed_and_no_data_executed(path: Path) -> None:
    for node in ast.walk(tree(path)):
        where = f"{named(path)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ExceptHandler):
            caught = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {"everything"}
            kept = named(path) in FOREIGN
            raises = any(isinstance(inner, ast.Raise) and (kept or inner.exc is None) for inner in ast.walk(node))
            assert raises or not caught & {"Exception", "BaseException", "everything"}, f"{where}: a broad except that does not raise again"
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
            assert not modules & {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}, f"{where}: {modules}"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "compile", "__import__", "torch.load", "torch.save", "os.system"), f"{where}: {called}"
            assert not [key for key in node.keywords if key.arg in ("allow_pickle", "shell")], f"{where}: {called}"


# --- pages -----------------------------------------------------------------------------------------------------------------------


def blocks(page: str, *languages: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [body for language, body in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if language in languages]


def commands() -> list[tuple[str, str]]:
    """(page, line): every mapsto or make command shown; the shell's pipes are the shell's."""
    lines = [
        (page, line.strip().removeprefix("$ "))
        for page in PAGES
        for block in blocks(page, "console", "sh", "bash", "")
        for line in block.splitlines()
    ]
    return [(page, part.strip()) for page, line in lines for part in line.split(" | ") if part.strip().startswith(("mapsto ", "make "))]


def test_pages_have_commands() -> None:
    assert {line.split()[1] for _, line in commands() if line.startswith("mapsto")} >= set(parser()[1])
    assert {line.split()[1] for _, line in commands() if line.startswith("make")} >= {"demo", "test", "check", "docs"}


@pytest.mark.parametrize(("page", "line"), dict.fromkeys(commands()))
def test_commands_of_the_pages_are_understood(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        assert all(re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE) for target in words[1:])
        return
    top, _ = parser()
    asked = top.parse_args([word for word in words[1:] if not word.startswith("--help")] + (["DATA"] if {"--help", "--help-all"} & {*words} else []))
    known = {spot for group in ("reading", "budget", "training") for spot in getattr(Settings(), group).__dataclass_fields__}
    settings_of({name: value for name, value in vars(asked).items() if name in known and value is not None})
    for word in getattr(asked, "words", ()):
        if "->" in word:
            assert all(slot.type in ("", *names("types"), "colour") for slot in parse(word).slots)
    model = (getattr(asked, "model", None) or "mlp").partition("(")[0]
    assert model in names("models") or model.endswith(".py") or page == "docs/extending.md"


@pytest.mark.parametrize("page", [page for page in PAGES if page != "docs/extending.md"])
def test_python_of_the_pages_names_what_exists(page: str) -> None:
    from mapsto.prediction import Answer, Prediction
    from mapsto.run import Run

    run, answer = set(dir(Run)) | {"path", "record"}, set(Answer.__dataclass_fields__)
    known = {"mapsto": set(dir(mapsto)) | set(mapsto.__all__), "run": run, "answer": answer, "found": set(Prediction.__dataclass_fields__)}
    text = (ROOT / page).read_text(encoding="utf-8")
    said = [found for found in re.findall(r"`((?:run|mapsto|answer|found)\.\w+(?:\(.*?\))?)`", text) if "…" not in found and found not in ("run.json",)]  # in a sentence or a table
    for block in [*blocks(page, "python"), *said]:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in known:
                assert node.attr in known[node.value.id] or node.attr in ("api", "errors", "lite", "testing"), f"{node.value.id}.{node.attr}"
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "mapsto.train":
                asked = {str(key.arg): key.value for key in node.keywords if key.arg not in ("out", "name", "emit", "trust")}
                settings_of({name: ast.literal_eval(value) for name, value in asked.items()})


def test_signatures_of_the_readme_have_recipes() -> None:
    found = re.findall(r"^\| `(.*?->.*?)`", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found) >= 5
    for text in found:
        signature = parse(text)
        inputs = tuple(Slot(slot.name, slot.type or (slot.name if slot.name in names("types") else "number")) for slot in signature.inputs)
        assert all((slot.type or slot.name) in names("types") for slot in signature.outputs), text
        assert recipe_of(Signature(inputs, tuple(Slot(slot.name, slot.type or slot.name) for slot in signature.outputs))), text


def test_readme_is_a_page() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150, "docs/ has room"


def test_every_page_stands_in_the_contents() -> None:
    listed = set(re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    assert listed == {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}


def test_plan_of_the_design_is_drawn_from_the_rooms() -> None:
    from plan import PAGE, drawn

    page = PAGE.read_text(encoding="utf-8")
    assert drawn(page) == page, "ROOMS changed: python tests/plan.py"
    assert all(f"`{room}`" in page for room in HEIGHT)


def test_each_promise_of_security_has_its_tests() -> None:
    promises = re.findall(r"^\| (?!promise|---)(.+?) \| (.+) \|$", (ROOT / "SECURITY.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(promises) >= 12
    for promise, tests in promises:
        for file, name in re.findall(r"`(tests/\w+\.py)::(\w+)`", tests) or pytest.fail(promise):
            assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{promise}: {file}::{name}"


@pytest.mark.parametrize("page", PAGES)
def test_paths_of_the_pages_exist(page: str) -> None:
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link, part in re.findall(r"\]\(([^)#]*)(#[\w-]+)?\)", text):
        there = (ROOT / page).parent / link if link else ROOT / page
        assert link.startswith("https://") or there.exists(), link
        if part and not link.startswith("https://"):
            heads = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert part[1:] in {re.sub(r"[^\w\s-]", "", head).strip().lower().replace(" ", "-") for head in heads}, part
    for name in re.findall(r"`(\w+(?:/\w+)*\.py)`", text):
        assert (SOURCE / name).exists() or (ROOT / name).exists() or Path(name).stem in ("colour", "rgb", "records", "leave_one_out", "rbf", "pi_model", "balance", "mine", "NAME"), name


# --- words ---------------------------------------------------------------------------------------------------------------------------

# Names that were given up for the field's own, each with what replaced it. Identifiers speak the field's language.
GIVEN_UP = {
    "Company": "Group", "Several": "DistributedGroup", "told": "broadcast", "meet": "barrier", "ahead": "prefetch",
    "Spent": "Timer", "Watch": "StepTimer", "Judge": "BestWeights", "hear": "update", "why_stop": "stop_reason",
    "Pace": "Schedule", "lay_out": "set_total", "Average": "Ema", "taker": "optimizer", "settle": "prepare",
    "Earlier": "WarmStart", "bring": "load_pretrained", "disturb": "corruptions", "said_at_look": "sample_text",
    "walk": "iterate", "collect": "predict_split", "Collected": "Predictions", "searching": "set_decoding",
    "leads": "has_summary_token", "likeness": "similarity_embedding", "alike": "duplicate_thresholds",
    "passage": "overlap_length", "told_by": "translate_from", "restored": "decode_cell", "outside": "range_violation",
    "traits": "summary_stats", "simple": "baseline", "Seen": "OodFeatures",
    "Heard": "HiddenStates", "Looking": "FeatureHook", "Cloud": "ReferenceSet", "Patient": "Subject",
    "Complaint": "Issue", "Unseen": "NotMeasurable", "LOOKS": "PROBES", "SAYS": "HELP", "Says": "Paragraph",
    "Beside": "Annotated", "into": "annotates", "placed": "located", "Rooms": "Types", "room": "column_type",
    "tell": "emit", "SEEN": "WEIGHTS_PER_TOKEN", "READ": "PASSES", "HURRY": "TEMPO_MARGIN", "LONGER": "CONTEXT_MARGIN",
    "GENTLE": "FINETUNE_LR", "HEARERS": "CONFORMERS", "HEARINGS": "CONFORMER_PASSES", "WRITERS": "SEQ2SEQS",
}  # fmt: skip


def public(node: ast.AST) -> Iterator[str]:
    """Classes, functions, methods, fields and constants below `node`; nothing within a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield child.name
            if isinstance(child, ast.ClassDef):
                yield from public(child)
        elif isinstance(child, (ast.Assign, ast.AnnAssign)):
            targets = child.targets if isinstance(child, ast.Assign) else [child.target]
            yield from (name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))


GIVEN_UP_FILES = {"company", "ahead", "spent", "watch", "judge", "average", "settle", "earlier", "given", "bare", "plain", "marks", "places", "disturb", "doubt", "lines", "tested", "novelty"}  # fmt: skip
@pytest.mark.parametrize("path", FILES, ids=named)
def test_names_are_the_fields_own(path: Path) -> None:
    wrong = [f"{name}: say {GIVEN_UP[name]}" for name in public(tree(path)) if name in GIVEN_UP]
    assert not wrong and path.stem not in GIVEN_UP_FILES, f"{named(path)}: {wrong}"
