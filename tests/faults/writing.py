"""Write a file and a folder as the program does: writing FOLDER WORD."""

import sys
from pathlib import Path

from analysis.errors import exit_on_mistake
from analysis.files import atomic_folder, write_json

if __name__ == "__main__":
    folder, word = Path(sys.argv[1]), sys.argv[2]
    with exit_on_mistake("nothing was written"):
        with atomic_folder(folder / "model") as new:
            for name in ("weights", "record"):
                (new / name).write_text(word * 1000)
        write_json(folder / "record" / "run.json", word)
