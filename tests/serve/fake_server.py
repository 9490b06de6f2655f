"""python -m src.serve with a fake bundle, for tests that need a process: python tests/serve/fake_server.py --bundle classifier-0.05"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from fake_bundle import FakeBundle

from src.serve.__main__ import main

if __name__ == "__main__":
    main(open_bundle=FakeBundle.open)
