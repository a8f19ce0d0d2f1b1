"""Print the path of the compiled physics for helpers/rootlogon.C, nothing where there is none.

With a folder as argument: put libraries for other machines into it.
"""

import sys
import warnings
from pathlib import Path

from helpers import copy_libraries, find_library, load_compiled

if __name__ == "__main__":
    if sys.argv[1:]:
        copy_libraries(Path(sys.argv[1]))
    else:
        warnings.simplefilter("ignore")
        library, _ = find_library()
        # Loaded here first: if that kills the process, it is not that of the prompt.
        print(library if library and not load_compiled(library) else "")
