"""The commands as a user types them: one clear line on errors, files that are whole."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import ml_tables
import pandas as pd
import pytest

from analysis.files import checksum
from ml.__main__ import main

# Keras 3.15 with numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ROOT = Path(__file__).parent.parent
TRAIN = ("--detector", "small", "--epochs", "2", "--batch", "200", "--quiet")


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = ml_tables.write_output(tmp_path_factory.mktemp("main") / "output")
    main(["train", str(folder), *TRAIN])
    return folder


def run(*arguments, **options):
    command = [sys.executable, "-m", "ml", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)


def test_train_then_score(output, capsys):
    main(["score", str(output), "--errors"])
    text = capsys.readouterr().out
    for name, *_ in ml_tables.SAMPLES:
        assert f"\n{name} " in text
        assert (output / "scores" / "small" / f"{name}.hdf5").exists()
    assert "6100 events" in text and "in the network" in text
    frame = pd.read_hdf(output / "scores" / "small" / "WZ.hdf5")
    assert 0.75 < frame["trained_on"].mean() < 0.85


def test_encode_one_sample(output, capsys):
    main(["encode", str(output), "-s", "data"])
    assert os.listdir(output / "latent" / "small") == ["data.hdf5"]


def test_info_needs_no_network(output):
    model = output / "models" / "small"
    code = f"import sys; from ml.__main__ import main; main(['info', {str(model)!r}]); "
    code += "print('slow:', *{'tensorflow', 'keras'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    *text, slow = done.stdout.splitlines()
    assert (done.returncode, done.stderr, slow) == (0, "", "slow:")
    for word in ("small 110-110-55-110", "dropped", "m_3l", "absolute", "keras 3", "WZ"):
        assert word in "\n".join(text)


def test_help_lists_the_commands_in_order():
    text = run("--help", check=True).stdout
    commands = re.findall(r"^    (\w+)", text, re.M)
    assert commands == [
        *("train", "tune", "score", "encode"),
        *("freeze", "study", "explain", "protocol", "challenge"),
        *("info", "export"),
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["train"], 2, "required: OUT"),
        (["trian", "x"], 2, "invalid choice"),
        (["train", "OUT", "--epochs", "-1"], 2, "must be a whole number from 1"),
        (["train", "OUT", "--weights", "none"], 2, "invalid choice: 'none'"),
        (["train", "nowhere"], 1, "no folder nowhere"),
        (["train", "OUT", "--model", "smal"], 1, "did you mean 'small'"),
        (["train", "OUT", "--region", "SR9"], 1, "no tables of region 'SR9'"),
        (
            ["train", "OUT", "--detector", "small", "--batch", "9999"],
            1,
            "fewer than a batch of 9999",
        ),
        (["train", "OUT", "--learning-rate", "1"], 1, "is of autoencoders, portfolio is none"),
        (["train", "OUT"], 1, "lacks the features lepPt_0"),
        (["train", "OUT", "--folds", "2"], 1, "at least 3"),
        (["train", "OUT", "--name", "../x"], 1, "plain folder name"),
        (["train", "OUT", "--detector", "small", "--learning-rate", "0"], 1, "larger than 0"),
        (["tune", "OUT", "--space", "nowhere.toml"], 1, "no search space nowhere.toml"),
        (["score", "OUT", "--model", "huge"], 1, "no model huge"),
        (["score", "OUT", "-s", "ZZ"], 1, "no sample ZZ"),
        (["info", "nowhere"], 1, "no model.json in nowhere"),
        (["export", "nowhere"], 1, "no model.json in nowhere"),
    ],
)
def test_mistakes_are_one_line(output, capsys, arguments, status, words):
    arguments = [str(output) if word == "OUT" else word for word in arguments]
    with pytest.raises(SystemExit) as end:
        main(arguments)
    captured = capsys.readouterr()
    assert end.value.code == status
    assert captured.err.startswith("m3l: ") and captured.err.count("\n") == 1
    assert words in captured.err


def test_score_without_a_model(tmp_path, capsys):
    folder = ml_tables.write_output(tmp_path / "output", [ml_tables.SAMPLES[3]])
    with pytest.raises(SystemExit, match="1"):
        main(["score", str(folder)])
    assert f"python -m ml train {folder} first" in capsys.readouterr().err


@pytest.mark.slow
def test_kill_at_any_moment(output, tmp_path):
    """SIGKILL in the middle, twice; then the same bytes as without."""
    folder = tmp_path / "output"
    shutil.copytree(output, folder)
    shutil.rmtree(folder / "models")
    command = [sys.executable, "-m", "ml", "train", folder, *TRAIN[:2], "--epochs", "12"]
    command += ["--batch", "50"]
    checkpoint = folder / "models" / ".small.training" / "checkpoint.npz"
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (folder / "models" / "small").exists()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    main(["train", str(folder), *TRAIN, "--epochs=12", "--batch=50", "--name=whole"])
    for name in ("autoencoder.keras", "network.bin", "log.csv"):
        killed, whole = (folder / "models" / model / name for model in ("small", "whole"))
        assert checksum(killed) == checksum(whole), name


def test_full_disk(output):
    """No file may grow beyond 100 kB: the previous model stays, and the line says why."""
    before = {p.name: checksum(p) for p in (output / "models" / "small").iterdir()}
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
    code = limit + f"from ml.__main__ import main; main({['train', str(output), *TRAIN]})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("m3l: ") and done.stderr.count("\n") == 1
    assert "File too large; free disk space" in done.stderr
    assert {p.name: checksum(p) for p in (output / "models" / "small").iterdir()} == before
