"""Print the path of the compiled physics for helpers/rootlogon.C, nothing where there is none.

With a folder as argument: put libraries for other machines into it.
"""

import sys
import warnings
from pathlib import Path

from helpers import copy_libraries, find_library

if __name__ == "__main__":
    if sys.argv[1:]:
        copy_libraries(Path(sys.argv[1]))
    else:
        warnings.simplefilter("ignore")
        print(find_library()[0] or "")
